"""Per route: how often each signal comes, and whether that differs from an earlier window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from evalkit.stats import holm, percentile
from evalkit.triaging.norms import Spent

ALPHA = 0.05
Change = Literal["up", "down", "unclear", "new"]


class Window(msgspec.Struct, frozen=True):
    """The traces of one route in one window: how many, with which signals, and what they took."""

    traces: int
    signals: Counter[str]
    spent: tuple[Spent, ...]


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
    """Every route's signals (Fisher's exact test), p99 latency, tokens and cost per trace.

    p99 is compared by the share of traces above the earlier window's p99, tokens and cost by the
    Mann-Whitney test; all p-values are corrected together.
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
    if was99 is not None and latency:
        above = [sum(value > was99 for value in values) for values in (latency, earlier)]
        p = _fisher(above[0], len(latency), above[1], len(earlier))
    found = [(Rate(route=route, measure="latency_p99", value=p99, before=was99), p)]
    for name in ("tokens", "cost_usd"):
        values, old = _known(now, name), _known(before, name)
        rate = Rate(route=route, measure=name, value=_mean(values), before=_mean(old))
        found.append((rate, _mann_whitney(values, old)))
    return [(rate, p) for rate, p in found if rate.value is not None]


def _known(window: Window | None, name: str) -> list[float]:
    if window is None:
        return []
    return [value for one in window.spent if (value := getattr(one, name)) is not None]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


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


def _mann_whitney(values: Sequence[float], old: Sequence[float]) -> float | None:
    if not values or not old:
        return None
    from scipy.stats import mannwhitneyu

    if len({*values, *old}) == 1:
        return 1.0
    return float(mannwhitneyu(values, old).pvalue)
