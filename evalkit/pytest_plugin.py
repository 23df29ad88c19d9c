"""pytest: suites are collected like tests, one item per case, and the gate's verdict is an item.

    pytest --evalkit suite.yaml --evalkit-baseline main

This module is loaded by every pytest that evalkit is installed beside: it imports nothing heavy,
and does nothing where no suite is collected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from evalkit.pytest_suites import SuiteFile

_HEAD_BYTES = 20_000
_KEYS = re.compile(rb"""(?m)(?:^|[{,])\s*["']?(pipeline|dataset)["']?\s*:""")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of ``pytest --help`` under "evalkit"."""
    group = parser.getgroup("evalkit", "evalkit: evaluate LLM pipelines")
    add = group.addoption
    add("--evalkit", action="append", default=[], metavar="SUITE", help="run this suite's cases")
    add("--evalkit-baseline", metavar="RUN", help="gate against this run or label")
    add("--evalkit-label", default="pytest", metavar="LABEL", help="the run's label")
    add("--evalkit-store", default=None, metavar="DIR", help="the store; default .evalkit")
    add("--evalkit-trials", type=int, metavar="N", help="trials of each case")
    add(
        "--evalkit-set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting of the pipeline",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Suites named by ``--evalkit`` are what is collected, beside what is named otherwise."""
    suites = [str(Path(suite).resolve()) for suite in config.getoption("--evalkit")]
    if suites:
        named = config.args_source is pytest.Config.ArgsSource.ARGS
        config.args = [*(config.args if named else []), *suites]
    if config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Relay(config), "evalkit-relay")


class _Relay:
    """With xdist, this process collects nothing: the first report of a case tells it of suites."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: Any) -> None:
        if hasattr(report, "evalkit_trials"):
            from evalkit.pytest_suites import reports_of

            self._config.pluginmanager.unregister(self)
            reports_of(self._config).pytest_runtest_logreport(report)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> SuiteFile | None:
    """``suite.yaml`` and ``NAME.suite.yaml`` files, and those named by ``--evalkit``."""
    named = {Path(suite).resolve() for suite in parent.config.getoption("--evalkit")}
    if file_path not in named and not _is_suite(file_path):
        return None
    from evalkit.pytest_suites import SuiteFile

    return SuiteFile.from_parent(parent, path=file_path)


def _is_suite(path: Path) -> bool:
    """Whether a file is named as suites are and has what a suite has: others use that name too."""
    if path.name != "suite.yaml" and not path.name.endswith(".suite.yaml"):
        return False
    with path.open("rb") as file:
        return {b"pipeline", b"dataset"} <= set(_KEYS.findall(file.read(_HEAD_BYTES)))


@pytest.fixture
def run_pipeline(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Calls a pipeline: ``run_pipeline(function, case_input, settings={...})``.

    The function is called as a suite would call it, with ``settings`` by keyword if it has that
    parameter ({} unless given). The result has ``output``, ``steps``, and assertions that explain
    themselves::

        def test_refund(run_pipeline):
            trajectory = run_pipeline(answer, {"question": "I want a refund"})
            assert trajectory.matches([{"tool": "look_up_order"}, {"tool": "refund_order"}])
    """
    from evalkit.pytest_suites import open_pipeline_runs

    def tell(shown: str) -> None:  # a section: pytest makes one line of what an object shows
        request.node.add_report_section("call", "path", shown)

    with open_pipeline_runs(tell) as call:
        yield call
