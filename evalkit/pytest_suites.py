"""A suite as pytest collects it: file, routes, cases; then the run that the items made, gated."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from evalkit.baselines import resolve
from evalkit.capture import open_capture
from evalkit.check import load_suite
from evalkit.cli.decision import report_on
from evalkit.dataset import Case, Expected, ExpectedStep
from evalkit.errors import EvalkitError
from evalkit.files import LoadedSuite
from evalkit.journal import Journal
from evalkit.phrasing import blocking_rows
from evalkit.planning import plan, read_settings
from evalkit.protocols import TrialContext
from evalkit.reporters.diff import render_diff, render_show
from evalkit.reports import GateReport, Report
from evalkit.results import Run, Score, Selection, Trial
from evalkit.scorers.trajectory_match import judge
from evalkit.store import Store
from evalkit.suite import Effects, Pipeline
from evalkit.targets.call import CallTarget
from evalkit.tracing.normalizer import to_trajectory
from evalkit.trajectory import Step, Trajectory
from evalkit.trials import Trials, as_json, open_trials
from evalkit.wording import without_reruns


class Session:
    """What the items of one suite share: the pipeline, its spans, and one event loop."""

    def __init__(self, loaded: LoadedSuite, planned: Run, store: Path) -> None:
        self.loaded, self.planned = loaded, planned
        self._store = store
        self._stack = ExitStack()
        self._opened: tuple[asyncio.Runner, Trials] | None = None

    def attempt(self, case: Case) -> list[Trial]:
        """All trials of a case, as many at once as the suite allows."""
        if self._opened is None:
            runner = self._stack.enter_context(asyncio.Runner())
            suite, folder = self.planned.suite, self.loaded.folder
            opened = open_trials(suite, folder, self.planned.settings, self._store)
            self._opened = (runner, self._stack.enter_context(opened))
        runner, trials = self._opened
        return runner.run(self._attempt(case, trials))

    async def _attempt(self, case: Case, trials: Trials) -> list[Trial]:
        room = asyncio.Semaphore(self.planned.suite.pipeline.concurrency)

        async def one(number: int) -> Trial:
            async with room:
                attempts, attempt = await trials.attempt(case, number)
            return await trials.judge(case, number, attempts, attempt)

        return await asyncio.gather(*(one(number) for number in range(self.planned.trials)))

    def close(self) -> None:
        """Ends the capture of spans."""
        if self._opened is not None:
            runner, trials = self._opened
            runner.run(trials.close())
        self._stack.close()


class SuiteFile(pytest.File):
    """A suite's file; its children are routes."""

    session_of_suite: Session

    def collect(self) -> Iterator[RouteItems]:
        """The routes, in the order of the dataset."""
        option = self.config.getoption
        try:
            loaded = load_suite(self.path)
            planned = plan(
                loaded,
                label=option("--evalkit-label"),
                trials=option("--evalkit-trials"),
                settings=read_settings(option("--evalkit-set")),
            )
            store = store_of(self.config)
            if baseline := option("--evalkit-baseline"):
                resolve(store, baseline, loaded.suite.name)
        except EvalkitError as error:
            raise self.CollectError(str(error)) from None
        self.session_of_suite = Session(loaded, planned, store.path)
        reports_of(self.config).add(self.path, self.session_of_suite)
        for route in dict.fromkeys(case.route for case in loaded.dataset):
            yield RouteItems.from_parent(self, name=route)


class RouteItems(pytest.Collector):
    """One route of a suite; its children are cases."""

    parent: SuiteFile

    def collect(self) -> Iterator[CaseItem]:
        """The route's cases."""
        for case in self.parent.session_of_suite.loaded.dataset:
            if case.route == self.name:
                yield CaseItem.from_parent(self, name=case.id, case=case)


class CaseFailed(AssertionError):  # noqa: N818  what a test raises is a failure
    """A gating scorer did not pass in most of the case's trials."""


class NoAnswer(Exception):  # noqa: N818  what a test raises
    """No trial of the case gave an answer: an infrastructure failure, not a wrong answer."""


class CaseItem(pytest.Item):
    """One case: all its trials. Its tags are markers."""

    parent: RouteItems

    def __init__(self, *, case: Case, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.case = case
        self.trials: list[Trial] = []
        for tag in case.tags:
            name = "".join(sign if sign.isalnum() else "_" for sign in tag)
            self.config.addinivalue_line("markers", f"{name}: cases tagged {tag}")
            self.add_marker(name)

    @property
    def suite_session(self) -> Session:
        """What the suite's items share."""
        return self.parent.parent.session_of_suite

    def runtest(self) -> None:
        """Runs the trials. With a baseline only the gate judges: see the items named ``gate``."""
        session = self.suite_session
        self.trials = session.attempt(self.case)
        answered = [trial for trial in self.trials if trial.status == "completed"]
        if not answered:
            raise NoAnswer(f"{self.trials[0].status}: {self.trials[0].error}")
        if self.config.getoption("--evalkit-baseline"):
            return
        for scorer in session.planned.suite.gate.of(self.case.route).on or ():
            scores = [one for trial in answered for one in trial.scores if one.scorer == scorer]
            passed = sum(score.passed is True for score in scores)
            judged = sum(score.passed is not None for score in scores)
            if judged and passed <= judged / 2:
                raise CaseFailed(f"{scorer} passed in {passed} of {judged} trials")
            if any(score.status == "could_not_judge" for score in scores) and not judged:
                raise NoAnswer(f"{scorer} could not judge: {scores[0].reason}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """For a case that failed: the first failing trial's path beside the expected one."""
        if isinstance(excinfo.value, NoAnswer):
            return str(excinfo.value)
        if not isinstance(excinfo.value, CaseFailed):
            return super().repr_failure(excinfo, style)
        session = self.suite_session
        gating = session.planned.suite.gate.of(self.case.route).on or ()
        failing = [
            trial
            for trial in self.trials
            if any(one.scorer in gating and one.passed is False for one in trial.scores)
        ]
        shown = render_show(session.planned, failing[:1], {self.case.id: self.case}, width=_width())
        return f"{excinfo.value}\n\n{shown}"

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where pytest says that this item is."""
        return self.path, None, f"{self.case.route}::{self.case.id}"


class Reports:
    """Gathers what the items found, from other processes too, and makes a run of it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._sessions: dict[str, Session] = {}
        self._trials: dict[str, list[Trial]] = {}
        self._shown: list[Report] = []
        self._problems: list[str] = []

    def add(self, path: Path, session: Session) -> None:
        """A suite that was collected in this process."""
        self._sessions[str(path)] = session

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iterator[None]:
        """A case's report carries its trials: with xdist another process makes the run."""
        report: Any = yield
        if isinstance(item, CaseItem) and call.when == "call":
            report.evalkit_suite = str(item.path)
            report.evalkit_trials = msgspec.json.encode(item.trials).decode()
        return report  # type: ignore[no-any-return]  # pytest's hook gives it untyped

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Takes the trials out of a case's report."""
        if encoded := getattr(report, "evalkit_trials", None):
            trials = msgspec.json.decode(encoded, type=list[Trial])
            self._trials.setdefault(report.evalkit_suite, []).extend(trials)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Stores one run a suite, gates it, and reports the gate's rows as items."""
        for one in self._sessions.values():
            one.close()
        if hasattr(self._config, "workerinput"):
            return
        for path, trials in self._trials.items():
            try:
                report = self._record(Path(path), trials)
            except EvalkitError as error:
                self._problems.append(str(error))
                session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
                continue
            self._shown.append(report)
            if report.gate is not None and _say_verdicts(session, Path(path), report.gate):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _record(self, path: Path, trials: Sequence[Trial]) -> Report:
        option = self._config.getoption
        loaded = load_suite(path)
        tried = {trial.case for trial in trials}
        every = tried == {case.id for case in loaded.dataset}
        planned = plan(
            loaded,
            label=option("--evalkit-label"),
            trials=option("--evalkit-trials"),
            settings=read_settings(option("--evalkit-set")),
            selection=None if every else Selection(cases=tuple(sorted(tried))),
        )
        store = store_of(self._config)
        baseline = option("--evalkit-baseline")
        # Found before this run is stored: `--evalkit-label main --evalkit-baseline main` works.
        against, notes = resolve(store, baseline, loaded.suite.name) if baseline else (None, ())
        journal = Journal.start(store.path, planned)
        journal.extend(trials)
        finished = journal.finish()
        store.add(finished.id)
        if against is None:
            return report_on(store, finished.id)
        told = (*notes, without_reruns("pytest tries each case as often as asked"))
        return report_on(store, finished.id, against.id, notes=told)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table per route, and the gate in full."""
        from evalkit.reporters.terminal import render

        for report in self._shown:
            terminalreporter.section(f"evalkit: {report.run.suite.name}")
            terminalreporter.write(render(report, width=_width()) + "\n")
        for problem in self._problems:
            terminalreporter.section("evalkit")
            terminalreporter.write_line(f"error: {problem}", red=True)


def _say_verdicts(session: pytest.Session, path: Path, gate: GateReport) -> int:
    """Reports each row of a gate as an item of its own; gives the number that failed."""
    failed = 0
    blocking = blocking_rows(gate)
    name = _relative(path, session.config.rootpath)
    for row in gate.rows:
        bad = row in blocking
        failed += bad
        where = f"gate::{row.route}::{row.scorer}"
        session.config.hook.pytest_runtest_logreport(
            report=pytest.TestReport(
                nodeid=f"{name}::{where}",
                location=(name, None, where),
                keywords={},
                outcome="failed" if bad else "passed",
                longrepr=f"{row.verdict}: {row.reason}" if bad else None,
                when="call",
            )
        )
    session.testsfailed += failed
    return failed


def reports_of(config: pytest.Config) -> Reports:
    """The one gatherer of this pytest, made when the first suite is collected."""
    found = config.pluginmanager.get_plugin("evalkit-reports")
    if found is None:
        found = Reports(config)
        config.pluginmanager.register(found, "evalkit-reports")
    assert isinstance(found, Reports)
    return found


def store_of(config: pytest.Config) -> Store:
    """The store that the options name."""
    named = config.getoption("--evalkit-store") or os.environ.get("EVALKIT_STORE") or ".evalkit"
    return Store(Path(named))


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _width() -> int:
    return shutil.get_terminal_size((100, 24)).columns


# --- tests written in Python --------------------------------------------------------------------


class Match(NamedTuple):
    """Whether a path is as expected; as text, why: what a failing ``assert`` shows."""

    score: Score

    def __bool__(self) -> bool:
        return self.score.passed is True

    def __repr__(self) -> str:
        return f"<{self.score.reason}>"


class PipelineRun(NamedTuple):
    """One call of a pipeline: what it answered and what it did.

    ``tell`` is given the paths side by side where they do not match.
    """

    trajectory: Trajectory
    tell: Callable[[str], None]

    @property
    def output(self) -> Any:
        """What the pipeline returned, as JSON values."""
        return self.trajectory.output

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps, nested."""
        return self.trajectory.steps

    def matches(
        self,
        expected: Iterable[ExpectedStep | Mapping[str, Any]],
        *,
        mode: Any = "in_order",
        args: Any = "stated",
        write: Sequence[str] | None = None,
    ) -> Match:
        """Compares the path with expected steps, written as in a case: ``{"tool": "look_up"}``.

        ``write`` names the tools that change state, for ``mode="effects"``.
        """
        steps = tuple(msgspec.convert(one, ExpectedStep) for one in expected)
        effects = Effects(write=None if write is None else tuple(write))
        expect = Expected(steps=steps, match=mode, args=args)
        case = Case(id="expected", input=None, route="-", expect=expect)
        found = Match(judge(expect, self.trajectory, effects))
        if not found:
            self.tell(render_diff(self.trajectory, case, effects, width=_width()))
        return found


@contextmanager
def open_pipeline_runs(tell: Callable[[str], None]) -> Iterator[Callable[..., PipelineRun]]:
    """A function that calls pipelines in this process and gives what each call did.

    ``tell`` gets what a failing match has to show, several lines that are to stay lines.
    """
    with open_capture("process") as capture:
        capture.ready()

        def call(
            pipeline: Callable[..., Any],
            case_input: Any,
            *,
            settings: Mapping[str, Any] | None = None,
        ) -> PipelineRun:
            target = CallTarget.of(pipeline)

            async def once() -> PipelineRun:
                with capture.trial() as trace:
                    answer = await target(
                        case_input,
                        TrialContext(
                            case="test",
                            trial=0,
                            trace_id=trace.trace_id,
                            traceparent=trace.traceparent,
                            settings=settings or {},
                            timeout=Pipeline(call="-").timeout,
                        ),
                    )
                    spans = await trace.spans()
                return PipelineRun(to_trajectory(spans, output=as_json(answer.output)), tell)

            return asyncio.run(once())

        yield call
