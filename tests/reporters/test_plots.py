"""Plots: every one that there is data for, as SVG and PNG, whatever the names hold."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import msgspec
import pytest

from evalkit.breakdown import RouteBreakdown
from evalkit.errors import StoreError
from evalkit.history import Change, Point, RouteHistory
from evalkit.reporters import plots
from evalkit.step_failures import StepFailures
from tests.reporters.samples import failed_gate, report, row


def a_breakdown(rate: int) -> RouteBreakdown:
    step = StepFailures(
        route="vendor_exception",
        step="retriever $x^2$ \u202e日本",
        nth=0,
        optional=False,
        stated=3,
        expected=9,
        failed=rate,
        rate=rate / 9,
        by={"missing": rate},
        cases=("a",),
    )
    return RouteBreakdown(
        route="vendor_exception",
        path=(step,),
        beside=(),
        path_trials=9,
        confusion=(),
        causes={},
        steps_taken=0,
        latency_s=(),
        tokens=(),
    )


def a_history() -> RouteHistory:
    points = tuple(
        Point(
            run=f"r{n}", label="l", commit=None, started=n, mean=m, low=m, high=m, cases=3, trials=9
        )
        for n, m in enumerate((0.9, 0.9, 0.2))
    )
    change = Change(
        run="r2",
        label="l",
        commit=None,
        before=0.9,
        after=0.2,
        difference=-0.7,
        p_adjusted=0.001,
        earliest="r1",
        latest="r2",
        probability=0.9,
    )
    return RouteHistory(
        route="vendor_exception", scorer="s", points=points, changes=(change,), compared=3
    )


def test_writes_every_plot_twice_and_none_over_another(tmp_path):
    shown = report(failed_gate())
    alike = msgspec.structs.replace(a_breakdown(3), route="vendor exception")
    details = ({"a": a_breakdown(9), "b": alike}, {"vendor_exception": a_breakdown(0)})
    written = plots.write(tmp_path, shown, shown.routes, details, [a_history()])
    names = {path.stem for path in written}
    assert names == {
        "differences",
        "pass-k-task-completion",
        "pass-k-trajectory-match",
        "quality-cost-task-completion",
        "quality-cost-trajectory-match",
        "steps-vendor-exception",
        "steps-vendor-exception-",
        "history-vendor-exception-s",
    }
    assert {path.suffix for path in written} == {".svg", ".png"}
    for path in written:
        if path.suffix == ".svg":
            text = "".join(ET.parse(path).getroot().itertext())
            assert "(" in text or "k" in text
    drawn = "".join(ET.parse(tmp_path / "differences.svg").getroot().itertext())
    assert "−0.93  regressed" in drawn
    assert "95 % interval" in drawn


def test_seconds_are_on_no_axis_of_scores(tmp_path):
    gate = failed_gate()
    slow = row("small_talk", "latency_s", difference=-879.0, low=None, high=None)
    gate = msgspec.structs.replace(gate, rows=(slow, *gate.rows))
    plots.write(tmp_path, report(gate), (), ({}, {}), [])
    drawn = "".join(ET.parse(tmp_path / "differences.svg").getroot().itertext())
    assert "latency_s" not in drawn and "879" not in drawn
    assert not list(tmp_path.glob("*latency*"))


def test_a_folder_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write plots"):
        plots.write(tmp_path / "file", report(), (), ({}, {}), [])
