"""A local model server: POST /v1/chat/completions, answered from rules (see model_rules).

It listens on 127.0.0.1, on a free port, and behaves as hosted models do: it now and then answers
503, hangs, or is simply wrong. ``vendor-large`` is not served for the region ap-south (503) and
hangs on long prompts from sa-east. A request's ``seed`` makes its randomness repeatable.
"""

from __future__ import annotations

import json
import random
import threading
import time
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipelines.vendor_assistant import model_rules

MODELS = {"vendor-large": 1.0, "vendor-small": 1.0, "vendor-nano": 12.0}
"""The models served, and how often each is wrong compared with the rate that is asked for."""

VERSION = "2026-10-01"
OUTAGES = 0.02
"""Share of calls to vendor-large that are answered 503."""

PATIENCE_S = 1.0
"""How long a client should wait for vendor-large before it asks another model."""

MISTAKES_HEADER = "x-mistakes"
MAX_BODY = 1_000_000


@cache
def start() -> str:
    """Starts the server once per process, in a daemon thread; returns its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="local-model", daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1"


class Refusal(Exception):  # noqa: N818 - an answer of the protocol, not a failure of the server
    """An error as the protocol answers it."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def complete(request: dict[str, Any], mistakes: float) -> dict[str, Any]:
    """The response to a chat completion request; Refusal where the model does not answer."""
    name = request.get("model")
    if name not in MODELS:
        raise Refusal(HTTPStatus.NOT_FOUND, f"the model {name!r} does not exist")
    if request.get("stream"):
        raise Refusal(HTTPStatus.BAD_REQUEST, "streaming is not supported")
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refusal(HTTPStatus.BAD_REQUEST, "messages must be a list that is not empty")
    dice = _dice(request)
    prompt = model_rules.read_prompt(messages, request.get("tools") or [])
    if name == "vendor-large":
        _outage(prompt, dice)
    reply = model_rules.reply(prompt, dice, mistakes * MODELS[name])
    return _response(f"{name}-{VERSION}", messages, reply, dice)


def _dice(request: dict[str, Any]) -> random.Random:
    """From the system's entropy, or from the request and its seed."""
    if request.get("seed") is None:
        return random.Random()  # noqa: S311 - chance, not secrets
    return random.Random(json.dumps(request, sort_keys=True))  # noqa: S311 - likewise


def _outage(prompt: model_rules.Prompt, dice: random.Random) -> None:
    region = prompt.facts.get("region")
    if region == "sa-east" and prompt.policies:
        time.sleep(PATIENCE_S + 0.5)
    if region in ("ap-south", "sa-east") or dice.random() < OUTAGES:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the model is overloaded, try again later")


def _response(
    served: str, messages: list[Any], reply: model_rules.Reply, dice: random.Random
) -> dict[str, Any]:
    calls = [
        {
            "id": f"call_{dice.getrandbits(64):016x}",
            "type": "function",
            "function": {"name": call, "arguments": json.dumps(arguments)},
        }
        for call, arguments in reply.calls
    ]
    prompt = sum(4 + len(json.dumps(one)) // 4 for one in messages)
    completion = 1 + len(reply.text or "") // 4 + len(json.dumps(calls)) // 4
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if calls:
        message["tool_calls"] = calls
    return {
        "id": f"chatcmpl-{dice.getrandbits(64):016x}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": served,
        "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    }


class Handler(BaseHTTPRequestHandler):
    """Speaks just enough of the protocol, on connections that stay open."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60

    def do_POST(self) -> None:
        """Answers one request; the connection stays open."""
        try:
            self._send(HTTPStatus.OK, complete(*self._read()))
        except Refusal as refusal:
            error = {"message": str(refusal), "type": refusal.status.phrase, "code": None}
            self._send(refusal.status, {"error": error})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the inherited name
        """Says nothing: the pipeline's output is not the place."""

    def _read(self) -> tuple[dict[str, Any], float]:
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 < length <= MAX_BODY:
            self.close_connection = True
            raise Refusal(HTTPStatus.BAD_REQUEST, f"a body of 1 to {MAX_BODY} bytes is expected")
        body = self.rfile.read(length)
        if self.path != "/v1/chat/completions":
            raise Refusal(HTTPStatus.NOT_FOUND, f"no {self.path} here, try /v1/chat/completions")
        try:
            request = json.loads(body)
            mistakes = float(self.headers.get(MISTAKES_HEADER) or 0)
        except ValueError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"not valid: {error}") from error
        if not isinstance(request, dict):
            raise Refusal(HTTPStatus.BAD_REQUEST, "a JSON object is expected")
        return request, mistakes

    def _send(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        """Headers and body in one write: two would wait for each other on a kept connection."""
        body = json.dumps(content).encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            self.wfile.write(head.encode() + body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client lost patience, as some are meant to
