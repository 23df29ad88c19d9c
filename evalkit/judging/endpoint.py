"""An OpenAI-compatible endpoint, asked once: with retries, bounded, and without telling its key."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Mapping
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from evalkit.threads import OverTimeError, in_thread_within

MAX_REPLY = 4_000_000
MAX_WAIT_S = 30.0
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


class Completion(NamedTuple):
    """What the model said, and what it took; None where the endpoint does not tell."""

    text: str
    model: str | None
    tokens_in: int | None
    tokens_out: int | None


class Endpoint(NamedTuple):
    """Where the model is, from environment variables; the key is never shown."""

    url: str
    key: str

    def __repr__(self) -> str:
        return "Endpoint(...)"


class EndpointError(Exception):
    """No answer: the message says why, without the key."""


class _Refusal(NamedTuple):
    why: str
    again: bool
    wait: float | None = None


def find(base_url_env: str, key_env: str) -> Endpoint:
    """The endpoint that the environment names. EndpointError says which variable is missing."""
    base, key = os.environ.get(base_url_env, ""), os.environ.get(key_env, "")
    if not base:
        raise EndpointError(f"the environment variable {base_url_env} is not set")
    try:
        parts = urlsplit(base)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise EndpointError(f"{base_url_env} is no http:// or https:// address")
    return Endpoint(base.rstrip("/") + "/chat/completions", key.strip())


async def complete(
    endpoint: Endpoint, request: Mapping[str, Any], *, timeout: float, attempts: int
) -> Completion:
    """The model's answer; 429, 5xx, timeouts and lost connections are tried again.

    Each of at most ``attempts`` may take ``timeout`` seconds without a byte, and twice that in
    all; between them it waits about half a second, doubled each time, or what the endpoint asks
    for, at most 30 s. Raises EndpointError.
    """
    body = json.dumps(request).encode()
    for attempt in range(attempts):
        found = await _asked(endpoint, body, timeout)
        if isinstance(found, Completion):
            return found
        refused, tried = found, attempt + 1
        if not refused.again or tried == attempts:
            break
        wait = random.uniform(0.5, 1) * 2**attempt / 2  # noqa: S311  a delay, no secret
        await asyncio.sleep(min(MAX_WAIT_S, wait if refused.wait is None else refused.wait))
    tries = f" (tried {tried} times)" if tried > 1 else ""
    raise EndpointError(_without(endpoint.key, refused.why) + tries)


async def _asked(endpoint: Endpoint, body: bytes, timeout: float) -> Completion | _Refusal:
    try:
        answer = await in_thread_within(2 * timeout, lambda: _post(endpoint, body, timeout))
    except (OverTimeError, TimeoutError):
        return _Refusal(f"no answer within {timeout:g} s", again=True)
    except (OSError, HTTPException) as error:
        return _Refusal(f"not reached, or cut off: {type(error).__name__}", again=True)
    except ValueError:  # a key or address that no header or URL can hold; it says which
        return _Refusal("the address or the key has characters that HTTP does not allow", False)
    return answer if isinstance(answer, _Refusal) else _completion(answer)


def _post(endpoint: Endpoint, body: bytes, timeout: float) -> bytes | _Refusal:
    """One exchange. Redirects are not followed: the key goes to the address that was named."""
    parts = urlsplit(endpoint.url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    headers = {"content-type": "application/json", "accept": "application/json"}
    if endpoint.key:
        headers["authorization"] = f"Bearer {endpoint.key}"
    with closing(kind(parts.hostname or "", parts.port, timeout=timeout)) as connection:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, headers)
        response = connection.getresponse()
        data = response.read(MAX_REPLY + 1)
        if response.status != HTTPStatus.OK:
            said = " ".join(data[:2000].decode("utf-8", "replace").split())[:300]
            why = f"HTTP {response.status}: {said}"
            wait = _seconds(response.getheader("retry-after"))
            return _Refusal(why, response.status in RETRIED, wait)
    return data if len(data) <= MAX_REPLY else _Refusal("the answer is too long", again=False)


def _completion(data: bytes) -> Completion | _Refusal:
    try:
        answer = json.loads(data)
        text = answer["choices"][0]["message"]["content"]
        usage = answer.get("usage") or {}
        model, counts = answer.get("model"), [usage.get("prompt_tokens")]
        counts.append(usage.get("completion_tokens"))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return _Refusal("the answer is no chat completion", again=False)
    if not isinstance(text, str) or not text.strip():
        return _Refusal("the model gave no text", again=False)
    tokens_in, tokens_out = (n if type(n) is int and n >= 0 else None for n in counts)
    return Completion(text, model if isinstance(model, str) else None, tokens_in, tokens_out)


def _seconds(header: str | None) -> float | None:
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return min(MAX_WAIT_S, seconds) if seconds >= 0 else None


def _without(key: str, text: str) -> str:
    return text.replace(key, "***") if key else text
