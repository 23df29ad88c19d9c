"""`evalkit judge`: what a judge model is worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.options import DEFAULT_STORE, Format, FormatOption, StoreOption
from evalkit.errors import ExitCode

if TYPE_CHECKING:
    from evalkit.judging.calibrations import Agreement, Calibration

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Calibrate a judge model.")


@app.callback()
def top() -> None:
    """What a judge model is worth."""


@app.command()
def calibrate(
    labels: Annotated[Path, typer.Argument(help="JSON Lines, may be gzipped: a label a line.")],
    run: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Take the verdicts of this run's judge, and keep it."),
    ] = None,
    scorer: Annotated[str, typer.Option(help="The judge's scorer in the run.")] = "judge",
    verdict: Annotated[str, typer.Option(help="The field of the verdict.")] = "verdict",
    label: Annotated[str, typer.Option(help="The field of the true label.")] = "label",
    by: Annotated[list[str] | None, typer.Option(help="The field to group by; repeatable.")] = None,
    store: StoreOption = DEFAULT_STORE,
    form: FormatOption = Format.TABLE,
) -> int:
    """Compare a judge's verdicts with human or true labels."""
    import msgspec

    from evalkit import labels as labelled
    from evalkit.calibration import calibrate as compare
    from evalkit.cli.output import say
    from evalkit.judging.calibrations import save
    from evalkit.reporters import json

    rows = labelled.read(labels)
    judge = None
    if run is None:
        found = compare(labelled.of_file(rows, labels, verdict, label, by or ["route"]))
    else:
        judge, pairs = labelled.of_run(rows, labels, label, store, run, scorer)
        found = compare(pairs)
        save(store, judge, found)
    if form is Format.JSON:
        say(json.to_json({"judge": judge, **msgspec.to_builtins(found)}))
    else:
        say(_table(judge, found))
    return ExitCode.PASSED


def _table(judge: str | None, found: Calibration) -> str:
    from evalkit.escaping import line

    lines = [f"judge {judge}: calibration kept", ""] if judge else []
    rows = [("all", found.overall), *found.groups.items()]
    width = max(5, *(len(line(name)) for name, _ in rows))
    lines.append(
        f"{'':{width}}  labels  agree  95 % interval  kappa  passed but wrong  failed but right"
    )
    lines += [f"{line(name):{width}}  {_row(one)}" for name, one in rows]
    lines += ["", "words: " + ", ".join(f"{line(a)} = {b}" for a, b in found.words.items())]
    for word, count in found.unknown.items():
        lines.append(f"unknown {line(word)}: {count} times, not compared")
    if found.unsure:
        lines.append(f"unsure: {found.unsure} times, not compared")
    return "\n".join(lines) + "\n"


def _row(one: Agreement) -> str:
    if one.accuracy is None or one.low is None or one.high is None:
        return f"{one.labels:6}"
    kappa = "     " if one.kappa is None else f"{one.kappa:5.2f}"
    wrong, right = one.confusion["fail"]["pass"], one.confusion["pass"]["fail"]
    interval = f"{one.low:.2f} to {one.high:.2f}"
    return f"{one.labels:6}  {one.accuracy:5.2f}  {interval:13}  {kappa}  {wrong:16}  {right:16}"
