"""`evalkit review`: a person judges drafts; what is accepted joins the dataset."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evalkit.cli.options import DEFAULT_STORE, Format, FormatOption, StoreOption
from evalkit.errors import (
    EvalkitError,
    ExitCode,
    FileError,
    InputError,
    NotFoundError,
    Problem,
)

if TYPE_CHECKING:
    from evalkit.dataset import Case
    from evalkit.promotion import Draft


def review(  # noqa: PLR0913, PLR0917  every option of the command is a parameter
    draft: Annotated[str | None, typer.Argument(help="Show this draft in full.")] = None,
    accept: Annotated[str | None, typer.Option(metavar="ID", help="Add it to the dataset.")] = None,
    reject: Annotated[str | None, typer.Option(metavar="ID", help="Drop it.")] = None,
    edit: Annotated[str | None, typer.Option(metavar="ID", help="Open it in $EDITOR.")] = None,
    reason: Annotated[str, typer.Option(help="Why it is rejected.")] = "",
    by: Annotated[str | None, typer.Option(help="Who reviews; the user by default.")] = None,
    keep_both: Annotated[
        bool, typer.Option("--keep-both", help="Accept in spite of a duplicate or conflict.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    form: FormatOption = Format.TABLE,
) -> int:
    """Review drafts: in a terminal one by one, else with --accept, --reject and --edit."""
    from evalkit.cli.promote import current_user
    from evalkit.reviewing import find, pending
    from evalkit.reviewing import reject as refuse

    if sum(one is not None for one in (draft, accept, reject, edit)) > 1:
        raise InputError("one of DRAFT, --accept, --reject, --edit at a time")
    who = by or current_user()
    if accept is not None:
        _accept(store, accept, who, keep_both)
    elif reject is not None:
        refuse(store, reject, by=who, reason=reason)
        _print([f"rejected {reject}"])
    elif edit is not None:
        _edit(store, edit)
    elif draft is not None:
        _show([find(store, draft)], form, full=True)
    elif form is Format.TABLE and _is_terminal():
        _one_by_one(store, who)
    else:
        _show(pending(store), form, full=False)
    return ExitCode.PASSED


def _accept(store: Path, draft: str, who: str, keep_both: bool) -> None:
    from evalkit.escaping import lines
    from evalkit.reviewing import accept, git_diff

    done = accept(store, draft, by=who, keep_both=keep_both)
    _print([f"accepted {done.case.id}: {done.dataset}:{done.line}"])
    diff = git_diff(done.dataset)
    if diff:
        _print([lines(diff, 20_000)])


def _edit(store: Path, draft: str) -> None:
    """Opens the case in the editor; what comes back must be a case, or nothing changes.

    In a terminal, what is no case can be mended in the editor at once: nothing is typed twice.
    """
    import msgspec

    from evalkit.cli.promote import shown
    from evalkit.reviewing import find, replace_case

    found = find(store, draft)
    with tempfile.TemporaryDirectory(prefix="evalkit-") as folder:
        file = Path(folder, f"{found.id}.json")
        file.write_bytes(msgspec.json.format(msgspec.json.encode(found.case), indent=2))
        while True:
            try:
                _run_editor(file)
                edited = replace_case(store, draft, _case(file))
                break
            except EvalkitError as error:
                if not _is_terminal():
                    raise
                _print([f"error: {error}"])
                if not typer.confirm("edit it again?", default=True):
                    return
    _print(shown(edited))


def _run_editor(file: Path) -> None:
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        code = subprocess.run(  # noqa: S603 - the user's own editor, from their environment
            [*shlex.split(command), str(file)], check=False
        ).returncode
    except (OSError, ValueError) as error:
        raise InputError(f"editor {command!r} does not start: {error}; set EDITOR") from None
    if code:
        raise InputError(f"editor {command!r} ended with code {code}: the draft is unchanged")


def _case(file: Path) -> Case:
    from evalkit.dataset import Case
    from evalkit.files import read_json, read_text
    from evalkit.strict_yaml import show_path
    from evalkit.validation import convert

    name = file.name
    text = read_text(file)
    try:
        value = read_json(text)
    except (ValueError, RecursionError) as error:
        raise FileError(Problem(name, f"not JSON: {error}; the draft is unchanged")) from None
    case, invalid = convert(value, Case)
    if case is None:
        raise FileError(*(Problem(name, one.message, key=show_path(one.path)) for one in invalid))
    return case


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _one_by_one(store: Path, who: str) -> None:
    """Asks about each pending draft; what goes wrong with one is said, and it is asked again."""
    from evalkit.reviewing import pending

    waiting = pending(store)
    if not waiting:
        _show([], Format.TABLE, full=True)
    for number, draft in enumerate(waiting, 1):
        _print([f"--- {number} of {len(waiting)}"])
        try:
            while (answer := _asked(store, draft.id, who)) == "again":
                pass
        except typer.Abort:  # Ctrl-C, or the end of what a terminal sends
            raise KeyboardInterrupt from None
        except NotFoundError as error:  # somebody else decided meanwhile
            _print([f"{error}"])
            continue
        if answer == "quit":
            return


def _asked(store: Path, draft: str, who: str) -> Literal["again", "next", "quit"]:
    """Shows a draft, asks what to do with it and does that."""
    from evalkit.reviewing import find, reject

    _show([find(store, draft)], Format.TABLE, full=True)
    answer = typer.prompt("[a]ccept [k]eep both [e]dit [r]eject [s]kip [q]uit", default="s")
    try:
        if answer in ("a", "k"):
            _accept(store, draft, who, keep_both=answer == "k")
        elif answer == "e":
            _edit(store, draft)
            return "again"
        elif answer == "r":
            reject(store, draft, by=who, reason=typer.prompt("reason"))
            _print([f"rejected {draft}"])
        elif answer == "q":
            return "quit"
        elif answer != "s":
            return "again"
    except NotFoundError:
        raise
    except EvalkitError as error:
        _print([f"error: {error}"])
        return "again"
    return "next"


def _show(drafts: list[Draft], form: Format, *, full: bool) -> None:
    import msgspec

    from evalkit.cli.promote import shown

    if form is Format.JSON:
        content = msgspec.json.encode({"drafts": drafts})
        _print([msgspec.json.format(content, indent=2).decode()])
        return
    if not drafts:
        _print(["no draft waits for a review"])
    for one in drafts:
        _print(shown(one))
        if full:
            _print(_in_full(one))


def _in_full(one: Draft) -> Iterator[str]:
    import msgspec

    from evalkit.escaping import line, lines

    yield "   what happened:"
    yield from (f"     {line(step)}" for step in one.path)
    yield "   the case:"
    text = msgspec.json.format(msgspec.json.encode(one.case), indent=2).decode()
    yield from (f"     {lines(part, 500)}" for part in text.split("\n"))


def _print(text: list[str] | Iterator[str]) -> None:
    from evalkit.cli.output import say

    say("".join(line + "\n" for line in text))
