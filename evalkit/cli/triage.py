"""`evalkit triage`: what is wrong in recorded traces, as a few named problems."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, Format, FormatOption, RunArgument, StoreOption
from evalkit.errors import ExitCode, FileError

if TYPE_CHECKING:
    from evalkit.dataset import Case
    from evalkit.triage import Triage
    from evalkit.triaging.rates import Rate


def triage(
    run: RunArgument,
    before: Annotated[
        str | None, typer.Option(metavar="RUN", help="An earlier window to compare with.")
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option(help="Golden cases: what their routes demand, and cover.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="Show this many problems.")] = 20,
    store: StoreOption = DEFAULT_STORE,
    form: FormatOption = Format.TABLE,
) -> int:
    """Find what is wrong in a run of recorded traces, grouped into problems, with rates."""
    import msgspec

    from evalkit.cli.naming import named_run
    from evalkit.cli.output import say
    from evalkit.cli.progress import told
    from evalkit.feedback import read_feedback
    from evalkit.listing import keep_listing
    from evalkit.store import Store
    from evalkit.triage import triage as find

    opened = Store(store)
    found = named_run(opened, run)
    earlier = named_run(opened, before) if before else None
    with told() as tell:
        result = find(
            opened.trials(found.id),
            before=opened.trials(earlier.id) if earlier else (),
            cases=golden_cases(dataset),
            feedback=read_feedback(store),
            progress=lambda traces: tell(f"{traces:,} traces read"),
        )
    keep_listing(store, found.id, result.problems)
    if form is Format.JSON:
        content = {"run": found.id, "before": earlier.id if earlier else None}
        content |= msgspec.to_builtins(result)
        say(msgspec.json.format(msgspec.json.encode(content), indent=2).decode() + "\n")
    else:
        say("".join(line + "\n" for line in _shown(found.id, result, most, dataset)))
    return ExitCode.PASSED


def golden_cases(path: Path | None) -> list[Case]:
    """The cases of a dataset that may be named; FileError if any line of it is wrong."""
    from evalkit.files import read_dataset

    if path is None:
        return []
    dataset, wrong = read_dataset(path)
    if wrong:
        raise FileError(*wrong)
    return list(dataset)


def _shown(run: str, found: Triage, most: int, dataset: Path | None) -> Iterator[str]:
    from evalkit.escaping import line, shell
    from evalkit.phrasing import moment, plural

    yield f"{run}: {plural(found.traces, 'trace')}, {found.flagged} flagged, " + plural(
        len(found.problems), "problem"
    )
    for at, one in enumerate(found.problems[:most], 1):
        yield f"\n{at}. {line(one.name)}"
        seen = f"{moment(one.first_seen)} to {moment(one.last_seen)}"
        yield f"   {plural(one.size, 'trace')}, {seen}; look at {line(one.representative)}"
        if one.example:
            yield f"   {line(one.example)}"
        covered = ", ".join(line(case) for case in one.covered[:3])
        yield f"   covered by {covered}" if covered else "   no golden case covers it"
    if found.rates:
        yield "\nper route (shares with their 95 % interval, means per trace):"
    for route in dict.fromkeys(rate.route for rate in found.rates):
        rates = [rate for rate in found.rates if rate.route == route]
        yield f"   {line(route)}"
        yield from (f"      {_rate(rate)}" for rate in rates)
    if any(rate.change == "unclear" for rate in found.rates):
        yield "   up and down: p below 0.05 by exact tests, corrected over all rows; else unclear"
    for note in found.notes:
        yield f"note: {line(note)}"
    if found.problems:
        file = shell(dataset) if dataset else "FILE"
        yield f"\nnext: evalkit promote --problem 1 --run {run} --dataset {file}"


def _rate(rate: Rate) -> str:
    """One measure of a route; beside an earlier window, what it was and whether it changed."""
    said = f"{rate.measure.removesuffix('_usd').replace('_', ' ')} {_amount(rate, rate.value)}"
    if rate.low is not None and rate.high is not None:
        said += f" [{rate.low:.1%}, {rate.high:.1%}]"
    if rate.before is None:
        return said
    return f"{said}, was {_amount(rate, rate.before)}: {rate.change}"


def _amount(rate: Rate, value: float | None) -> str:
    from evalkit.phrasing import seconds

    if value is None:
        return seconds(None)
    if rate.measure == "latency_p99":
        return seconds(value)
    if rate.measure == "cost_usd":
        return f"${value:.4g}"
    return f"{value:,.0f}" if rate.measure == "tokens" else f"{value:.1%}"
