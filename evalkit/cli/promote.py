"""`evalkit promote`: recorded failures become drafts of golden cases, redacted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, StoreOption
from evalkit.errors import ExitCode, InputError, NotFoundError

if TYPE_CHECKING:
    from evalkit.promotion import Draft
    from evalkit.results import Trial
    from evalkit.store import Store

MAX_OTHERS = 2000
"""Without a golden case, so many traces are looked at for one of the route that went well."""


def promote(
    run: Annotated[str, typer.Option(metavar="RUN", help="The run that the traces are in.")],
    dataset: Annotated[Path, typer.Option(help="The dataset that the cases are for.")],
    traces: Annotated[
        list[str] | None, typer.Argument(help="Traces, as triage names them.")
    ] = None,
    problem: Annotated[
        list[int] | None,
        typer.Option(metavar="N", min=1, help="A problem, as the last triage numbers it."),
    ] = None,
    names: Annotated[
        Path | None, typer.Option(help="A file of names of people to replace, one a line.")
    ] = None,
    input_path: Annotated[
        str | None,
        typer.Option("--input", metavar="PATH", help="Where in the first step the input is."),
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who promotes; the user by default.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> int:
    """Draft golden cases from traces, for `evalkit review`. Nothing gates before that."""
    from evalkit.cli.naming import named_run
    from evalkit.cli.output import say
    from evalkit.cli.triage import golden_cases
    from evalkit.feedback import read_feedback
    from evalkit.files import read_text
    from evalkit.golden import Golden
    from evalkit.listing import listed_problem
    from evalkit.promotion import Promoting, draft
    from evalkit.redaction import Redactor, redact_secrets, second_pass
    from evalkit.reviewing import redaction_key, save
    from evalkit.store import Store
    from evalkit.triage import said_of

    opened = Store(store)
    found = named_run(opened, run)
    path, secrets = redact_secrets(str(dataset.resolve()))
    if secrets:
        raise InputError(f"the path of the dataset holds a secret, {path}: drafts would repeat it")
    numbered = [listed_problem(store, found.id, number) for number in problem or []]
    wanted = [*(traces or []), *(one.representative for one in numbered)]
    if not wanted:
        raise InputError("name traces, or problems with --problem N: see `evalkit triage`")
    listed = read_text(names).splitlines() if names else []
    promoting = Promoting(
        Golden(golden_cases(dataset)),
        Redactor(
            redaction_key(store),
            names=[name for name in listed if name.strip()],
            second=second_pass(),
        ),
        str(dataset.resolve()),
        by or current_user(),
        found.label,
        input_path,
    )
    said = read_feedback(store)
    for trial in [_trial(opened, found.id, trace) for trace in dict.fromkeys(wanted)]:
        others = (one for one in _others(opened, found.id) if not said_of(one, said))
        people = said_of(trial, said)
        kept = save(store, draft(trial, promoting, others=others, feedback=people))
        say("".join(line + "\n" for line in shown(kept)))
    say("next: evalkit review\n")
    return ExitCode.PASSED


def current_user() -> str:
    """The name of the user who runs the command."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user database
        return "unknown"


def shown(one: Draft) -> Iterator[str]:
    """A draft in a few lines: what was replaced, what is proposed, and what it resembles."""
    from evalkit.escaping import line

    yield f"draft {one.id}"
    yield f"   route {line(one.case.route)}, owner {line(one.case.owner or 'nobody')}"
    signals = dict.fromkeys(s.kind + " (made good)" * s.recovered for s in one.signals)
    yield f"   signals: {', '.join(signals) or 'none'}"
    yield f"   expected steps (proposal): from {line(one.proposal)}"
    for what in one.replaced:
        yield f"   redacted: {what.kind}, {what.times} times, now {line(what.pseudonym, 60)}"
    yield f"   second pass for secrets: {one.second_pass or 'none; the extra `secrets` adds one'}"
    yield f"   not checked: {one.not_checked}"
    for other in one.duplicates:
        kind = "the same as" if other.exact else f"{other.similarity:.0%} like"
        yield f"   duplicate: {kind} {line(other.case)}"
    for conflict in one.conflicts:
        yield f"   CONTRADICTS: {line(conflict)}"


def _trial(store: Store, run: str, trace: str) -> Trial:
    for trial in store.trials(run, case=trace):
        return trial
    raise NotFoundError(f"run {run} has no trace {trace[:200]!r}: see `evalkit triage {run}`")


def _others(store: Store, run: str) -> Iterator[Trial]:
    from itertools import islice

    return islice(store.trials(run), MAX_OTHERS)
