"""Trials that may have called more than their traces tell, as limits on steps must know."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from evalkit.observations import Whole, encoded
from evalkit.tool_names import is_same_tool
from evalkit.trajectory import Coverage
from evalkit.unrecorded import kinds_untold

if TYPE_CHECKING:
    import pyarrow as pa

Flags = NDArray[np.bool_]

_decode = msgspec.json.Decoder(Coverage).decode


class StepColumns(NamedTuple):
    """The recorded steps as columns, in the order of a walk: the trial of each, -1 for none.

    ``rebuilt`` are calls that only a model's messages show.
    """

    trial: Whole
    kind: NDArray[np.str_]
    name: NDArray[np.str_]
    failed: Flags
    rebuilt: Flags


def retries(coverage: pa.ChunkedArray, steps: StepColumns) -> Flags:
    """Per trial, whether steps may have been tried again that its trace does not show.

    A call that only a model's messages show may stand for several tries.
    """

    def lacks(told: Coverage) -> bool:
        return bool(kinds_untold(told)) or any(call.kind == "tool" for call in told.unseen)

    found = _by_trial(coverage, lacks)
    found[_trials(steps, steps.rebuilt & (steps.kind == "tool"))] = True
    return found


def failures(coverage: pa.ChunkedArray, steps: StepColumns, name: str) -> Flags:
    """Per trial, whether a step of this name may have failed without its trace's saying so.

    It may be a call that is not recorded at all, or that only a model's messages show, and nothing
    what it returned.
    """
    mine = steps.name == name
    kinds = frozenset(np.unique(steps.kind[mine]).tolist()) or frozenset({"tool"})
    took = np.zeros(len(coverage), dtype=bool)
    took[_trials(steps, mine)] = True

    def asked(told: Coverage) -> bool:
        return any(is_same_tool(call.name, name) for call in told.unseen)

    not_recorded = _by_trial(coverage, lambda told: not kinds.isdisjoint(kinds_untold(told)))
    silent = np.zeros(len(coverage), dtype=bool)
    silent[_trials(steps, mine & steps.rebuilt & ~steps.failed)] = True
    silent &= _by_trial(coverage, lambda told: "outputs" in told.missing)
    found: Flags = (not_recorded & ~took) | _by_trial(coverage, asked) | silent
    return found


def _trials(steps: StepColumns, which: Flags) -> Whole:
    """The trials that have such a step."""
    found: Whole = steps.trial[which & (steps.trial >= 0)]
    return found


def _by_trial(coverage: pa.ChunkedArray, holds: Callable[[Coverage], bool]) -> Flags:
    """Whether something holds of each trial's coverage; not where there is none to be read."""
    texts, at = encoded(coverage)
    told = [False] * (len(texts) + 1)  # the last is of nulls
    for place, text in enumerate(texts):
        try:
            told[place] = holds(_decode(text))
        except (msgspec.MsgspecError, RecursionError):
            continue
    found: Flags = np.array(told)[at]
    return found
