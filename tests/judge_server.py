"""A local server that speaks the chat completions protocol, well or badly."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behave = Callable[[int, dict[str, Any]], "Reply"]


class Reply:
    """What the server does: status, content of the message (or a raw body), headers, delay."""

    def __init__(
        self,
        content: Any = None,
        *,
        status: int = 200,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
        delay: float = 0.0,
        hang_up: bool = False,
    ) -> None:
        self.status, self.delay, self.hang_up = status, delay, hang_up
        self.headers = headers or {}
        message = {"choices": [{"message": {"role": "assistant", "content": content}}]}
        usage = {"model": "judge-1-2026", "usage": {"prompt_tokens": 9, "completion_tokens": 3}}
        self.body = raw if raw is not None else json.dumps({**message, **usage}).encode()


def verdict(word: str, reason: str = "because") -> Reply:
    return Reply(json.dumps({"reason": reason, "verdict": word}))


class Server:
    """Its address, and every request that it got: path, headers, body."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []


@contextmanager
def serving(behave: Behave) -> Iterator[Server]:
    """A server on a free port of this machine; ``behave`` gets the request's number and body."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with entrance:
                number = len(server.requests)
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.requests.append((self.path, headers, body))
            reply = behave(number, body)
            time.sleep(reply.delay)
            if reply.hang_up:
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: Any) -> None:
            pass

        def handle(self) -> None:
            with suppress(BrokenPipeError, ConnectionResetError):
                super().handle()

    entrance = threading.Lock()
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{http.server_port}/v1")
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
