"""A model as judge, by a rubric. It can be trusted as far as it was calibrated."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from evalkit.dataset import Case
from evalkit.judging import answers, calibrations
from evalkit.judging.asking import Format, TooLongError, identity, request
from evalkit.judging.endpoint import Completion, EndpointError, complete, find
from evalkit.judging.verdicts import VALUES, UnreadableError, read_reply
from evalkit.results import Finding, Score, could_not_judge
from evalkit.trajectory import Trajectory

NAME = "judge"

Seconds = Annotated[float, msgspec.Meta(gt=0, le=600)]
Attempts = Annotated[int, msgspec.Meta(ge=1, le=10)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


async def judge(  # noqa: PLR0913  a suite's arguments are its parameters
    case: Case,
    trajectory: Trajectory,
    /,
    *,
    model: str,
    rubric: str,
    base_url_env: str = "OPENAI_BASE_URL",
    key_env: str = "OPENAI_API_KEY",
    response_format: Format = "json_schema",
    timeout: Seconds = 60.0,
    attempts: Attempts = 4,
    min_agreement: Share | None = None,
    store: str | None = None,
) -> Score:
    """1 and passed if the model finds that the rubric is met, 0 if not, 0.5 for "partially".

    Could not judge, never 0 or 1: the endpoint gives no answer, the answer holds no verdict that
    is understood, the model is unsure, or, with ``min_agreement``, this judge was not calibrated
    on the case's route to agree with its labels so often (``evalkit judge calibrate``; the
    verdict is kept in ``data`` for that). Answers are kept in the store by what was asked.
    """
    try:
        asked = request(model, rubric, case, trajectory, form=response_format)
        digest = answers.digest_of(asked)
        found = answers.recall(store, digest)
        cached = found is not None
        if found is None:
            endpoint = find(base_url_env, key_env)
            found = await complete(endpoint, asked, timeout=timeout, attempts=attempts)
        reply = read_reply(found.text)
    except (TooLongError, EndpointError, UnreadableError) as error:
        return could_not_judge(NAME, f"judge {model}: {error}")
    if not cached:
        answers.keep(store, digest, found)
    who = identity(model, rubric)
    data = _data(who, reply.verdict, found, cached)
    refused = None
    if reply.verdict == "unsure":
        refused = f"judge {model} is unsure: {reply.reason}"
    elif min_agreement is not None:
        refused = calibrations.refusal(store, who, case.route, min_agreement)
    if refused is not None:
        return Score(NAME, None, None, refused, status="could_not_judge", data=data)
    passed = reply.verdict == "pass"
    about = () if passed else (Finding("outcome", "rubric", detail=reply.reason[:500]),)
    reason = reply.reason or f"the rubric is {'' if passed else 'not '}met"
    return Score(NAME, VALUES[reply.verdict], passed, reason, about, data=data)


def _data(who: str, verdict: str, found: Completion, cached: bool) -> dict[str, Any]:
    return {
        "judge": who,
        "verdict": verdict,
        "model_served": found.model,
        "cached": cached,
        "tokens_in": found.tokens_in,
        "tokens_out": found.tokens_out,
    }
