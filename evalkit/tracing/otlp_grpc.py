"""An OTLP/gRPC server beside the one over HTTP: same sink, token, certificate and limits.

Needs the extra ``grpc``. A request's bytes go to the sink as they came: what they hold is read
in one place, for both protocols.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from evalkit.errors import InputError
from evalkit.tracing.authorization import UNAUTHORIZED, is_authorized
from evalkit.tracing.otlp_answers import partial_success
from evalkit.tracing.otlp_http import (
    MAX_BODY,
    Answer,
    Endpoint,
    Export,
    Signal,
    Sink,
)

_METHODS: dict[str, Signal] = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
}
_CODES = {400: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
_DETAILS = "grpc-status-details-bin"
_THREADS = 16
_GRACE_SECONDS = 10.0


class GrpcServer:
    """Listens from construction to :meth:`stop`; ``refused`` is told of requests not passed on.

    On ``grpc_port`` of the endpoint. Its ``connections`` are requests at once; beyond, gRPC
    answers RESOURCE_EXHAUSTED. Raises InputError where the extra is not installed, OSError if the
    address cannot be had.
    """

    def __init__(
        self, endpoint: Endpoint, sink: Sink, refused: Callable[[], None] = lambda: None
    ) -> None:
        grpc = _grpc()
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="evalkit-grpc"),
            handlers=[_handler(grpc, endpoint.token, sink, refused)],
            options=[
                # As inflated: gRPC takes no more than this of a compressed message either.
                ("grpc.max_receive_message_length", MAX_BODY),
                ("grpc.so_reuseport", 0),  # an address that is taken is an error
            ],
            maximum_concurrent_rpcs=endpoint.connections,
        )
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        address = f"{host}:{endpoint.grpc_port}"
        try:
            if endpoint.certificate is None:
                port = self._server.add_insecure_port(address)
            else:
                chain, key = (path.read_bytes() for path in endpoint.certificate)
                credentials = grpc.ssl_server_credentials([(key, chain)])
                port = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:  # how gRPC says that the address cannot be had
            raise OSError(f"gRPC cannot have the address: {error}") from None
        self._server.start()
        self.url = f"{'http' if endpoint.certificate is None else 'https'}://{host}:{port}"

    def stop(self) -> None:
        """Takes no more, lets requests that are with the sink end, then hangs up."""
        self._server.stop(_GRACE_SECONDS).wait()


def _grpc() -> Any:
    try:
        import google.rpc.status_pb2  # noqa: F401  of the same extra
        import grpc
    except ImportError:
        raise InputError("OTLP over gRPC needs the extra: pip install 'evalkit-ci[grpc]'") from None
    return grpc


def _handler(grpc: Any, token: str | None, sink: Sink, refused: Callable[[], None]) -> Any:
    """Finds what answers a call, by its method and its token, before its message is read."""

    def export(signal: Signal) -> Callable[[bytes, Any], bytes]:
        def answered(body: bytes, context: Any) -> bytes:
            answer = sink(Export(signal, False, body))
            if answer.status != 200:
                _abort(grpc, context, answer)
            return partial_success(answer.rejected, answer.message) if answer.rejected else b""

        return answered

    def unauthorized(_: Any, context: Any) -> bytes:
        refused()
        context.abort(grpc.StatusCode.UNAUTHENTICATED, UNAUTHORIZED)
        return b""

    methods = {
        method: grpc.unary_unary_rpc_method_handler(export(signal))
        for method, signal in _METHODS.items()
    }
    stranger = grpc.stream_unary_rpc_method_handler(unauthorized)

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]  # the extra has no types
        def service(self, call: Any) -> Any:
            method = methods.get(call.method)
            if method is None or token is None:
                return method
            given = dict(call.invocation_metadata or ()).get("authorization", "")
            return method if is_authorized(given, token) else stranger

    return Handler()


def _abort(grpc: Any, context: Any, answer: Answer) -> None:
    """Ends the call with the answer's status; RetryInfo tells when to come again."""
    from google.protobuf.any_pb2 import Any as Packed  # type: ignore[import-untyped]  # no stubs
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    code = getattr(grpc.StatusCode, _CODES.get(answer.status, "INTERNAL"))
    if answer.retry_after is not None:
        again = RetryInfo()
        again.retry_delay.FromSeconds(answer.retry_after)
        detail = Packed()
        detail.Pack(again)
        status = Status(code=code.value[0], message=answer.message, details=[detail])
        context.set_trailing_metadata(((_DETAILS, status.SerializeToString()),))
    context.abort(code, answer.message)
