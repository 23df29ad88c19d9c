"""Plots as files, SVG and PNG: for print, papers and chats. Colour is never the only sign.

Blue squares are the baseline, orange circles the candidate (Okabe and Ito's palette, which
colour-blind readers tell apart; in grey they differ by shape and fill).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evalkit import phrasing
from evalkit.breakdown import RouteBreakdown
from evalkit.errors import StoreError
from evalkit.escaping import line
from evalkit.history import RouteHistory
from evalkit.reports import FAILED, Report, RouteSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BASELINE, CANDIDATE, BAD, INK = "#0072B2", "#D55E00", "#A00000", "#333333"
MAX_ROUTES = 30
_STYLE: Any = {  # matplotlib types its keys as literals
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "text.parse_math": False,  # what is plotted comes from data: a dollar sign is a dollar sign
    "svg.hashsalt": "evalkit",
    "svg.fonttype": "none",
}


class Plot(NamedTuple):
    """A figure and the name of its files."""

    name: str
    figure: Figure


def write(
    folder: Path,
    report: Report,
    before: Sequence[RouteSummary],
    details: tuple[Mapping[str, RouteBreakdown], Mapping[str, RouteBreakdown]],
    history: Sequence[RouteHistory],
) -> list[Path]:
    """Writes every plot that there is data for; StoreError where that fails.

    ``before`` are the baseline's routes, and ``details`` the candidate's and the baseline's.
    """
    import matplotlib as mpl

    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with mpl.rc_context(_STYLE), warnings.catch_warnings():
            # Names may hold signs that the font lacks: a box is drawn, and that is all right.
            warnings.filterwarnings("ignore", message="Glyph")
            for plot in plots(report, before, details, history):
                name = plot.name
                while folder / f"{name}.svg" in written:  # two routes may be alike as files
                    name += "-"
                for form in ("svg", "png"):
                    path = folder / f"{name}.{form}"
                    metadata: dict[str, Any] = {"Date": None} if form == "svg" else {}
                    plot.figure.savefig(path, dpi=200, metadata=metadata)
                    written.append(path)
    except OSError as error:
        raise StoreError(f"cannot write plots to {folder}: {error.strerror or error}") from error
    return written


def plots(
    report: Report,
    before: Sequence[RouteSummary],
    details: tuple[Mapping[str, RouteBreakdown], Mapping[str, RouteBreakdown]],
    history: Sequence[RouteHistory],
) -> Iterator[Plot]:
    """Differences, pass^k, quality against cost, fail rate by step, and history."""
    on = _gating(report)
    label = line(report.run.label, 40)
    old = before[0].label if before else ""
    if found := _differences(report, label, line(old, 40)):
        yield Plot("differences", found)
    for scorer in on[:4]:
        if found := _pass_curves(report.routes, before, scorer):
            yield Plot(f"pass-k-{_file(scorer)}", found)
        if found := _quality_cost(report.routes, before, scorer):
            yield Plot(f"quality-cost-{_file(scorer)}", found)
    for route in list(details[0].values())[:MAX_ROUTES]:
        if found := _steps(route, details[1].get(route.route)):
            yield Plot(f"steps-{_file(route.route)}", found)
    for one in history[: MAX_ROUTES * 2]:
        if len(one.points) > 1:
            name = f"history-{_file(one.route)}-{_file(one.scorer)}"
            yield Plot(name, _history(one))


def _gating(report: Report) -> list[str]:
    """The scorers that decide; limits and what trials took are rows of the gate, and no scores."""
    scored = {one.scorer for route in report.routes for one in route.scorers}
    rows = report.gate.rows if report.gate else ()
    deciding = dict.fromkeys(row.scorer for row in rows) or report.run.suite.gate.on
    return [name for name in deciding if name in scored]


def _file(name: str) -> str:
    """A name as part of a file's name: letters, digits, dots and dashes, nothing else."""
    return "".join(one if one.isascii() and one.isalnum() else "-" for one in name)[:60] or "-"


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


# --- the plots ----------------------------------------------------------------------------


def _differences(report: Report, label: str, old: str) -> Figure | None:
    """A forest plot: candidate minus baseline per route and scorer, with 95 % intervals."""
    scorers = _gating(report)
    rows = [
        row
        for row in (report.gate.rows if report.gate else ())
        if row.difference is not None and row.low is not None and row.scorer in scorers
    ]
    if not rows:
        return None
    rows = rows[: MAX_ROUTES * 2]
    figure, axes = _figure(7.0, 1.1 + 0.3 * len(rows))
    for at, row in enumerate(rows):
        assert row.difference is not None, "rows without a difference are left out"
        assert row.low is not None and row.high is not None, "and those without an interval"
        worse = row.verdict in FAILED
        axes.plot([row.low, row.high], [at, at], color=BAD if worse else INK, lw=1.6)
        axes.plot(
            row.difference, at, marker="D" if worse else "o", color=BAD if worse else INK, ms=5
        )
        said = f"{phrasing.signed(row.difference)}  {row.verdict}"
        axes.annotate(said, (1.01, at), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    axes.axvline(0, color=INK, lw=0.8, ls="--")
    axes.set_yticks(
        range(len(rows)), [f"{line(row.route, 40)} · {line(row.scorer, 30)}" for row in rows]
    )
    axes.invert_yaxis()
    axes.set_xlabel("difference of mean scores, with 95 % interval (score, 0 to 1)")
    axes.set_title(f"{label} minus {old}")
    return figure


def _pass_curves(
    routes: Sequence[RouteSummary], before: Sequence[RouteSummary], scorer: str
) -> Figure | None:
    """pass^k per route: small multiples, each version a line."""
    sides = [_hats(before, scorer), _hats(routes, scorer)]
    names = [name for name in sides[1] if len(sides[1][name]) > 1][:MAX_ROUTES]
    if not names:
        return None
    from matplotlib.figure import Figure

    columns = min(4, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(2.1 * columns + 0.8, 1.9 * lines + 0.9), layout="constrained")
    for place, name in enumerate(names):
        axes = figure.add_subplot(lines, columns, place + 1)
        for side, (color, marker, filled) in zip(sides, _LOOKS, strict=True):
            hats = side.get(name)
            if hats:
                axes.plot(
                    list(hats),
                    list(hats.values()),
                    color=color,
                    marker=marker,
                    mfc=color if filled else "white",
                    ms=5,
                )
        axes.set_ylim(-0.05, 1.05)
        axes.set_xticks(list(sides[1][name])[:10])
        axes.set_title(line(name, 24), fontsize=9)
    figure.supxlabel("k (trials of a case that must all pass)", fontsize=9)
    figure.supylabel(f"pass^k of {line(scorer, 30)}", fontsize=9)
    _legend(figure, routes, before)
    return figure


_LOOKS = ((BASELINE, "s", False), (CANDIDATE, "o", True))


def _hats(routes: Sequence[RouteSummary], scorer: str) -> dict[str, dict[int, float]]:
    return {
        route.route: dict(sorted(one.pass_hat.items()))
        for route in routes
        for one in route.scorers
        if one.scorer == scorer
    }


_POINTS = 220
"""About how many typographic points a score of 1 is high in :func:`_quality_cost`."""


def _quality_cost(
    routes: Sequence[RouteSummary], before: Sequence[RouteSummary], scorer: str
) -> Figure | None:
    """Mean score against cost per route and version, tokens where no cost is known.

    An arrow leads from the baseline to the candidate; red where the baseline dominates it.
    """
    priced = any(route.cost_usd is not None for route in routes)

    def across(route: RouteSummary) -> float | None:
        return route.cost_usd if priced else route.tokens

    points = [
        (at, route, x, one.estimate)
        for at, side in enumerate((before, routes))
        for route in side[:MAX_ROUTES]
        for one in route.scorers
        if one.scorer == scorer
        and (x := across(route)) is not None
        and one.estimate.mean is not None
    ]
    if not points:
        return None
    figure, axes = _figure(6.5, 4.4)
    known: dict[str, tuple[float, float]] = {}
    named: list[tuple[float, float]] = []
    reach = max(x for _, _, x, _ in points) - min(x for _, _, x, _ in points)
    for at, route, x, seen in points:
        color, marker, filled = _LOOKS[at]
        assert seen.mean is not None and seen.low is not None and seen.high is not None
        axes.plot([x, x], [seen.low, seen.high], color=color, lw=1, alpha=0.6)
        axes.plot(x, seen.mean, marker=marker, color=color, mfc=color if filled else "white", ms=6)
        if at == 0:
            known[route.route] = (x, seen.mean)
            continue
        place = (x, seen.mean)
        # Names of points that lie near one another stand one below the other.
        at_y = seen.mean * _POINTS - 10
        while any(abs(one - x) < reach / 4 and abs(y - at_y) < 9 for one, y in named):
            at_y -= 3
        named.append((x, at_y))
        under = (6, at_y - seen.mean * _POINTS)
        said = line(route.route, 30)
        axes.annotate(said, place, xytext=under, textcoords="offset points", fontsize=8)
        if old := known.get(route.route):
            dominated = seen.mean < old[1] and x >= old[0]
            arrow = {"arrowstyle": "->", "color": BAD if dominated else INK, "lw": 0.8}
            axes.annotate("", place, xytext=old, arrowprops=arrow)
    axes.set_xlabel("cost per trial (US dollars, mean)" if priced else "tokens per trial (mean)")
    axes.set_ylabel(f"{line(scorer, 30)} (mean score, 0 to 1, 95 % interval)")
    axes.set_ylim(-0.05, 1.05)
    axes.set_title("Quality against cost per route" + (" (red: worse, no cheaper)" * bool(known)))
    _legend(figure, routes, before)
    return figure


def _steps(now: RouteBreakdown, was: RouteBreakdown | None) -> Figure | None:
    """Fail rate by step along the expected path."""
    path = [step for step in now.path if step.rate is not None][:40]
    if not path:
        return None
    old = {(step.step, step.nth): step.rate for step in was.path} if was else {}
    figure, axes = _figure(7.0, 1.0 + 0.32 * len(path))
    shares = [step.rate or 0.0 for step in path]
    axes.barh(range(len(path)), shares, color=CANDIDATE, height=0.55, label="candidate")
    if was is not None:
        axes.plot(
            [old.get((step.step, step.nth)) or 0.0 for step in path],
            range(len(path)),
            marker="s",
            mfc="white",
            color=BASELINE,
            ls="",
            label="baseline",
        )
        axes.legend(frameon=False, fontsize=8)
    again = ["" if not step.nth else f" ({step.nth + 1})" for step in path]
    axes.set_yticks(
        range(len(path)),
        [f"{line(one.step, 50)}{more}" for one, more in zip(path, again, strict=True)],
    )
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of trials that fail at this step (of the cases that expect it)")
    axes.set_title(line(now.route, 60))
    return figure


def _history(found: RouteHistory) -> Figure:
    """A scorer's mean over runs, oldest first, with intervals; changes are shaded."""
    figure, axes = _figure(7.0, 3.2)
    at = range(len(found.points))
    means = [point.mean for point in found.points]
    errors = [
        [max(0.0, point.mean - point.low) for point in found.points],
        [max(0.0, point.high - point.mean) for point in found.points],
    ]
    axes.errorbar(at, means, errors, color=CANDIDATE, marker="o", ms=5, lw=1.2, capsize=2)
    places = {point.run: place for place, point in enumerate(found.points)}
    for change in found.changes:
        first, last = places[change.earliest] - 1, places[change.latest]
        axes.axvspan(first, last, color=BASELINE, alpha=0.12)
        axes.annotate(
            f"{phrasing.signed(change.difference)}, p {phrasing.p_value(change.p_adjusted)}",
            ((first + last) / 2, 1.02),
            ha="center",
            fontsize=8,
            annotation_clip=False,
        )
    axes.set_xticks(at, [line(point.label, 16) for point in found.points], rotation=40, ha="right")
    axes.set_ylim(-0.05, 1.1)
    axes.set_ylabel("mean score (0 to 1), 95 % interval")
    axes.set_title(f"{line(found.route, 40)}: {line(found.scorer, 40)} over runs")
    return figure


def _legend(figure: Figure, routes: Sequence[RouteSummary], before: Sequence[RouteSummary]) -> None:
    from matplotlib.lines import Line2D

    sides = [(before, *_LOOKS[0]), (routes, *_LOOKS[1])]
    handles = [
        Line2D(
            [],
            [],
            color=color,
            marker=marker,
            mfc=color if filled else "white",
            label=line(side[0].label, 40),
        )
        for side, color, marker, filled in sides
        if side
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False, fontsize=8)
