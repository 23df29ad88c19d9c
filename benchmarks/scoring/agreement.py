"""How well path scores agree with what really happened.

    python benchmarks/scoring/agreement.py [FOLDER]

Recorded agent runs whose true reward is known (``*.jsonl.gz`` in FOLDER, by default the shared
data) become cases and trajectories by one rule; one configuration judges them all: mode
``effects``, the strings that the user had to be told, and that nothing cut the run off. The reward
rests on a database that no recording holds, so task_completion fails or could not judge, and never
passes; the state changes of the path stand for the database. Verdict: trajectory_match passed and
no outcome check failed; value: the mean of trajectory_match and the share of outcome checks that
are met, of those that could be judged. Beside it the same as a suite states it,
``task_completion: {passed: [trajectory_match]}`` with the strings as outcome checks and nothing of
the database, and ways of judging a path that ask for less or more. AUC is the chance that a solved
run is worth more than one that was not.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

from msgspec.structs import replace
from recorded import DATA, Recorded, read_all

from evalkit.dataset import MatchMode
from evalkit.scorers.task_completion import task_completion
from evalkit.scorers.tool_selection import tool_selection
from evalkit.scorers.trajectory_match import match as match_steps
from evalkit.scorers.trajectory_match import trajectory_match
from evalkit.trajectory import Step

TOLD = frozenset({"DB", "OUTPUTS", "COMMUNICATE", "ACTION"})
"""What a reward may rest on for calls and words to stand for it."""


class Judged(NamedTuple):
    """One run with what evalkit says of it."""

    run: Recorded
    value: float
    passed: bool
    reason: str


def could_judge(run: Recorded) -> bool:
    """Whether the run happened, and calls and words can stand for all that its reward rests on."""
    return run.ran and TOLD.issuperset(run.basis)


def judge(run: Recorded) -> Judged:
    """The default configuration's verdict."""
    match = trajectory_match(run.case, run.trajectory, effects=run.effects)
    completion = task_completion(run.case, run.trajectory)
    told = completion.data["checks"] - completion.data["not_judged"]
    value = (match.value or 0.0) / 2 + completion.data["met"] / told / 2
    failed = [one.reason for one in (match, completion) if one.passed is False]
    return Judged(run, value, not failed, "; ".join(failed) or "as expected")


def by_suite(run: Recorded) -> Judged:
    """The verdict of a suite that lists ``task_completion: {passed: [trajectory_match]}``."""
    expect = run.case.expect
    told = tuple(check for check in expect.outcome if check.unrecorded is None)
    case = replace(run.case, expect=replace(expect, outcome=told))
    match = trajectory_match(case, run.trajectory, effects=run.effects)
    done = task_completion(
        case, run.trajectory, passed=(match.scorer,), judged={match.scorer: match}
    )
    return Judged(run, done.value or 0.0, done.passed is True, done.reason)


def _calls(run: Recorded) -> tuple[list[dict[str, Any]], list[Step]]:
    expected = [{"name": one.tool, "args": one.args} for one in run.case.expect.steps or ()]
    return expected, [step for step in run.trajectory.steps if step.kind == "tool"]


def _by_mode(mode: MatchMode) -> Callable[[Recorded], float]:
    def value(run: Recorded) -> float:
        found = match_steps(*_calls(run), mode=mode)
        return float(found.passed or False)

    return value


def _names(run: Recorded) -> float:
    return float(tool_selection(run.case, run.trajectory).data["f1"])


OTHERS: dict[str, Callable[[Recorded], float]] = {
    "strict": _by_mode("exact"),
    "superset": _by_mode("superset"),
    "names F1": _names,
}


def auc(values: Iterable[float], solved: Iterable[bool]) -> float:
    """The area under the ROC curve; ties count half. NaN-free: one half if all ended alike."""
    from sklearn.metrics import roc_auc_score

    truth = list(solved)
    return float(roc_auc_score(truth, list(values))) if len(set(truth)) == 2 else 0.5


def _line(name: str, judged: list[Judged]) -> str:
    truth = [one.run.solved for one in judged]
    cells = []
    for verdicts in (judged, [by_suite(one.run) for one in judged]):
        right = sum(one.passed == one.run.solved for one in verdicts)
        cells += [f"{auc([one.value for one in verdicts], truth):.4f}", f"{right / len(truth):.4f}"]
    cells += [f"{auc([f(one.run) for one in judged], truth):.3f}" for f in OTHERS.values()]
    return f"{name:48} {len(judged):5} " + " ".join(f"{cell:>9}" for cell in cells)


def main(folder: Path) -> None:
    """Prints the table, and every disagreement with its reason."""
    runs = read_all(folder)
    judged = [judge(run) for run in runs if could_judge(run)]
    never = sum(not run.ran for run in runs)
    other = len(runs) - len(judged) - never
    print(
        f"{len(runs)} runs; could not be judged: {never} that never ran, "
        f"{other} whose reward rests on what neither calls nor words tell\n"
    )
    heads = ["AUC", "accuracy", "suite AUC", "accuracy", *OTHERS]
    print(f"{'file':48} {'runs':>5} " + " ".join(f"{head:>9}" for head in heads))
    files: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        files[one.run.file].append(one)
    for name, listed in files.items():
        print(_line(name, listed))
    print(_line("all", judged))
    print("\nDisagreements")
    for one in judged:
        if one.passed != one.run.solved:
            truth = "solved" if one.run.solved else "not solved"
            print(f"- {one.run.name}: {truth}, judged {one.value:.2f}: {one.reason[:300]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA / "trajectories")
