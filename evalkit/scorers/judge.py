"""A model as judge, by a rubric. It can be trusted as far as it was calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import msgspec

from evalkit.dataset import Case
from evalkit.judging import answers, calibrations
from evalkit.judging.asking import Format, TooLongError, identity, request
from evalkit.judging.endpoint import Completion, EndpointError, complete, find
from evalkit.judging.verdicts import VALUES, UnreadableError, Verdict, read_reply
from evalkit.results import Finding, Score, nothing_to_judge
from evalkit.trajectory import Trajectory

NAME = "judge"

Seconds = Annotated[float, msgspec.Meta(gt=0, le=600)]
Attempts = Annotated[int, msgspec.Meta(ge=1, le=10)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Temperature = Annotated[float, msgspec.Meta(ge=0, le=2)]


class _Answer(NamedTuple):
    """What came of one rubric: a verdict, or None and in ``reason`` why there is none."""

    verdict: Verdict | None
    reason: str
    found: Completion | None = None
    cached: bool = False


async def judge(  # noqa: PLR0913  a suite's arguments are its parameters
    case: Case,
    trajectory: Trajectory,
    /,
    *,
    model: str,
    rubric: str | None = None,
    base_url_env: str = "OPENAI_BASE_URL",
    key_env: str = "OPENAI_API_KEY",
    response_format: Format = "json_schema",
    temperature: Temperature | None = 0,
    timeout: Seconds = 60.0,
    attempts: Attempts = 4,
    min_agreement: Share | None = None,
    store: str | None = None,
) -> Score:
    """1 and passed if the model finds that the rubric is met, 0 if not, 0.5 for "partially".

    The rubrics are the suite's, for every case, and those that the case states of its own
    (``{"judge": ...}`` in its ``outcome``), each asked by itself: the value is their mean, passed
    are all. One that is not met decides; else, could not judge, never 0 or 1: the endpoint gives
    no answer, the answer holds no verdict that is understood, the model is unsure, or, with
    ``min_agreement``, this judge (the model with the suite's rubric) was not calibrated on the
    case's route to agree with its labels so often (``evalkit judge calibrate``; the verdict is
    kept in ``data`` for that). Answers are kept in the store by what was asked,
    also those that hold no verdict.
    """
    own = [check.judge for check in case.expect.outcome if check.judge is not None]
    rubrics = dict.fromkeys([*([] if rubric is None else [rubric]), *own])
    if not rubrics:
        return nothing_to_judge(NAME, "neither the suite nor the case states a rubric")

    async def answered(one: str) -> _Answer:
        try:
            asked = request(
                model, one, case, trajectory, form=response_format, temperature=temperature
            )
            digest = answers.digest_of(asked)
            found = answers.recall(store, digest)
            cached = found is not None
            if found is None:
                endpoint = find(base_url_env, key_env)
                found = await complete(endpoint, asked, timeout=timeout, attempts=attempts)
                answers.keep(store, digest, found)
            reply = read_reply(found.text)
        except (TooLongError, EndpointError, UnreadableError) as error:
            return _Answer(None, f"judge {model}: {error}{_advice(error)}")
        if reply.verdict == "unsure":
            return _Answer("unsure", f"judge {model} is unsure: {reply.reason}", found, cached)
        met = "met" if reply.verdict == "pass" else "not met"
        return _Answer(reply.verdict, reply.reason or f"the rubric is {met}", found, cached)

    given = {one: await answered(one) for one in rubrics}
    who = identity(model, rubric or "", temperature)
    refused = None
    if min_agreement is not None and any(one.verdict in VALUES for one in given.values()):
        refused = calibrations.refusal(store, who, case.route, min_agreement)
    return _score(who, given, refused, own)


def _advice(error: Exception) -> str:
    said = str(error)
    if isinstance(error, EndpointError) and said.startswith("HTTP 400") and "temperature" in said:
        return ". `temperature: null` in the judge's arguments leaves it out"
    return ""


def _score(who: str, given: dict[str, _Answer], refused: str | None, own: Sequence[str]) -> Score:
    """All answers as one score; ``refused`` says why none of them may count."""
    worst = min(given.values(), key=lambda one: _GRAVEST.index(one.verdict))
    found = [one.found for one in given.values() if one.found is not None]
    data: dict[str, Any] = {}
    if found:
        data = {
            "judge": who,
            "verdict": worst.verdict,
            "model_served": found[0].model,
            "cached": all(one.cached for one in given.values()),
            "tokens_in": _sum([one.tokens_in for one in found]),
            "tokens_out": _sum([one.tokens_out for one in found]),
        }
    if own:
        data["rubrics"] = {one: _told(given[one], refused) for one in own}
    if worst.verdict not in VALUES or refused is not None:
        told = worst.reason if worst.verdict not in VALUES else refused or ""
        return Score(NAME, None, None, told, status="could_not_judge", data=data)
    failed = [one for one in given.values() if one.verdict in VALUES and one.verdict != "pass"]
    values = [VALUES[one.verdict] for one in given.values() if one.verdict in VALUES]
    about = tuple(Finding("outcome", "rubric", detail=one.reason[:500]) for one in failed)
    return Score(NAME, sum(values) / len(values), not failed, worst.reason, about, data=data)


_GRAVEST: tuple[Verdict | None, ...] = ("fail", "partial", None, "unsure", "pass")
"""Which verdict of several decides: one that is not met, else one that could not be had."""


def _told(answer: _Answer, refused: str | None) -> dict[str, Any]:
    """One rubric of the case: whether it is met (None: nobody can tell), and why."""
    if answer.verdict not in VALUES or refused is not None:
        return {"passed": None, "reason": answer.reason if refused is None else refused}
    return {"passed": answer.verdict == "pass", "reason": answer.reason}


def _sum(counts: Sequence[int | None]) -> int | None:
    """Tokens of all calls; None where one does not tell."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
