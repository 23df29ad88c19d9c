"""`evalkit dataset`: what a dataset holds, how two differ, and how to split one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, Format, FormatOption, StoreOption
from evalkit.errors import ExitCode

if TYPE_CHECKING:
    from evalkit.dataset_stats import DatasetDiff, DatasetStats, RouteStats

MAX_TAGS = 20
MAX_STEPS = 5

dataset = typer.Typer(help="What a dataset holds.", no_args_is_help=True)


@dataset.callback()
def top() -> None:
    """What a dataset holds, how two differ, and how to split one."""


@dataset.command()
def stats(
    file: Annotated[Path, typer.Argument(help="A dataset.")],
    run: Annotated[
        str | None, typer.Option(metavar="RUN", help="Production traces to compare with.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    form: FormatOption = Format.TABLE,
) -> int:
    """Cases per route and tag, age, last failure, and what production does that none demands."""
    from evalkit.cli.naming import named_run
    from evalkit.cli.triage import golden_cases
    from evalkit.dataset_stats import stats as count
    from evalkit.store import Store
    from evalkit.store.failures import last_failures

    opened = Store(store)
    traces = opened.trials(named_run(opened, run).id) if run else ()
    cases = golden_cases(file)
    failures = last_failures(opened, [case.id for case in cases])
    _say(count(cases, traces, failures=failures), form)
    return ExitCode.PASSED


@dataset.command()
def diff(
    before: Annotated[Path, typer.Argument(help="The earlier version.")],
    after: Annotated[Path, typer.Argument(help="The later version.")],
    form: FormatOption = Format.TABLE,
) -> int:
    """Cases that were added, removed or changed."""
    from evalkit.cli.triage import golden_cases
    from evalkit.dataset_stats import diff as compare

    _say(compare(golden_cases(before), golden_cases(after)), form)
    return ExitCode.PASSED


@dataset.command()
def split(
    file: Annotated[Path, typer.Argument(help="A dataset.")],
    share: Annotated[float, typer.Option(help="The first part's share, above 0 and below 1.")],
    first: Annotated[Path, typer.Option(metavar="FILE", help="Where the first part goes.")],
    second: Annotated[Path, typer.Option(metavar="FILE", help="Where the rest goes.")],
) -> int:
    """Write two parts; a case stays in its part when others are added."""
    from evalkit.cli.output import say
    from evalkit.cli.triage import golden_cases
    from evalkit.dataset_stats import split as divide
    from evalkit.errors import InputError
    from evalkit.files import write_dataset

    taken = [path for path in (first, second) if path.exists()]
    if taken or first == second:
        raise InputError(f"{(taken or [first])[0]} exists: name two new files")
    parts = divide(golden_cases(file), share)
    for path, part in zip((first, second), parts, strict=True):
        write_dataset(path, part)
    say(f"{len(parts[0])} cases in {first}, {len(parts[1])} in {second}\n")
    return ExitCode.PASSED


def _say(found: DatasetStats | DatasetDiff, form: Format) -> None:
    import msgspec

    from evalkit.cli.output import say
    from evalkit.dataset_stats import DatasetStats

    if form is Format.JSON:
        say(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
        return
    lines = _stats(found) if isinstance(found, DatasetStats) else _diff(found)
    say("".join(line + "\n" for line in lines))


def _stats(found: DatasetStats) -> Iterator[str]:
    from evalkit.escaping import line
    from evalkit.phrasing import percent, plural

    for one in found.routes:
        owners = ", ".join(map(line, one.owners)) or "nobody"
        yield f"{line(one.route)}: {plural(one.cases, 'case')}, owner {owners}"
        yield from _held(one)
        if one.seen:
            yield f"   {plural(one.seen, 'trace')} in production; cases demand " + (
                f"{one.steps_seen - len(one.uncovered)} of {plural(one.steps_seen, 'step')} seen"
            )
            for step, share in one.uncovered[:MAX_STEPS]:
                yield f"      no case demands {line(step)}, seen in {percent(share)}"
            if len(one.uncovered) > MAX_STEPS:
                yield f"      and {len(one.uncovered) - MAX_STEPS} more"
    if found.without_cases:
        yield "routes in production without a case: " + ", ".join(map(line, found.without_cases))
    if found.without_owner:
        yield "routes without an owner: " + ", ".join(map(line, found.without_owner))


def _held(one: RouteStats) -> Iterator[str]:
    """The cases of a route and of its tags: how many, how old, and when one last failed."""
    from evalkit.escaping import line

    if not one.cases:
        return
    yield f"   {'':24} {'cases':>5}  {'days since added':>16}  {'days since a failure':>20}"
    rows = [("all", one), *((line(tag), held) for tag, held in one.tags.items())]
    for name, held in rows[: 1 + MAX_TAGS]:
        age = "-"
        if held.oldest_days is not None and held.newest_days is not None:
            old, new = f"{int(held.oldest_days)}", f"{int(held.newest_days)}"
            age = old if old == new else f"{new} to {old}"
        last = "-"
        if held.last_failure_days is not None:
            last = f"{int(held.last_failure_days)} ({line(held.last_failed)})"
        yield f"   {name[:24]:24} {held.cases:>5}  {age:>16}  {last:>20}"
    if len(rows) > 1 + MAX_TAGS:
        yield f"   and {len(rows) - 1 - MAX_TAGS} more tags: --format json"


def _diff(found: DatasetDiff) -> Iterator[str]:
    from evalkit.escaping import line

    yield from (f"+ {line(name)}" for name in found.added)
    yield from (f"- {line(name)}" for name in found.removed)
    yield from (f"~ {line(name)}: {', '.join(keys)}" for name, keys in found.changed.items())
    yield f"{found.same} the same"
