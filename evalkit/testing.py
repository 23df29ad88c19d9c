"""For authors of plug-ins: small builders, and a conformance check for each seam.

    from evalkit.testing import check_scorer
    def test_my_scorer_conforms():
        check_scorer("my_package.scorers:my_scorer")

Each check raises AssertionError that says what the seam asks for and what was found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from evalkit.dataset import Case, Expected, ExpectedStep, OutcomeCheck
from evalkit.protocols import Answer, Convention, Reading, Target, TrialContext
from evalkit.results import Score
from evalkit.scoring import bind, score_trial
from evalkit.spans import Span
from evalkit.suite import Effects, ScorerUse
from evalkit.trajectory import Step, Trajectory

ODD_ATTRIBUTES: tuple[dict[str, Any], ...] = (
    {},
    {"gen_ai.operation.name": 7, "gen_ai.tool.name": ["x"]},
    {"openinference.span.kind": "TOOL", "input.value": "{not json", "tool.name": None},
    {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.arguments": "[" * 5000},
    {"llm.token_count.prompt": "many", "metadata": b"\xff\x00"},
)


def case(case_id: str = "case", **expect: Any) -> Case:
    """A case; keywords are the fields of :class:`evalkit.dataset.Expected`."""
    return Case(id=case_id, input=None, route="route", expect=Expected(**expect))


def tool(name: str, arguments: Any = None, output: Any = None, **fields: Any) -> Step:
    """A tool call."""
    return Step(kind="tool", name=name, arguments=arguments, output=output, **fields)


def check_scorer(name: str, arguments: Mapping[str, Any] | None = None) -> None:
    """A scorer, named as a suite names it, gives the same Score twice, for odd trials too."""
    (bound,) = bind([ScorerUse(name, dict(arguments or {}))], Effects(), None)
    cases = (
        case(),
        case(steps=()),
        case(
            outcome=(OutcomeCheck(contains="x"),),
            steps=(ExpectedStep(tool="a"), ExpectedStep(node="b", optional=True)),
        ),
    )
    trajectories = (
        Trajectory(),
        Trajectory(steps=(tool("a"), tool("a", {"x": 1}, status="error")), output="x"),
        Trajectory(steps=(Step(kind="agent", name="é\x00", steps=(tool("b"),)),), output={"a": []}),
    )
    for one in cases:
        for trajectory in trajectories:
            scores = score_trial(one, trajectory, [bound])
            assert scores, f"{bound.name} gave no score: return nothing_to_judge(...) instead"
            for score in scores:
                assert isinstance(score, Score)
                failed = score.status == "could_not_judge" and "Error" in score.reason
                assert not failed, f"{bound.name} raised on {trajectory}: {score.reason}"
            again = score_trial(one, trajectory, [bound])
            assert scores == again, f"{bound.name} is not pure: {scores} then {again}"


def check_convention(convention: Convention) -> None:
    """A convention never raises, whatever a span's attributes are, and reads into a Reading."""
    assert isinstance(convention, Convention), "a convention has name, claims() and read()"
    assert convention.name, "a convention has a name"
    for attributes in ODD_ATTRIBUTES:
        span = Span(
            trace_id="0" * 32,
            span_id="1" * 16,
            name="odd",
            start_ns=2,
            end_ns=1,
            attributes=attributes,
        )
        claimed = convention.claims(span)
        assert isinstance(claimed, bool), f"claims() gave {claimed!r}, not True or False"
        if claimed:
            for parent in (None, span):
                reading = convention.read(span, parent)
                assert isinstance(reading, Reading), f"read() gave {reading!r}"


def check_target(target: Target, case_input: Any) -> Answer:
    """A target answers an input, and says where its spans come from; gives the answer."""
    places = {"process", "otlp", "recording"}
    assert target.spans_from in places, f"spans_from is one of {sorted(places)}"
    context = TrialContext(
        case="case",
        trial=0,
        trace_id="1" * 32,
        traceparent=f"00-{'1' * 32}-{'2' * 16}-01",
        settings={},
        timeout=30.0,
        otlp_endpoint="http://127.0.0.1:9",
    )

    async def ask() -> Answer:
        try:
            async with asyncio.timeout(context.timeout):
                return await target(case_input, context)
        finally:
            await target.close()

    answer = asyncio.run(ask())
    assert isinstance(answer, Answer), f"a target gives an Answer, found {answer!r}"
    return answer
