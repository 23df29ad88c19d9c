"""`evalkit dataset`: what a dataset holds, how two differ, and how to split one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, Format, FormatOption, StoreOption
from evalkit.errors import ExitCode

if TYPE_CHECKING:
    from evalkit.dataset_stats import DatasetDiff, DatasetStats

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
    """Cases per route and tag, their age, and what production does that no case demands."""
    from evalkit.cli.triage import golden_cases
    from evalkit.dataset_stats import stats as count
    from evalkit.store import Store

    opened = Store(store)
    traces = opened.trials(opened.find(run).id) if run else ()
    _say(count(golden_cases(file), traces), form)
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
        if one.oldest_days is not None and one.newest_days is not None:
            yield f"   added {one.newest_days:.0f} to {one.oldest_days:.0f} days ago"
        if one.tags:
            yield "   tags: " + ", ".join(f"{line(t)} {n}" for t, n in list(one.tags.items())[:8])
        if one.seen:
            steps = ", ".join(f"{line(s)} ({percent(share)})" for s, share in one.uncovered[:5])
            yield f"   {plural(one.seen, 'trace')} in production" + (
                f"; no case demands {steps}" if steps else "; cases demand every step"
            )
    if found.without_cases:
        yield "routes in production without a case: " + ", ".join(map(line, found.without_cases))
    if found.without_owner:
        yield "routes without an owner: " + ", ".join(map(line, found.without_owner))


def _diff(found: DatasetDiff) -> Iterator[str]:
    from evalkit.escaping import line

    yield from (f"+ {line(name)}" for name in found.added)
    yield from (f"- {line(name)}" for name in found.removed)
    yield from (f"~ {line(name)}: {', '.join(keys)}" for name, keys in found.changed.items())
    yield f"{found.same} the same"
