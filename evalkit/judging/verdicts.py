"""What a judge said, read explicitly: a table of words, and nothing guessed beyond it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

Verdict = Literal["pass", "partial", "fail", "unsure"]

_GOOD = """
pass passed true yes success successful succeeded satisfied satisfactory satisfies compliant correct
resolved complete completed acceptable good 1
"""
_PARTIAL = """
partial partially_satisfied partially_correct partially_compliant partially_resolved partial_pass
partial_success mixed
"""
_BAD = """
fail failed false no failure unsuccessful unsatisfied unsatisfactory not_satisfied non_compliant
noncompliant not_compliant violation incorrect wrong unresolved incomplete unacceptable bad 0
"""
_UNSURE = "unsure unknown unclear undecided inconclusive cannot_tell"

WORDS: dict[Verdict, frozenset[str]] = {
    "pass": frozenset(_GOOD.split()),
    "partial": frozenset(_PARTIAL.split()),
    "fail": frozenset(_BAD.split()),
    "unsure": frozenset(_UNSURE.split()),
}
"""Every word that is understood. Case, surrounding punctuation, and whether words are joined by
blanks, hyphens or underscores make no difference; any other word is unknown."""

VALUES: dict[Verdict, float] = {"pass": 1.0, "partial": 0.5, "fail": 0.0}

_VERDICT_OF = {word: verdict for verdict, words in WORDS.items() for word in words}
_MAX_TEXT = 200_000
_MAX_STARTS = 50
_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*?)```", re.DOTALL)


class Reply(NamedTuple):
    """A judge's verdict, with the reason that it gave."""

    verdict: Verdict
    reason: str


class UnreadableError(Exception):
    """A reply that holds no verdict that is understood; the message says what was found."""


def normalise(word: Any) -> Verdict | None:
    """The verdict that a word, truth value, 0 or 1 stands for; None if it is not in the table."""
    if isinstance(word, bool | int | float):
        return "pass" if word == 1 else "fail" if word == 0 else None
    if not isinstance(word, str) or len(word) > 100:
        return None
    plain = re.sub(r"[\s_-]+", "_", word.casefold().strip(" \t\r\n.!\"'*`"))
    return _VERDICT_OF.get({"1.0": "1", "0.0": "0"}.get(plain, plain))


def read_reply(text: str) -> Reply:
    """The verdict in a judge's reply.

    The reply is a JSON object with ``verdict`` and ``reason``, alone, in a fence, or with text
    around it; of several objects with a verdict all must agree. Raises UnreadableError.
    """
    replies = [one for one in _objects(text[:_MAX_TEXT]) if "verdict" in one]
    if not replies:
        raise UnreadableError(f"no JSON object with a `verdict` in {_show(text)}")
    verdicts = {normalise(one["verdict"]) for one in replies}
    if len(verdicts) > 1:
        raise UnreadableError(f"several verdicts that disagree in {_show(text)}")
    verdict = verdicts.pop()
    if verdict is None:
        raise UnreadableError(f"the verdict {_show(str(replies[0]['verdict']))} is not understood")
    return Reply(verdict, " ".join(str(replies[0].get("reason") or "").split())[:1000])


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects of a text: the whole, else those in fences, else any."""
    whole = _decoded(text.strip())
    if whole is not None:
        yield whole
        return
    fenced = [one for one in map(_decoded, _FENCED.findall(text)) if one is not None]
    if fenced:
        yield from fenced
        return
    at, decoder = text.find("{"), json.JSONDecoder()
    for _ in range(_MAX_STARTS):
        if at < 0:
            return
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            if isinstance(value, dict):
                yield value
        at = text.find("{", end)


def _decoded(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _show(text: str) -> str:
    return repr(" ".join(text[:400].split())[:200])
