"""`evalkit gate`: decides from what is stored; runs nothing."""

from __future__ import annotations

import datetime
import math
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.options import (
    DEFAULT_STORE,
    Format,
    FormatOption,
    OnOption,
    RunArgument,
    StoreOption,
)

if TYPE_CHECKING:
    from evalkit.store import Store


def gate(
    run: RunArgument,
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="Runs alike, with --self-test.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="REF", help="A run, a label or a baseline file; default: the suite's."
        ),
    ] = None,
    on: OnOption = None,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="False alarms and power on this run's own trials.")
    ] = False,
    seconds: Annotated[
        float, typer.Option(min=1, metavar="S", help="How long --self-test may take.")
    ] = 30.0,
    store: StoreOption = DEFAULT_STORE,
    form: FormatOption = Format.TABLE,
) -> int:
    """Decide per route and scorer whether a stored run is worse than a baseline."""
    from evalkit.baselines import overruling, resolve
    from evalkit.cli.decision import decide_on, read_run, report_of
    from evalkit.cli.naming import named_run
    from evalkit.cli.output import annotate, on_github, say, screen
    from evalkit.errors import InputError
    from evalkit.store import Store
    from evalkit.wording import say_unjudged, without_reruns

    opened = Store(store)
    if self_test:
        return _self_test(opened, [run, *(more or [])], on or [], seconds, form)
    if more:
        raise InputError("gate judges one run: what it is compared with is --baseline REF")
    candidate = named_run(opened, run)
    against = baseline or candidate.suite.gate.baseline
    if against is None:
        raise InputError("no baseline: give --baseline RUN, or gate.baseline in the suite")
    found, notes = resolve(opened, against, candidate.suite.name)
    told = [*notes, without_reruns("`evalkit gate` runs nothing")]
    if stronger := overruling(opened.outcomes(candidate.id), found.id):
        told.append(stronger)
    recorded = read_run(opened, candidate.id, on or ())
    told += say_unjudged(recorded)
    report = decide_on(opened, recorded, found.id, on or (), notes=told)
    if form is Format.JSON:
        from evalkit.reporters import json

        say(json.render_gate(report))
    else:
        from evalkit.reporters import terminal

        say(terminal.render_gate(report, **screen()))
    if on_github():  # nobody else reads the run's own summaries here, and they take their time
        annotate(report_of(recorded, report), to_stderr=form is Format.JSON)
    return report.exit


def _self_test(store: Store, refs: list[str], on: list[str], seconds: float, form: Format) -> int:
    """What the gate does on these runs' own trials; it always passes."""
    from msgspec.structs import replace

    from evalkit import policy
    from evalkit.cli.output import say, screen
    from evalkit.errors import ExitCode, InputError
    from evalkit.self_test import self_test

    if not math.isfinite(seconds):
        raise InputError(f"--seconds {seconds}: a number, at least 1")
    runs = [store.load(run, texts=False) for run in store.find_all(refs)]
    stated = runs[0].run.suite.gate
    chosen = policy.only(stated, on) if on else stated
    if runs[0].run.suite.pipeline.target == "traces":
        chosen = replace(chosen, confirm=replace(chosen.confirm, enabled=False))
    today = datetime.datetime.now(datetime.UTC).date()
    found = self_test(runs, chosen, today=today, seconds=seconds)
    if form is Format.JSON:
        from evalkit.reporters import json

        say(json.render_self_test(found))
    else:
        from evalkit.reporters import terminal

        say(terminal.render_self_test(found, **screen()))
    return ExitCode.PASSED
