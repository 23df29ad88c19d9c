"""The failure of a tool that only its result tells."""

from __future__ import annotations

import re
from typing import Any

from msgspec.structs import replace

from evalkit.tracing.attributes import is_flagged, step_name, structured
from evalkit.tracing.readings import only_text
from evalkit.trajectory import Step

# How a message begins that reports a failure. A word alone is none: documents are about errors,
# and policies about exceptions.
_ERROR_TEXT = re.compile(
    r"\s*(?:"
    r"(?:\w*(?:error|exception)\b ?:|\w*(?:error|exception)\()|"
    r"(?:\w+ )?(?:error|exception) (?:\d|(?:code|while|during|when|in|from|occurred)\b|"
    r"(?!(?:budget|correct|handl|logg|monitor|report|track)ing)\w+ing\b)|"
    r"(?:error|exception)(?:\W*$| ?[-–—!,.] )|"
    r"traceback \(most recent|failed to |an error occurred|i encountered an error|"
    r"tool execution failed|"
    r"(?:\w+ )?exit(?:ed with)? ?(?:code|status):? ?[1-9])",
    re.IGNORECASE,
)
# What a result that is nothing but a failure consists of, as Google ADK has tools return it.
_FAILURE = frozenset({"status", "error", "error_message", "error_code", "error_type", "message"})
_TELLING = frozenset({"error", "isError", "is_error", "response_type", "result", "status"})


def judged(step: Step, *, from_messages: bool = False) -> Step:
    """The step with the failure that only its result tells, marked as inferred.

    ``isError`` and its like always tell; words such as "Error: ..." only in a result that comes
    from the messages, because there no span could tell.
    """
    if step.status == "error" or not (error := _error_in(step.output, from_messages)):
        return step
    return replace(step, status="error", error=error[:500], inferred=step.inferred or "status")


def _error_in(output: Any, from_messages: bool) -> str | None:
    if isinstance(output, dict):
        if _TELLING.isdisjoint(output):
            return None
        told = output.get("error")
        flagged = is_flagged(output.get("isError", output.get("is_error")))
        if flagged or "ERROR_HANDLED" in str(output.get("response_type", "")):
            said = only_text(output.get("content"))
            return step_name(told, output.get("error_details"), said, "error")
        if output.get("status") == "error" and set(output) <= _FAILURE:
            return step_name(told, output.get("error_message"), output.get("message"), "error")
        if from_messages and isinstance(told, str) and set(output) <= {"error", "type", "status"}:
            return step_name(told)
        inner = structured(output.get("result")) if set(output) == {"result"} else None
        return _error_in(inner, from_messages) if inner is not None else None
    if from_messages and isinstance(output, str) and reports_failure(output):
        return step_name(output)
    return None


def reports_failure(said: str) -> bool:
    """Whether a tool's answer in a chat begins as the report of a failure does."""
    return _ERROR_TEXT.match(said) is not None
