"""An HTTP endpoint that takes the case as POSTed JSON and answers with JSON."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

import msgspec

from evalkit.errors import InputError, TargetError
from evalkit.protocols import Answer, TrialContext
from evalkit.suite import Pipeline
from evalkit.threads import in_thread

MAX_BODY = 16 * 2**20

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class HttpTarget:
    """POSTs ``{"input": ..., "settings": {...}}``; the answer is the JSON of a 2xx response.

    The request carries W3C ``traceparent``, and ``x-evalkit-otlp-endpoint`` with the loopback
    address that takes the endpoint's spans. ``${NAME}`` in a header of the suite stands for an
    environment variable, so that no secret is in the file. Redirects are not followed.
    """

    spans_from = "otlp"

    def __init__(self, pipeline: Pipeline, folder: str) -> None:
        self._url = urlsplit(pipeline.http or "")
        self._headers = {name: _expand(value) for name, value in pipeline.headers.items()}

    async def __call__(self, case_input: Any, context: TrialContext) -> Answer:
        body = msgspec.json.encode({"input": case_input, "settings": dict(context.settings)})
        headers = {
            "content-type": "application/json",
            "accept": "application/json",
            "traceparent": context.traceparent,
            **self._headers,
        }
        if context.otlp_endpoint:
            headers["x-evalkit-otlp-endpoint"] = context.otlp_endpoint
        connection = self._connect(context.timeout)
        try:
            return await in_thread(lambda: self._exchange(connection, body, headers))
        finally:
            # Also when the trial is cancelled: this ends the thread's wait.
            _hang_up(connection)

    async def close(self) -> None:
        """Nothing is held between trials."""

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
        return http.client.HTTPConnection(host, port, timeout=timeout)

    def _exchange(
        self, connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str]
    ) -> Answer:
        path = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            content = response.read(MAX_BODY + 1)
        except TimeoutError as error:
            raise TargetError("timeout", f"no answer from {self._url.netloc}") from error
        except (OSError, http.client.HTTPException) as error:
            reason = f"{self._url.netloc}: {type(error).__name__}: {error}"
            raise TargetError("unreachable", reason) from error
        if len(content) > MAX_BODY:
            raise TargetError("crashed", f"answered with more than {MAX_BODY:,} bytes")
        if not 200 <= response.status < 300:
            busy = response.status >= 500 or response.status == 429
            excerpt = content[:200].decode("utf-8", "replace")
            raise TargetError(
                "unreachable" if busy else "crashed", f"HTTP {response.status}: {excerpt!r}"
            )
        try:
            return Answer(output=msgspec.json.decode(content))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            excerpt = content[:200].decode("utf-8", "replace")
            raise TargetError("crashed", f"the body is not JSON ({error}): {excerpt!r}") from None


def _expand(value: str) -> str:
    def look_up(match: re.Match[str]) -> str:
        try:
            return os.environ[match[1]]
        except KeyError:
            raise InputError(
                f"pipeline.headers: environment variable {match[1]} is not set"
            ) from None

    return _VARIABLE.sub(look_up, value)


def _hang_up(connection: http.client.HTTPConnection) -> None:
    if connection.sock is not None:
        with contextlib.suppress(OSError):  # it was closed already
            connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()
