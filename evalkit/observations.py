"""A stored run's tables as arrays, and what each scorer said of each case."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from evalkit.results import Finding, Recorded
from evalkit.suite import score_name

if TYPE_CHECKING:
    import pyarrow as pa

_decode_findings = msgspec.json.Decoder(list[Finding]).decode
_decode_data = msgspec.json.Decoder(dict[str, Any]).decode

Floats = NDArray[np.float64]
Whole = NDArray[np.intp]


@dataclass(frozen=True)
class Observed:
    """What one scorer said of one case: a value in [0, 1] and passed (1.0 or 0.0) per trial."""

    values: tuple[float, ...]
    passed: tuple[float, ...]

    @property
    def trials(self) -> Iterable[tuple[float, float]]:
        """Value and passed of each trial."""
        return zip(self.values, self.passed, strict=True)

    @cached_property
    def mean(self) -> float:
        """The mean value over trials; many cases share a record, so it is worked out once."""
        return sum(self.values) / len(self.values)


class ScoreRows(NamedTuple):
    """A run's scores as parallel arrays, for the planned cases only.

    ``case`` and ``scorer`` index ``cases`` and ``scorers``. ``value`` is NaN where not scored.
    ``judged`` is True where scored; ``failed`` where the scorer could not judge, a value outside
    [0, 1] included: what is not a number never passes.
    """

    cases: tuple[str, ...]
    scorers: tuple[str, ...]
    case: Whole
    scorer: Whole
    value: Floats
    passed: Floats
    judged: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    row: Whole


class Judged(NamedTuple):
    """A trial that a scorer scored: its value in [0, 1], its findings, and what it counted."""

    case: str
    trial: int
    value: float
    passed: bool
    findings: tuple[Finding, ...]
    data: Mapping[str, Any]


class TrialRows(NamedTuple):
    """A run's trials as parallel arrays, for the planned cases only; NaN where not known."""

    case: Whole
    completed: NDArray[np.bool_]
    latency_s: Floats
    tokens: Floats
    cost_usd: Floats
    row: Whole


class Groups(NamedTuple):
    """Positions sorted by a key: those of key k are ``order[starts[k]:starts[k + 1]]``."""

    order: Whole
    starts: Whole

    def of(self, key: int) -> Whole:
        """The positions of one key, in their order."""
        return self.order[self.starts[key] : self.starts[key + 1]]


def grouped(keys: Whole, count: int) -> Groups:
    """The positions of each key from 0 to ``count`` - 1."""
    starts = np.zeros(count + 1, dtype=np.intp)
    np.cumsum(np.bincount(keys, minlength=count), out=starts[1:])
    return Groups(np.argsort(keys, kind="stable"), starts)


def medians(values: Floats, keys: Whole, count: int) -> Floats:
    """The median of each key's values, for the keys from 0 to ``count`` - 1; NaN without any."""
    ordered = np.append(values[np.lexsort((values, keys))], math.nan)
    sizes = np.bincount(keys, minlength=count)
    starts = np.cumsum(sizes) - sizes
    low, high = (
        ordered[np.where(sizes > 0, starts + place, len(values))]
        for place in ((sizes - 1) // 2, sizes // 2)
    )
    found: Floats = (low + high) / 2
    return found


def judged_rows(scores: ScoreRows, scorer: str) -> Groups:
    """The rows of each case that a scorer scored."""
    mine = np.flatnonzero((scores.scorer == scores.scorers.index(scorer)) & scores.judged)
    found = grouped(scores.case[mine], len(scores.cases))
    return found._replace(order=mine[found.order])


def observations(scores: ScoreRows, scorer: str) -> dict[str, Observed]:
    """What a scorer said of each case that it scored at least once, in the plan's order.

    Cases of which it said the same share one record: large runs hold few different ones.
    """
    if scorer not in scores.scorers:
        return {}
    rows, starts = judged_rows(scores, scorer)
    counts = np.diff(starts)
    said = np.column_stack((scores.value[rows], scores.passed[rows]))
    of_case: list[Observed | None] = [None] * len(counts)
    for trials in np.unique(counts[counts > 0]).tolist():
        places = np.flatnonzero(counts == trials)
        cells = said[starts[places, None] + np.arange(trials)]
        packed = cells.reshape(len(places), -1).view(np.dtype((np.void, cells[0].nbytes)))
        kinds: dict[bytes, Observed] = {}
        for place, cell, kind in zip(places.tolist(), cells, packed[:, 0].tolist(), strict=True):
            if kind not in kinds:
                values, passed = cell.T.tolist()
                kinds[kind] = Observed(tuple(values), tuple(passed))
            of_case[place] = kinds[kind]
    return {
        case: seen for case, seen in zip(scores.cases, of_case, strict=True) if seen is not None
    }


def cases_by_route(recorded: Recorded) -> dict[str, Whole]:
    """Positions among the planned cases per route, routes by first appearance."""
    places: dict[str, list[int]] = defaultdict(list)
    for at, case in enumerate(recorded.run.planned):
        places[case.route].append(at)
    return {route: np.array(found, dtype=np.intp) for route, found in places.items()}


def trials_by_route(trials: TrialRows, routes: Mapping[str, Whole]) -> dict[str, Whole]:
    """Positions among the trials per route, of :func:`cases_by_route`."""
    of_case = np.zeros(sum(map(len, routes.values())), dtype=np.intp)
    for place, cases in enumerate(routes.values()):
        of_case[cases] = place
    found = grouped(of_case[trials.case], len(routes))
    return {route: found.of(place) for place, route in enumerate(routes)}


# What several look at one after another is read once; only the last two runs are held.
@lru_cache(maxsize=2)
def score_rows(recorded: Recorded) -> ScoreRows:
    """The scores table as arrays; scorers in the suite's order, then as they appear."""
    table = recorded.scores
    cases = tuple(case.id for case in recorded.run.planned)
    case = codes(table["case"], cases)
    keep = np.flatnonzero(case >= 0)
    names = [name for name in table["scorer"].unique().to_pylist() if name is not None]
    listed = [score_name(use.name) for use in recorded.run.suite.scorer_uses]
    scorers = tuple(sorted(names, key=lambda n: listed.index(n) if n in listed else len(listed)))
    value, passed = floats(table["value"])[keep], floats(table["passed"])[keep]
    status = codes(table["status"], ("scored", "nothing_to_judge", "could_not_judge"))[keep]
    sound = (value >= 0) & (value <= 1) & ~np.isnan(passed)
    judged = (status == 0) & sound
    scorer = codes(table["scorer"], scorers)[keep]
    failed = ~judged & (status != 1)
    return ScoreRows(cases, scorers, case[keep], scorer, value, passed, judged, failed, keep)


@lru_cache(maxsize=2)
def trial_rows(recorded: Recorded) -> TrialRows:
    """The trials table as arrays."""
    table = recorded.trials
    case = codes(table["case"], tuple(case.id for case in recorded.run.planned))
    keep = np.flatnonzero(case >= 0)
    completed = codes(table["status"], ("completed",))[keep] == 0
    read, written = floats(table["tokens_in"]), floats(table["tokens_out"])
    either = ~(np.isnan(read) & np.isnan(written))
    tokens = np.where(either, np.nan_to_num(read) + np.nan_to_num(written), np.nan)
    latency, cost = floats(table["latency_s"]), floats(table["cost_usd"])
    return TrialRows(case[keep], completed, latency[keep], tokens[keep], cost[keep], keep)


def codes(column: pa.ChunkedArray, known: Sequence[str]) -> Whole:
    """Each text's position among the known ones; -1 for others and nulls."""
    texts, at = encoded(column)
    places: dict[str | None, int] = dict(zip(known, range(len(known)), strict=True))
    # Every text is looked up once, however often it is there; nulls are the last.
    code = np.fromiter(map(places.get, (*texts, None), repeat(-1)), np.intp, len(texts) + 1)
    found: Whole = code[at]
    return found


def column(table: pa.Table, name: str) -> list[Any]:
    """A column as Python values, None for nulls."""
    import pyarrow as pa

    found = table[name]
    if not pa.types.is_dictionary(found.type):
        return found.to_pylist()  # type: ignore[no-any-return]  # pyarrow has no types
    texts, at = encoded(found)
    return [*map([*texts, None].__getitem__, at.tolist())]


def taken(rows: pa.Table | pa.ChunkedArray, places: Whole) -> Any:
    """The rows at these places, in their order; of a table or of one column."""
    return rows.take(integers(places))


def integers(numbers: Whole) -> pa.Array:
    """Whole numbers as Arrow has them: ``pa.array`` imports pandas, which takes longer."""
    import pyarrow as pa

    data = pa.py_buffer(np.ascontiguousarray(numbers, np.int64))
    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, data])


def floats(column: pa.ChunkedArray) -> Floats:
    """Numbers and truth values as floats; NaN for nulls."""
    found: Floats = _numbers(column, np.float64, np.nan)
    return found


def encoded(column: pa.ChunkedArray) -> tuple[list[str], Whole]:
    """The different texts of a column, and the place of each row's among them; -1 for nulls."""
    import pyarrow as pa

    texts = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    whole = _whole(texts)
    return _texts(whole.dictionary), _numbers(whole.indices, np.intp, -1)


def _texts(array: pa.StringArray) -> list[str]:
    """Texts, none of them null, read from Arrow's buffers: its own way takes five times as long."""
    _, ends, data = array.buffers()
    at = np.frombuffer(ends or bytes(4), np.int32)[array.offset :][: len(array) + 1].tolist()
    held = bytes(data or b"")
    return [held[start:end].decode() for start, end in pairwise(at)]


def _numbers(column: pa.ChunkedArray | pa.Array, kind: type, missing: float) -> Any:
    """A column as an array, with a number in the place of nulls.

    Read from Arrow's buffers: its own way to numpy imports pandas, which takes longer.
    """
    import pyarrow as pa

    whole = _whole(column)
    valid, data = whole.buffers()
    place = slice(whole.offset, whole.offset + len(whole))
    found: NDArray[Any]
    if pa.types.is_boolean(whole.type):
        found = _bits(data)[place].astype(kind)
    else:
        found = np.frombuffer(data or b"", whole.type.to_pandas_dtype())[place].astype(kind)
    if whole.null_count:
        found[_bits(valid)[place] == 0] = missing
    return found


def _bits(data: pa.Buffer | None) -> NDArray[np.uint8]:
    return np.unpackbits(np.frombuffer(data or b"", np.uint8), bitorder="little")


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    import pyarrow as pa

    while isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column


# --- what a scorer said of each trial ------------------------------------------------------------


def judged(recorded: Recorded, scorer: str) -> dict[str, list[Judged]]:
    """The trials that a scorer scored, per planned case."""
    rows = score_rows(recorded)
    found: dict[str, list[Judged]] = defaultdict(list)
    if scorer not in rows.scorers:
        return found
    mine = np.flatnonzero((rows.scorer == rows.scorers.index(scorer)) & rows.judged)
    table = taken(recorded.scores, rows.row[mine])
    data = column(table, "data") if "data" in table.column_names else [None] * len(mine)
    findings, trials = column(table, "findings"), table["trial"].to_pylist()
    values, passed = rows.value[mine].tolist(), (rows.passed[mine] > 0).tolist()
    cases = [rows.cases[case] for case in rows.case[mine].tolist()]
    for case, trial, value, well, text, counted in zip(
        cases, trials, values, passed, findings, data, strict=True
    ):
        told = _read_findings(text), _read_data(counted)
        found[case].append(Judged(case, trial, value, well, *told))
    return found


@lru_cache(maxsize=4096)
def _read_findings(text: str | None) -> tuple[Finding, ...]:
    """Stored findings; none where the text is not a list of them."""
    try:
        return tuple(_decode_findings(text)) if text else ()
    except (msgspec.DecodeError, RecursionError):
        return ()


@lru_cache(maxsize=4096)
def _read_data(text: str | None) -> Mapping[str, Any]:
    """Stored counts; none where the text is not an object."""
    try:
        return _decode_data(text) if text else {}
    except (msgspec.DecodeError, RecursionError):
        return {}
