"""Per route: how often each signal comes, and whether that differs from an earlier window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from evalkit.stats import holm, percentile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALPHA = 0.05
Change = Literal["up", "down", "unclear", "new"]


class Window(NamedTuple):
    """The traces of one route in one window: how many, with which signals, and what they took.

    ``measure`` gives a number of every trace by name, NaN where it is not known.
    """

    traces: int
    signals: Counter[str]
    measure: Callable[[str], NDArray[np.float64]]


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """One measure of one route. Shares are in [0, 1] with their exact 95 % interval.

    ``change`` is ``unclear`` where noise explains the difference (p after Holm over all rows above
    0.05) and ``new`` where nothing earlier is there to compare with.
    """

    route: str
    measure: str
    value: float | None
    low: float | None = None
    high: float | None = None
    before: float | None = None
    p_adjusted: float | None = None
    change: Change = "new"


def rates(now: Mapping[str, Window], before: Mapping[str, Window]) -> tuple[Rate, ...]:
    """Every route's signals, and its p99 latency, tokens, cost and tool timeouts per trace.

    Signals are compared by Fisher's exact test, p99 by the share of traces above the earlier
    window's p99, the others (means) by the Mann-Whitney test; all p-values are corrected together.
    """
    rows: list[Rate] = []
    ps: list[float | None] = []
    for route in sorted(now):
        for rate, p in _of_route(route, now[route], before.get(route)):
            rows.append(rate)
            ps.append(p)
    known = iter(holm([p for p in ps if p is not None]))
    return tuple(
        row if p is None else _judged(row, next(known)) for row, p in zip(rows, ps, strict=True)
    )


def _of_route(route: str, now: Window, before: Window | None) -> list[tuple[Rate, float | None]]:
    found = []
    kinds = sorted(set(now.signals) | set(before.signals if before else ()))
    for kind in kinds:
        count = now.signals[kind]
        low, high = exact_interval(count, now.traces)
        was = before.signals[kind] / before.traces if before else None
        rate = Rate(
            route=route,
            measure=kind,
            value=count / now.traces,
            low=low,
            high=high,
            before=was,
        )
        p = _fisher(count, now.traces, before.signals[kind], before.traces) if before else None
        found.append((rate, p))
    return found + _spending(route, now, before)


def _spending(route: str, now: Window, before: Window | None) -> list[tuple[Rate, float | None]]:
    latency, earlier = _known(now, "seconds"), _known(before, "seconds")
    p99, was99 = percentile(latency, 99), percentile(earlier, 99)
    p = None
    if was99 is not None and len(latency):
        above = [int((values > was99).sum()) for values in (latency, earlier)]
        p = _fisher(above[0], len(latency), above[1], len(earlier))
    found = [(Rate(route=route, measure="latency_p99", value=p99, before=was99), p)]
    for name in ("tokens", "cost_usd", "tool_timeouts"):
        values, old = _known(now, name), _known(before, name)
        rate = Rate(route=route, measure=name, value=_mean(values), before=_mean(old))
        found.append((rate, _mann_whitney(values, old)))
    return [(rate, p) for rate, p in found if rate.value is not None]


def _known(window: Window | None, name: str) -> NDArray[np.float64]:
    import numpy as np

    values = window.measure(name) if window else np.empty(0)
    return values[~np.isnan(values)]


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


def _judged(row: Rate, p: float) -> Rate:
    value, before = row.value or 0.0, row.before or 0.0
    change: Change = "unclear" if p > ALPHA else "up" if value > before else "down"
    return msgspec.structs.replace(row, p_adjusted=p, change=change)


def exact_interval(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share by Clopper and Pearson."""
    from scipy.special import betaincinv

    low = float(betaincinv(count, total - count + 1, 0.025)) if count else 0.0
    high = float(betaincinv(count + 1, total - count, 0.975)) if count < total else 1.0
    return low, high


def _fisher(count: int, total: int, was: int, of: int) -> float:
    import numpy as np
    from scipy.stats import fisher_exact

    return float(fisher_exact(np.array([[count, total - count], [was, of - was]]))[1])


def _mann_whitney(values: NDArray[np.float64], old: NDArray[np.float64]) -> float | None:
    if not len(values) or not len(old):
        return None
    from scipy.stats import mannwhitneyu

    if min(values.min(), old.min()) == max(values.max(), old.max()):
        return 1.0
    return float(mannwhitneyu(values, old).pvalue)
