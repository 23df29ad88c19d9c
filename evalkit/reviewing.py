"""Review: drafts wait in the store until a person accepts one into its dataset, or rejects it.

A draft is one file below ``STORE/drafts``. Accepting appends one line to the dataset under a lock
on the dataset itself, so that reviewers with different stores lose nothing either; a dataset that
is wrong, for instance broken by hand meanwhile, is left as it is and the draft stays pending.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from evalkit.dataset import Case, Dataset
from evalkit.errors import FileError, InputError, NotFoundError, Problem, StoreError
from evalkit.files import read_dataset, write_atomically
from evalkit.folders import locks
from evalkit.golden import Golden
from evalkit.promotion import Draft
from evalkit.redaction import redact_secrets

FOLDER = "drafts"
KEY = "redaction.key"
WAIT_S = 10.0
MAX_DIFF = 20_000


class Accepted(NamedTuple):
    """An accepted case, and the line that it is in its dataset."""

    case: Case
    dataset: Path
    line: int


def redaction_key(store: Path) -> bytes:
    """The store's key for pseudonyms, made when first asked for; only its owner can read it.

    With it the same person has the same pseudonym in all drafts of a store.
    """
    path = store / KEY
    if not path.exists():
        store.mkdir(parents=True, exist_ok=True)
        # Written beside and linked: whoever comes at the same time reads one whole key.
        handle, beside = tempfile.mkstemp(dir=store, prefix=f".{KEY}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(32))
            with suppress(FileExistsError):
                path.hardlink_to(beside)
        finally:
            Path(beside).unlink()
    return path.read_bytes()


def save(store: Path, draft: Draft) -> Draft:
    """Keeps a draft, under another id if that is taken; gives it as it was kept.

    Raises InputError where the same trace is drafted for the same dataset already.
    """
    with _drafts(store) as folder:
        for other in _pending(folder):
            if _same_trace(other, draft):
                raise InputError(f"trace {_trace(draft)} is drafted already: {other.id}")
        found, number = draft, 2
        while (folder / f"{found.id}.json").exists():
            name = f"{draft.id}-{number}"
            case = msgspec.structs.replace(draft.case, id=name)
            found, number = msgspec.structs.replace(draft, id=name, case=case), number + 1
        _write(folder / f"{found.id}.json", found)
    return found


def pending(store: Path) -> list[Draft]:
    """The drafts that wait for a review, oldest first."""
    return sorted(_pending(store / FOLDER), key=lambda one: (one.created, one.id))


def find(store: Path, draft_id: str) -> Draft:
    """One pending draft; NotFoundError says what became of it, or what there is."""
    path = _path(store, draft_id)
    if path is not None and path.is_file():
        return _read(path)
    for what in ("accepted", "rejected"):
        if path is not None and (path.parent / what / path.name).is_file():
            raise NotFoundError(f"draft {draft_id} was {what} already")
    ids = ", ".join(one.id for one in pending(store)[:8]) or "none"
    raise NotFoundError(f"there is no draft {draft_id[:200]!r}. Pending: {ids}")


def accept(store: Path, draft_id: str, *, by: str, keep_both: bool = False) -> Accepted:
    """Appends the draft's case to its dataset and takes the draft off the list.

    Raises InputError where the case expects nothing, holds a secret, repeats an accepted case or
    contradicts one (``keep_both`` allows the last two); FileError where the dataset is wrong. The
    draft then stays pending.
    """
    with _drafts(store) as folder:
        draft = find(store, draft_id)
        dataset = Path(draft.dataset)
        with _locked(dataset) as file:
            known = _current(dataset)
            written = _written_before(draft, known)
            if written is None:
                _check(draft, known, keep_both)
                case = _signed(draft.case, known, by)
                line = _append(file, dataset, case)
            else:  # an earlier review was interrupted after the append
                case, line = written, _line_of(dataset, written)
        _finish(folder, draft, "accepted", {"by": by, "case": case.id})
    return Accepted(case, dataset, line)


def reject(store: Path, draft_id: str, *, by: str, reason: str) -> Draft:
    """Takes a draft off the list and keeps it with the reason."""
    if not reason.strip():
        raise InputError("a rejection needs a reason: --reason TEXT")
    with _drafts(store) as folder:
        draft = find(store, draft_id)
        clean, _ = redact_secrets(reason.strip()[:1000])
        _finish(folder, draft, "rejected", {"by": by, "reason": clean})
    return draft


def replace_case(store: Path, draft_id: str, case: Case) -> Draft:
    """The draft with an edited case, looked at anew for duplicates and conflicts."""
    with _drafts(store) as folder:
        draft = find(store, draft_id)
        if case.id != draft.case.id:
            raise InputError(f"the id stays {draft.case.id!r}; found {case.id!r}")
        _refuse_secrets(case)
        golden = Golden(_current(Path(draft.dataset)))
        edited = msgspec.structs.replace(
            draft,
            case=case,
            duplicates=golden.duplicates(case),
            conflicts=golden.conflicts(case),
        )
        _write(folder / f"{draft.id}.json", edited)
    return edited


def git_diff(path: Path) -> str:
    """What git says has changed in a file; empty outside a repository or without git."""
    command = ["git", "-C", str(path.parent), "diff", "--no-color", "--no-ext-diff", "-U0", "--"]
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command; the path is one argument
            [*command, path.name], capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.decode("utf-8", "replace")[:MAX_DIFF] if answer.returncode == 0 else ""


@contextmanager
def _drafts(store: Path) -> Iterator[Path]:
    """The folder of drafts, held: one reviewer changes it at a time."""
    folder = store / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with locks.held(folder / ".lock", wait=WAIT_S):
        yield folder


@contextmanager
def _locked(dataset: Path) -> Iterator[int]:
    """The dataset open for appending, under a lock on the very file that has its name.

    An editor that saves by rename puts another file in its place; then that one is taken.
    """
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            file = os.open(dataset, os.O_RDWR | os.O_APPEND)
        except OSError as error:
            raise FileError(Problem(str(dataset), f"cannot be written: {error.strerror}")) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file), dataset.stat()):
                break
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(file)
                raise StoreError(f"{dataset} is held by another reviewer: try again") from None
        except FileNotFoundError:
            pass  # between the two steps of a rename: look again
        os.close(file)
        time.sleep(0.02)
    try:
        yield file
    finally:
        os.close(file)


def _current(dataset: Path) -> Dataset:
    found, problems = read_dataset(dataset)
    wrong = [one for one in problems if "the dataset is empty" not in one.message]
    if wrong:
        raise FileError(*wrong)
    return found


def _written_before(draft: Draft, known: Dataset) -> Case | None:
    origin = draft.case.source
    for case in known:
        same = case.source and origin and case.source.trace_id == origin.trace_id
        if same and case.input == draft.case.input and case.id.startswith(draft.case.id):
            return case
    return None


def _check(draft: Draft, known: Dataset, keep_both: bool) -> None:
    case = draft.case
    if not case.expect.references and not case.expect.outcome:
        raise InputError(f"draft {draft.id} expects nothing yet: edit it first (--edit {draft.id})")
    _refuse_secrets(case)
    if keep_both:
        return
    golden = Golden(known)
    exact = [one.case for one in golden.duplicates(case) if one.exact]
    if exact:
        raise InputError(f"draft {draft.id} is the same as {exact[0]}; --keep-both adds it anyway")
    conflicts = golden.conflicts(case)
    if conflicts:
        raise InputError(
            f"draft {draft.id} contradicts accepted cases: {conflicts[0]}; edit or reject it, or "
            f"mend the other; --keep-both adds it anyway"
        )


def _refuse_secrets(case: Case) -> None:
    _, counts = redact_secrets(msgspec.to_builtins(case))
    if counts:
        raise InputError(f"case {case.id} holds {', '.join(counts)}: take that out first")


def _signed(case: Case, known: Dataset, by: str) -> Case:
    """The case with who reviewed it and when, under an id that is free."""
    ids = {one.id for one in known}
    name, number = case.id, 2
    while name in ids:
        name, number = f"{case.id}-{number}", number + 1
    added = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    source = (
        msgspec.structs.replace(case.source, reviewed_by=by, added=added) if case.source else None
    )
    return msgspec.structs.replace(case, id=name, source=source)


def _append(file: int, dataset: Path, case: Case) -> int:
    """Appends the case as one line, durably and whole or not at all; gives the line's number."""
    size = os.fstat(file).st_size
    torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
    data = b"\n" * torn + msgspec.json.encode(case) + b"\n"
    try:
        if os.write(file, data) != len(data):
            raise OSError("the disk is full")
        os.fsync(file)
    except OSError as error:
        os.ftruncate(file, size)
        raise StoreError(f"cannot append to {dataset}: {error.strerror or error}") from error
    return os.pread(file, size + len(data), 0).count(b"\n")


def _line_of(dataset: Path, case: Case) -> int:
    from evalkit.files import case_lines

    return case_lines(dataset).get(case.id, 0)


def _finish(folder: Path, draft: Draft, what: str, more: dict[str, str]) -> None:
    """Moves a draft to those that are decided; first the decision, then the pending file."""
    decided = {"draft": draft, "when": time.time(), **more}
    write_atomically(folder / what / f"{draft.id}.json", msgspec.json.encode(decided))
    (folder / f"{draft.id}.json").unlink(missing_ok=True)


def _pending(folder: Path) -> list[Draft]:
    return [_read(path) for path in sorted(folder.glob("*.json"))]


def _read(path: Path) -> Draft:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Draft)
    except (msgspec.MsgspecError, OSError) as error:
        raise FileError(Problem(str(path), f"not a draft: {error}; delete the file")) from None


def _write(path: Path, draft: Draft) -> None:
    write_atomically(path, msgspec.json.format(msgspec.json.encode(draft), indent=2))


def _path(store: Path, draft_id: str) -> Path | None:
    """The file of a draft; None for what can be no draft's id."""
    fine = draft_id and all(one.isascii() and (one.isalnum() or one == "-") for one in draft_id)
    return store / FOLDER / f"{draft_id}.json" if fine and len(draft_id) <= 200 else None


def _same_trace(one: Draft, other: Draft) -> bool:
    return one.dataset == other.dataset and _trace(one) == _trace(other)


def _trace(draft: Draft) -> str | None:
    return draft.case.source.trace_id if draft.case.source else None
