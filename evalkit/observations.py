"""A stored run's tables as arrays, and what each scorer said of each case."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from evalkit.results import Finding, Recorded

if TYPE_CHECKING:
    import pyarrow as pa

_decode_findings = msgspec.json.Decoder(list[Finding]).decode
_decode_data = msgspec.json.Decoder(dict[str, Any]).decode

Floats = NDArray[np.float64]
Whole = NDArray[np.intp]


class Observed(NamedTuple):
    """What one scorer said of one case: a value in [0, 1] and passed (1.0 or 0.0) per trial."""

    values: tuple[float, ...]
    passed: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean value over trials."""
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
    """A trial that a scorer scored: its findings, and what it counted."""

    case: str
    trial: int
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


def observations(scores: ScoreRows, scorer: str) -> dict[str, Observed]:
    """What a scorer said of each case that it scored at least once."""
    if scorer not in scores.scorers:
        return {}
    mine = np.flatnonzero((scores.scorer == scores.scorers.index(scorer)) & scores.judged)
    mine = mine[np.argsort(scores.case[mine], kind="stable")]
    case = scores.case[mine]
    values, passed = scores.value[mine].tolist(), scores.passed[mine].tolist()
    return {
        scores.cases[case[start]]: Observed(tuple(values[start:end]), tuple(passed[start:end]))
        for start, end in stretches(case)
    }


def cases_by_route(recorded: Recorded) -> dict[str, Whole]:
    """Positions among the planned cases per route, routes by first appearance."""
    places: dict[str, list[int]] = defaultdict(list)
    for at, case in enumerate(recorded.run.planned):
        places[case.route].append(at)
    return {route: np.array(found, dtype=np.intp) for route, found in places.items()}


def trials_of(trials: TrialRows, cases: Whole) -> NDArray[np.bool_]:
    """Which trials are of these cases."""
    chosen = np.zeros(int(max(cases.max(), trials.case.max(initial=0))) + 1, dtype=bool)
    chosen[cases] = True
    result: NDArray[np.bool_] = chosen[trials.case]
    return result


def score_rows(recorded: Recorded) -> ScoreRows:
    """The scores table as arrays; scorers in the suite's order, then as they appear."""
    table = recorded.scores
    cases = tuple(case.id for case in recorded.run.planned)
    case = _codes(table["case"], cases)
    keep = np.flatnonzero(case >= 0)
    names = [name for name in table["scorer"].unique().to_pylist() if name is not None]
    listed = [use.name for use in recorded.run.suite.scorer_uses]
    scorers = tuple(sorted(names, key=lambda n: listed.index(n) if n in listed else len(listed)))
    value, passed = _floats(table["value"])[keep], _floats(table["passed"])[keep]
    status = _codes(table["status"], ("scored", "nothing_to_judge", "could_not_judge"))[keep]
    sound = (value >= 0) & (value <= 1) & ~np.isnan(passed)
    judged = (status == 0) & sound
    scorer = _codes(table["scorer"], scorers)[keep]
    failed = ~judged & (status != 1)
    return ScoreRows(cases, scorers, case[keep], scorer, value, passed, judged, failed, keep)


def trial_rows(recorded: Recorded) -> TrialRows:
    """The trials table as arrays."""
    table = recorded.trials
    case = _codes(table["case"], tuple(case.id for case in recorded.run.planned))
    keep = np.flatnonzero(case >= 0)
    completed = _codes(table["status"], ("completed",))[keep] == 0
    read, written = _floats(table["tokens_in"]), _floats(table["tokens_out"])
    either = ~(np.isnan(read) & np.isnan(written))
    tokens = np.where(either, np.nan_to_num(read) + np.nan_to_num(written), np.nan)
    latency, cost = _floats(table["latency_s"]), _floats(table["cost_usd"])
    return TrialRows(case[keep], completed, latency[keep], tokens[keep], cost[keep], keep)


def _codes(column: pa.ChunkedArray, known: tuple[str, ...]) -> Whole:
    """Each text's position among the known ones; -1 for others and nulls."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):  # every text is looked up once, however often it is
        whole = column.combine_chunks()
        whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
        places = {text: at for at, text in enumerate(known)}
        of_each = [places.get(text, -1) for text in whole.dictionary.to_pylist()]
        codes = np.array([*of_each, -1], dtype=np.intp)
        at = whole.indices.to_numpy(zero_copy_only=False)  # floats, NaN for nulls, where there are
        codes_of: Whole = codes[np.where(np.isfinite(at), at, -1).astype(np.intp)]
        return codes_of
    found = pc.index_in(pc.cast(column, pa.string()), value_set=pa.array(known, pa.string()))
    return pc.fill_null(found, -1).to_numpy().astype(np.intp)  # type: ignore[no-any-return]  # pyarrow has no types


def _floats(column: pa.ChunkedArray) -> Floats:
    """Numbers and truth values as floats; NaN for nulls."""
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = pc.cast(column, pa.uint8()) if pa.types.is_boolean(column.type) else column
    return pc.cast(numbers, pa.float64()).to_numpy().astype(float)  # type: ignore[no-any-return]  # pyarrow has no types


def column(table: pa.Table, name: str) -> list[Any]:
    """A column as Python values, None for nulls."""
    return table[name].to_pylist()  # type: ignore[no-any-return]  # pyarrow has no types


def stretches(keys: Whole) -> list[tuple[int, int]]:
    """Where each stretch of equal neighbours starts and ends."""
    if not len(keys):
        return []
    edges = [0, *(np.flatnonzero(np.diff(keys)) + 1).tolist(), len(keys)]
    return list(itertools.pairwise(edges))


# --- what a scorer said of each trial ------------------------------------------------------------


def judged(recorded: Recorded, scorer: str) -> dict[str, list[Judged]]:
    """The trials that a scorer scored, per planned case."""
    rows = score_rows(recorded)
    found: dict[str, list[Judged]] = defaultdict(list)
    if scorer not in rows.scorers:
        return found
    mine = np.flatnonzero((rows.scorer == rows.scorers.index(scorer)) & rows.judged)
    table = recorded.scores.take(rows.row[mine])
    data = column(table, "data") if "data" in table.column_names else [None] * len(mine)
    findings, trials = column(table, "findings"), table["trial"].to_pylist()
    for case, trial, text, counted in zip(
        rows.case[mine].tolist(), trials, findings, data, strict=True
    ):
        name = rows.cases[case]
        found[name].append(Judged(name, trial, _read_findings(text), _read_data(counted)))
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
