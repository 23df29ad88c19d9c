"""Throws a million damaged, random and hostile inputs at every parser of recorded traces.

    python benchmarks/tracing/fuzz.py [--inputs 1000000] [--seed 1] [--seeds FILE...] [--atheris]

Real documents are mutated (bytes flipped, cut, repeated, spliced; values replaced by numbers,
NaN, deep nesting, wrong types) and read all the way to trajectories, as documents and as files.
An input may be read or refused with a reason; an exception, an input that takes over a second of
processor time, or growth of memory is a failure. With --atheris (if it is installed) libFuzzer
guides the mutations; --seeds adds real files to the small documents that are mutated.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any

from fuzz_seeds import file_seeds, seeds, tau_seeds

from evalkit.errors import InputError
from evalkit.ingest import read_bounded
from evalkit.tracing.assembly import Reading, assemble
from evalkit.tracing.compression import inflate
from evalkit.tracing.documents import opened
from evalkit.tracing.formats import FORMATS, TAU, detect, read_parts
from evalkit.tracing.mending import mended
from evalkit.tracing.parts import Part
from evalkit.tracing.reasons import Reasons
from evalkit.tracing.tau import read_tau

MAX_SECONDS = 1.0
MAX_GROWTH_MB = 300

HOSTILE = [
    b"NaN", b"-Infinity", b"1e999", b"9" * 60, b"-1", b"null", b"true", b"[]", b"{}", b'""',
    b'"\\ud800"', b'"\\u0000"', b'"\xff\xfe"', b"[" * 3000, b'{"a":' * 3000, b'"' + b"x" * 5000,
    b"18446744073709551616", b'"' + b"9" * 500 + b'"', b"\x00", b'"2" * 16', b"[[[[]]]]",
    b'{"kvlistValue":{"values":[{"key":"k","value":{}}]}}', b'"STATUS_CODE_NONSENSE"',
]  # fmt: skip


def mutated(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """The document, damaged in one to four ways."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(found) + 1)
        match chance.randrange(7):
            case 0 if found:
                found[at % len(found)] = chance.randrange(256)
            case 1:
                del found[at : at + chance.randint(1, 40)]
            case 2:
                found[at:at] = chance.choice(HOSTILE)
            case 3:
                found[at:at] = found[at : at + chance.randint(1, 60)]
            case 4:
                other = chance.choice(others)
                start = chance.randrange(len(other))
                found[at : at + chance.randint(0, 30)] = other[start : start + 60]
            case 5:
                _replace_value(found, chance)
            case _:
                del found[at:]
    return bytes(found)


ODD: list[Any] = [
    None, True, -1, 2**64, 10**40, 0.5, 1e308, "", "x" * 3000, "\ud800", "9" * 500, [], {}, [[]],
    [None], {"a": {"b": [1]}}, "2" * 16, "STATUS_CODE_ERROR", "{", '{"a":' * 500, [1, "2", None],
]  # fmt: skip


def reshaped(data: bytes, chance: random.Random) -> bytes:
    """A JSON document in which one to three values are replaced, dropped or moved elsewhere."""
    found = json.loads(data)
    for _ in range(chance.randint(1, 3)):
        holders = [found]
        for one in holders:  # grows while it is read
            inner = one.values() if isinstance(one, dict) else one
            holders += [value for value in inner if isinstance(value, dict | list) and value]
        holder = chance.choice(holders)
        key = (
            chance.choice(list(holder))
            if isinstance(holder, dict)
            else chance.randrange(len(holder))
        )
        match chance.randrange(4):
            case 0:
                del holder[key]
            case 1:
                holder[key] = json.loads(json.dumps(chance.choice(holders)))
            case _:
                holder[key] = copy.deepcopy(chance.choice(ODD))
        if not found:
            break
    return json.dumps(found).encode()


def _replace_value(found: bytearray, chance: random.Random) -> None:
    """A JSON value after some colon becomes another one: the document often stays valid."""
    colon = found.find(b": ", chance.randrange(len(found) + 1))
    if colon >= 0:
        end = min((at for at in (found.find(c, colon) for c in (b",", b"}", b"]")) if at >= 0),
                  default=len(found))  # fmt: skip
        found[colon + 2 : end] = chance.choice(HOSTILE)


def read(name: str, data: bytes, outcomes: Counter[str]) -> None:
    """One input, all the way: document or file, parts, spans, trajectories."""
    refused = Reasons()
    try:
        parts = _file_parts(data, refused) if name == FILE else FORMATS[name].read(data, refused)
    except InputError:
        outcomes["refused"] += 1
        if name == FILE:
            return
        try:
            parts = FORMATS[name].read(mended(data, refused), refused)
        except (InputError, ValueError, RecursionError):
            return
        outcomes["mended"] += 1
    by_trace: dict[str, list[Part]] = {}
    for part in parts:
        by_trace.setdefault(part.trace_id, []).append(part)
    reading = Reading(refused, Counter())
    for trace_id, some in by_trace.items():
        recorded = assemble(trace_id, some, reading)
        outcomes["trajectory" if recorded else "nothing left"] += 1
    outcomes["in part refused"] += bool(refused)


FILE = "file"
_PATH = Path(tempfile.mkdtemp(prefix="fuzz-")) / "input"


def _file_parts(data: bytes, refused: Reasons) -> Iterable[Part]:
    """What `evalkit ingest` makes of a file; of benchmark results nothing but that they read."""
    _PATH.write_bytes(data)
    form = detect(_PATH)
    if form != TAU:
        return list(read_parts(_PATH, form, refused))
    read_tau(read_bounded(_PATH), "input")
    return []


def inflated(data: bytes) -> None:
    """Bytes as a compressed body."""
    try:
        inflate(data, 100_000)
    except InputError:
        return


def _given(files: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """Real documents with their formats."""
    for file in files:
        form = detect(file)
        if form in FORMATS:
            with opened(file, sys.exit) as data:
                yield form, data.read()


def _documents(files: Sequence[Path]) -> dict[str, list[bytes]]:
    """Where fuzzing begins: good documents of every format, and files."""
    good: dict[str, list[bytes]] = seeds()
    good[FILE] = [*file_seeds(good), *tau_seeds()]
    for form, document in _given(files):
        good[form].append(document)
    return good


def fuzz(inputs: int, seed: int, files: Sequence[Path]) -> int:
    """Runs and prints a table; the number of failures."""
    chance = random.Random(seed)
    good = _documents(files)
    everything = [one for some in good.values() for one in some]
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in good}
    failures = 0
    slowest = 0.0
    for name, some in good.items():  # warm: imports and caches are no growth
        for one in some:
            read(name, one, Counter())
    before = memory_mb()
    started = time.monotonic()
    for number in range(inputs):
        name = chance.choice(list(good))
        seed_document = chance.choice(good[name])
        if seed_document[:1] in b"{[" and chance.random() < 0.6 and b"\n" not in seed_document:
            data = reshaped(seed_document, chance)
        else:
            data = mutated(seed_document, everything, chance)
        clock = time.process_time()
        try:
            read(name, data, outcomes[name])
            if number % 20 == 0:
                inflated(b"\x1f\x8b\x08" + data)
        except Exception as error:  # what is looked for
            failures += 1
            if failures <= 5:
                print(f"FAILED {name}: {type(error).__name__}: {error}\n  {data[:2000]!r}")
        took = time.process_time() - clock
        slowest = max(slowest, took)
        if took > MAX_SECONDS:
            failures += 1
            print(f"SLOW {name}: {took:.1f} s\n  {data[:2000]!r}")
        outcomes[name]["inputs"] += 1
        if number % 100_000 == 99_999:
            done = time.monotonic() - started
            print(f"{number + 1:,} inputs, {done:.0f} s, {memory_mb():.0f} MB", flush=True)
    growth = memory_mb() - before
    columns = ("inputs", "refused", "mended", "in part refused", "trajectory", "nothing left")
    print(f"{'format':14}" + "".join(f"{column:>17}" for column in columns))
    for name, found in outcomes.items():
        print(f"{name:14}" + "".join(f"{found[column]:17,}" for column in columns))
    print(f"{inputs:,} inputs, {failures} failures, slowest {slowest:.2f} s, grew {growth:.0f} MB")
    return failures + (growth > MAX_GROWTH_MB)


def memory_mb() -> float:
    """The most that this process has had resident so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def guided(inputs: int) -> None:
    """The same, guided by coverage."""
    import atheris

    names = [*FORMATS, FILE]
    corpus = _PATH.parent / "corpus"
    corpus.mkdir()
    for number, document in enumerate(
        bytes([names.index(name)]) + one for name, some in _documents(()).items() for one in some
    ):
        (corpus / str(number)).write_bytes(document)
        read(names[document[0]], document[1:], Counter())  # loads what is loaded when it is needed

    def one(data: bytes) -> None:
        if data:
            read(names[data[0] % len(names)], data[1:], Counter())

    run: Callable[[], None] = atheris.Fuzz
    for module in [one for name, one in sys.modules.items() if name.startswith("evalkit.tracing")]:
        for found in vars(module).values():
            if isinstance(found, FunctionType) and found.__module__ == module.__name__:
                atheris.instrument_func(found)
    atheris.Setup([sys.argv[0], f"-runs={inputs}", "-max_len=8192", str(corpus)], one)
    run()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--inputs", type=int, default=1_000_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--atheris", action="store_true")
    options.add_argument("--seeds", type=Path, nargs="*", default=[], help="real trace files")
    chosen = options.parse_args()
    try:
        if chosen.atheris:
            guided(chosen.inputs)
        sys.exit(bool(fuzz(chosen.inputs, chosen.seed, chosen.seeds)))
    finally:
        shutil.rmtree(_PATH.parent, ignore_errors=True)
