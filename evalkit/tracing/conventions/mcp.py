"""MCP: ``mcp.method.name`` on the client's and the server's spans of a request."""

from __future__ import annotations

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.attributes import label
from evalkit.tracing.readings import tool_call

METHOD = "mcp.method.name"
_CALL = "tools/call "


class MCP:
    """Reads the MCP SDKs' spans: a tool's call is a step, the rest of the protocol is not."""

    name = "mcp"
    claims_by_keys = True

    def claims(self, span: Span) -> bool:
        """Whether the span names an MCP method, or is of the SDK's scope."""
        return METHOD in span.attributes or span.scope == "mcp-python-sdk"

    def read(self, span: Span, parent: Span | None) -> Reading:
        """A ``tools/call`` as the tool; the server's span is folded into the client's."""
        if span.attributes.get(METHOD) != "tools/call":
            return Reading(role="wrapper")
        name = label(span.attributes.get("gen_ai.tool.name")) or span.name.partition(_CALL)[2]
        return Reading(role="step", step=tool_call(span, name))
