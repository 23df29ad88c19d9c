"""Suites and datasets on disk: read strictly, every problem with file, line, case id and key."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from evalkit import strict_yaml
from evalkit.dataset import Case, Dataset
from evalkit.errors import FileError, Problem
from evalkit.strict_yaml import Document, show_path
from evalkit.suite import Suite
from evalkit.validation import salvage

MAX_DEPTH = 100


class LoadedSuite(NamedTuple):
    """A suite with the dataset that it names, as read from ``path``."""

    suite: Suite
    dataset: Dataset
    path: Path

    @property
    def folder(self) -> Path:
        """The suite's folder: what its relative paths are relative to."""
        return self.path.parent


class SuiteFile(NamedTuple):
    """A suite file as far as it could be read: the record, and where its keys stand.

    ``bad`` are the keys that were left out of the record.
    """

    suite: Suite | None
    document: Document | None
    problems: list[Problem]
    bad: frozenset[strict_yaml.Path] = frozenset()


class CaseLine(NamedTuple):
    """A line of a dataset: its case as far as it could be read, without what is ``bad`` in it."""

    number: int
    case: Case | None
    problems: tuple[Problem, ...]
    bad: frozenset[strict_yaml.Path] = frozenset()


def read_suite(path: Path) -> SuiteFile:
    """The suite in a YAML file, with all problems of its keys and values."""
    try:
        document = strict_yaml.read(read_text(path), str(path))
    except FileError as error:
        return SuiteFile(None, None, list(error.problems))
    suite, invalid = salvage(document.value, Suite)
    problems = [
        Problem(str(path), message, *document.mark(where), key=show_path(where))
        for where, message in invalid
    ]
    return SuiteFile(suite, document, problems, frozenset(where for where, _ in invalid))


def suite_alone(path: Path) -> Suite:
    """The suite in a YAML file, for what looks at neither its dataset nor its pipeline.

    Raises FileError with every problem of its keys and values.
    """
    file = read_suite(path)
    if file.suite is None or file.problems:
        raise FileError(*file.problems)
    return file.suite


def read_dataset(path: Path) -> tuple[Dataset, list[Problem]]:
    """The cases of a JSON Lines file that could be read, and all problems of the others."""
    try:
        lines = list(read_lines(path))
    except FileError as error:
        return Dataset((), str(path)), list(error.problems)
    return dataset_of(path, lines)


def dataset_of(path: Path, lines: Iterable[CaseLine]) -> tuple[Dataset, list[Problem]]:
    """The cases of those lines that have no problem, and all problems of the others."""
    cases: list[Case] = []
    problems: list[Problem] = []
    for line in lines:
        problems += line.problems
        if line.case is not None and not line.problems:
            cases.append(line.case)
    if not cases and not problems:
        problems.append(Problem(str(path), "the dataset is empty: it needs at least one case"))
    return Dataset(tuple(cases), str(path)), problems


def read_lines(path: Path) -> Iterator[CaseLine]:
    """Every line of a dataset that is not blank, good or bad. Raises FileError."""
    first: dict[str, int] = {}
    for number, value, problem in _json_lines(read_text(path), str(path)):
        if problem:
            yield CaseLine(number, None, (problem,))
            continue
        case, invalid = salvage(value, Case)
        case_id = str(value.get("id")) if isinstance(value, dict) else None
        problems = [
            Problem(str(path), message, number, case=case_id, key=show_path(where))
            for where, message in invalid
        ]
        if case is not None and first.setdefault(case.id, number) != number:
            message = f"duplicate id: line {first[case.id]} has it too"
            problems.append(Problem(str(path), message, number, case=case.id, key="$.id"))
        yield CaseLine(number, case, tuple(problems), frozenset(where for where, _ in invalid))


def case_lines(path: Path) -> dict[str, int]:
    """The line of each case of a dataset, for reports that point at it."""
    return {
        str(value.get("id")): number
        for number, value, problem in _json_lines(read_text(path), str(path))
        if problem is None and isinstance(value, dict)
    }


def write_dataset(path: Path, cases: Iterable[Case]) -> None:
    """Writes cases as JSON Lines, whole or not at all."""
    write_atomically(path, b"".join(msgspec.json.encode(case) + b"\n" for case in cases))


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that a reader sees the old content or the new, also after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_text(path: Path) -> str:
    """A text file's content; FileError says what is wrong with it otherwise."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileError(Problem(str(path), "no such file")) from None
    except IsADirectoryError:
        raise FileError(Problem(str(path), "this is a folder, not a file")) from None
    except UnicodeDecodeError as error:
        message = f"not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}"
        raise FileError(Problem(str(path), message)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileError(Problem(str(path), f"cannot be read: {reason}")) from None


def _json_lines(text: str, file: str) -> Iterator[tuple[int, Any, Problem | None]]:
    """Line number and value of each line that is not blank, or the problem with it."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, read_json(line), None
        except json.JSONDecodeError as error:
            yield number, None, Problem(file, f"not JSON: {error.msg}", number, error.colno)
        except (ValueError, RecursionError) as error:
            yield number, None, Problem(file, f"not JSON that can be used: {error}", number)


def read_json(text: str) -> Any:
    """Strict JSON: no duplicate keys, no NaN or Infinity, at most 100 levels deep."""
    value = _decoder.decode(text)
    # Counting brackets is quick, and hardly any text has so many.
    if text.count("{") + text.count("[") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"duplicate key `{twice}`")
    return found


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)


def _deeper_than(value: Any, limit: int) -> bool:
    """Whether containers nest deeper than ``limit`` levels; level by level, without recursion."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        children = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
        ]
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return False
    return True
