"""The traces of a route as columns: what triage keeps of each, so that many fit in memory."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from evalkit.triaging.signals import Signal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MEASURES = ("seconds", "tokens", "cost_usd", "tool_timeouts")
"""The numbers that are kept of each trace: the fields of Spent."""

T = TypeVar("T", bound=Hashable)


class Spent(msgspec.Struct, frozen=True):
    """What one trace took; None where the recording does not tell.

    ``tool_timeouts`` is the share of its tool calls that timed out.
    """

    seconds: float | None = None
    tokens: int | None = None
    cost_usd: float | None = None
    tool_timeouts: float | None = None


class Distinct(Generic[T]):
    """Values by number, each kept once: most traces repeat the path and signals of others."""

    def __init__(self) -> None:
        self._numbers: dict[T, int] = {}

    def number(self, value: T) -> int:
        return self._numbers.setdefault(value, len(self._numbers))

    def values(self) -> list[T]:
        return list(self._numbers)


class Traces:
    """The traces of one route in order of reading: about 200 bytes each, whatever they hold.

    ``paths`` and ``signals`` are shared by all routes: the sets of steps that traces took, and
    the signals that they show by themselves or people gave them.
    """

    def __init__(
        self, paths: Distinct[frozenset[str]], signals: Distinct[tuple[Signal, ...]]
    ) -> None:
        self.names: list[str] = []
        self._paths, self._signals = paths, signals
        self._path, self._own = array("q"), array("q")
        self._started = array("d")
        self._measures = {name: array("d") for name in MEASURES}

    def __len__(self) -> int:
        return len(self.names)

    def append(
        self,
        name: str,
        started: float,
        spent: Spent,
        path: frozenset[str],
        signals: tuple[Signal, ...],
    ) -> None:
        """Keeps one trace."""
        self.names.append(name)
        self._started.append(started)
        self._path.append(self._paths.number(path))
        self._own.append(self._signals.number(signals))
        for measure, column in self._measures.items():
            value = getattr(spent, measure)
            column.append(float("nan") if value is None else value)

    def started(self, at: int) -> float:
        """When a trace began, in seconds since the epoch."""
        return self._started[at]

    def measure(self, name: str) -> NDArray[np.float64]:
        """One of MEASURES of every trace; NaN where the recording does not tell."""
        import numpy as np

        return np.frombuffer(self._measures[name], dtype=np.float64)

    def paths(self) -> Counter[frozenset[str]]:
        """How many traces took each set of steps."""
        values = self._paths.values()
        return Counter({values[number]: count for number, count in Counter(self._path).items()})

    def signals(self) -> Counter[tuple[Signal, ...]]:
        """How many traces show the same signals."""
        values = self._signals.values()
        return Counter({values[number]: count for number, count in Counter(self._own).items()})

    def alike(self) -> Iterator[tuple[frozenset[str], tuple[Signal, ...], Sequence[int]]]:
        """Path, signals and places of traces that have both in common."""
        import numpy as np

        paths, signals = self._paths.values(), self._signals.values()
        both = np.frombuffer(self._path, np.int64) * len(signals)
        both = both + np.frombuffer(self._own, np.int64)
        order = np.argsort(both, kind="stable")
        kinds, first = np.unique(both[order], return_index=True)
        for kind, places in zip(kinds, np.split(order, first[1:]), strict=True):
            path, own = divmod(int(kind), len(signals))
            yield paths[path], signals[own], places.tolist()
