"""How fast paths are scored, beside two peers on the same pairs.

    python benchmarks/scoring/speed.py [PAIRS] [--peers PYTHON]

PYTHON is an interpreter with agentevals and deepeval: their public evaluators judge a sample of
the same pairs in a process of their own. Pairs are 4 to 20 calls with nested arguments, two thirds
of them changed a little; every side is given them as its users have them. Prints pairs a second
for the verdict, trajectories a second for the four main scorers (each read from JSON as a run
stores it), seconds for 1,000 x 1,000 steps in every mode, and how the memory that one comparison
takes grows with the steps. All times are processor time of one core.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import resource
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

Calls = list[dict[str, Any]]


def pairs(count: int) -> list[tuple[Calls, Calls]]:
    """Reference and actual calls; the same for every run of this benchmark."""
    chance = random.Random(7)
    return [_pair(chance) for _ in range(count)]


def _pair(chance: random.Random) -> tuple[Calls, Calls]:
    reference = [_call(chance) for _ in range(chance.randint(4, 20))]
    actual = json.loads(json.dumps(reference))
    change = chance.randrange(6)
    if change == 0:
        actual[chance.randrange(len(actual))]["args"]["options"]["limit"] = -1
    elif change == 1:
        actual.append(_call(chance))
    elif change == 2:
        actual.pop(chance.randrange(len(actual)))
    elif change == 3:
        chance.shuffle(actual)
    return reference, actual


def _call(chance: random.Random) -> dict[str, Any]:
    number = chance.randrange(1000)
    return {
        "name": f"tool_{chance.randrange(8)}",
        "args": {
            "id": f"#W{number:06}",
            "user": {"name": "Ada", "address": {"city": "Berlin", "zip": str(number)}},
            "items": [str(number + place) for place in range(3)],
            "options": {"limit": number, "deep": {"flag": bool(number % 2)}},
        },
    }


PEERS = """
import importlib.util, json, os, sys, time
os.environ.update(DEEPEVAL_TELEMETRY_OPT_OUT="YES", CONFIDENT_TRACE_FLUSH="NO")
spec = importlib.util.spec_from_file_location("speed", sys.argv[1])
speed = importlib.util.module_from_spec(spec); spec.loader.exec_module(speed)
pairs = speed.pairs(int(sys.argv[2]))
result = {}
from agentevals.trajectory.match import create_trajectory_match_evaluator
evaluate = create_trajectory_match_evaluator(trajectory_match_mode="unordered")
def chat(calls):
    return [{"role": "assistant", "content": "", "tool_calls": [
        {"id": str(n), "function": {"name": one["name"], "arguments": json.dumps(one["args"])}}
        for n, one in enumerate(calls)]}]
chats = [(chat(a), chat(b)) for a, b in pairs]
start = time.process_time()
verdicts = [evaluate(outputs=b, reference_outputs=a)["score"] for a, b in chats]
result["agentevals"] = len(pairs) / (time.process_time() - start)
result["agentevals verdicts"] = [bool(one) for one in verdicts]
from deepeval.metrics import ToolCorrectnessMetric
from deepeval.test_case import LLMTestCase, ToolCall, ToolCallParams
def tools(calls):
    return [ToolCall(name=one["name"], input_parameters=one["args"]) for one in calls]
class NoModel:
    pass
from deepeval.models import DeepEvalBaseLLM
class Silent(DeepEvalBaseLLM):
    def __init__(self): pass
    def load_model(self): return self
    def generate(self, *a, **k): return ""
    async def a_generate(self, *a, **k): return ""
    def get_model_name(self): return "silent"
cases = [LLMTestCase(input="q", actual_output="a", tools_called=tools(b), expected_tools=tools(a))
         for a, b in pairs]
metric = ToolCorrectnessMetric(evaluation_params=[ToolCallParams.INPUT_PARAMETERS], model=Silent(),
                               async_mode=False)
start = time.process_time()
for case in cases:
    metric.measure(case, _show_indicator=False)
result["deepeval"] = len(pairs) / (time.process_time() - start)
print(json.dumps(result))
"""


def _rate(count: int, seconds: float) -> str:
    return f"{count / seconds:>10,.0f} /s"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", nargs="?", type=int, default=20_000)
    parser.add_argument("--peers")
    parser.add_argument("--sample", type=int, default=1_000)
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        print(_peak(given.peak[0], given.peak[1], int(given.peak[2])))
        return
    _memory()  # before this process is large: its children would begin with its peak
    _large()
    _four_scorers([_stored(*pair) for pair in pairs(min(6_000, given.pairs))])
    made = pairs(given.pairs)
    verdicts, rates = _verdicts(made)
    print(f"unordered, exact arguments, {given.pairs:,} pairs")
    for name, rate in rates.items():
        print(f"  evalkit.{name:12}{_rate(1, 1 / rate)}")
    if given.peers:
        _beside(given.peers, given.sample, verdicts, rates)


def _verdicts(made: list[tuple[Calls, Calls]]) -> tuple[list[bool], dict[str, float]]:
    """Of each pair whether it passes, and pairs a second: the verdict, and the score with why."""
    from evalkit import match, matches

    start = time.process_time()
    verdicts = [matches(a, b, mode="unordered", args="exact") for a, b in made]
    verdict = time.process_time() - start
    start = time.process_time()
    scores = [match(a, b, mode="unordered", args="exact") for a, b in made]
    score = time.process_time() - start
    assert verdicts == [one.passed for one in scores]
    return verdicts, {"matches": len(made) / verdict, "match": len(made) / score}


def _beside(python: str, sample: int, verdicts: list[bool], rates: dict[str, float]) -> None:
    command = [python, "-c", PEERS, str(Path(__file__).resolve()), str(sample)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    found = json.loads(done.stdout.strip().splitlines()[-1])
    same = sum(a == b for a, b in zip(found["agentevals verdicts"], verdicts, strict=False))
    for peer in ("agentevals", "deepeval"):
        faster = ", ".join(f"{name} {rate / found[peer]:.1f} x" for name, rate in rates.items())
        print(f"  {peer:20}{_rate(1, 1 / found[peer])}   evalkit is as fast: {faster}")
    print(f"  agentevals gives the same verdict on {same} of {sample} pairs")


def _four_scorers(stored: list[tuple[bytes, bytes]]) -> None:
    """Trajectories a second, best of three, where each case is tried once and three times.

    As in a run: all cases are there, as read from a dataset; a trajectory is read from its stored
    JSON (that time counts), scored, and gone before the next one.
    """
    import msgspec

    from evalkit.dataset import Case
    from evalkit.scoring import bind, score_trial
    from evalkit.suite import Effects, ScorerUse
    from evalkit.trajectory import Trajectory

    names = ("task_completion", "tool_selection", "trajectory_match", "step_efficiency")
    scorers = bind([ScorerUse(name) for name in names], Effects(), None)
    read_case = msgspec.json.Decoder(Case).decode
    read_trajectory = msgspec.json.Decoder(Trajectory).decode
    for trials, said in ((1, "once"), (3, "three times")):
        seconds = []
        for _ in range(3):
            cases = [read_case(case) for case, _ in stored]
            start = time.process_time()
            for _ in range(trials):
                for case, (_, trajectory) in zip(cases, stored, strict=True):
                    score_trial(case, read_trajectory(trajectory), scorers)
            seconds.append(time.process_time() - start)
        rate = _rate(trials * len(stored), min(seconds))
        print(f"four main scorers, trajectories, each case {said:12}{rate}")


def _stored(reference: Calls, actual: Calls) -> tuple[bytes, bytes]:
    """A case as a dataset holds it, and a trajectory as a run does."""
    expect = {
        "outcome": [{"contains": "done"}, {"said": "1000"}],
        "steps": [{"tool": one["name"], "args": one["args"]} for one in reference],
    }
    done = [{"kind": "tool", "name": one["name"], "arguments": one["args"]} for one in actual]
    return (
        json.dumps({"id": "c", "input": "?", "route": "r", "expect": expect}).encode(),
        json.dumps({"steps": done, "output": "done: 1,000"}).encode(),
    )


def _large() -> None:
    from evalkit.dataset import MatchMode
    from evalkit.scorers.trajectory_match import match

    for shape, modes in (
        ("list", get_args(MatchMode)),
        ("after", ("in_order", "unordered")),
        ("parallel", ("in_order", "unordered")),
    ):
        for mode in modes:
            reference, actual = _long(shape, 1_000)
            start = time.process_time()
            match(reference, actual, mode=mode)
            taken = time.process_time() - start
            print(f"1,000 x 1,000, {shape:8} {mode:10} {taken:.2f} s")


def _long(shape: str, steps: int) -> tuple[list[Any], Calls]:
    """A shuffled path beside an expected one: a list, each step ``after`` the one before, or
    ``parallel`` sets of four."""
    from evalkit.dataset import ExpectedStep

    chance = random.Random(1)
    reference: Calls = [
        {"name": f"t{chance.randrange(20)}", "args": {"x": n % 5}} for n in range(steps)
    ]
    actual = [{"name": one["name"], "args": {"x": n % 7}} for n, one in enumerate(reference)]
    chance.shuffle(actual)
    if shape == "list":
        return reference, actual
    stated = [ExpectedStep(tool=one["name"], args=one["args"]) for one in reference]
    if shape == "parallel":
        groups = (tuple(stated[first : first + 4]) for first in range(0, steps, 4))
        return [ExpectedStep(parallel=group) for group in groups], actual
    chain = [
        ExpectedStep(tool=one.tool, args=one.args, id=str(n), after=(str(n - 1),) if n else ())
        for n, one in enumerate(stated)
    ]
    return chain, actual


def _memory() -> None:
    """Each in a process of its own: what a comparison adds to the most that it ever held."""
    for shape, mode in (
        ("list", "unordered"),
        ("list", "in_order"),
        ("after", "in_order"),
        ("parallel", "unordered"),
    ):
        peaks = []
        for steps in (1_000, 2_000, 4_000):
            command = [sys.executable, __file__, "--peak", shape, mode, str(steps)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            peaks.append(f"{steps:,}: {float(done.stdout):.0f} MB")
        print(f"peak memory, {shape:8} {mode:10} {', '.join(peaks)}", flush=True)


def _peak(shape: str, mode: Any, steps: int) -> float:
    """MB by which the process's greatest resident size grows."""
    import_module("scipy.optimize")  # what a comparison may load is not what it takes

    from evalkit.scorers.trajectory_match import match

    match(*_long(shape, 20), mode=mode)
    reference, actual = _long(shape, steps)
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    match(reference, actual, mode=mode)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


if __name__ == "__main__":
    main()
