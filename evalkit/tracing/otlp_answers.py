"""The messages of protobuf that OTLP answers with."""

from __future__ import annotations


def partial_success(rejected: int, message: str) -> bytes:
    """The answer that rejects some; it has the same form for traces and logs."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = rejected
    response.partial_success.error_message = message
    return bytes(response.SerializeToString())


def failure(message: str) -> bytes:
    """``google.rpc.Status`` with a message alone, which is its second field."""
    text = message.encode("utf-8", "replace")
    size, length = len(text), bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return b"\x12" + bytes([*length, size]) + text
