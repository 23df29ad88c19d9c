"""Semantic Kernel's functions by their own names, where those are enough to tell them apart.

A function is called and offered as ``Plugin-function``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from msgspec.structs import replace

from evalkit.protocols import Reading
from evalkit.spans import Span
from evalkit.tracing.attributes import label, text
from evalkit.tracing.offers import offered

SCOPE = "semantic_kernel"
_AVAILABLE = "sk.available_functions"


def without_plugins(spans: Sequence[Span], readings: Sequence[Reading]) -> list[Reading]:
    """The readings with functions named without their plugins.

    A plugin stays where two functions that the trace offers or calls would have one name without:
    ``orders-get`` and ``users-get``. What is offered is the same in all traces of an application,
    and so are the names.
    """
    offers = [offered(span.attributes) or () for span in spans]
    own = {
        name
        for span, reading, listed in zip(spans, readings, offers, strict=True)
        if span.scope.startswith(SCOPE)
        for name in (*_functions(span, reading), *listed)
    }
    plugins = {name.partition("-")[0] for name in own if "-" in name}
    shared: dict[str, set[str]] = defaultdict(set)
    for name in own.union(*offers):
        shared[_function(name)].add(name)
    plain = {
        name: function
        for function, names in shared.items()
        for name in names
        if len(names) == 1 and name.partition("-")[0] in plugins
    }
    return [
        _renamed(span, reading, listed, plain)
        for span, reading, listed in zip(spans, readings, offers, strict=True)
    ]


def _functions(span: Span, reading: Reading) -> list[str]:
    """The functions that a span of Semantic Kernel's called, or that a model may call in it."""
    available = text(span.attributes.get(_AVAILABLE)) or ""
    found = [name for one in available.split(",") if (name := label(one.strip()))]
    step = reading.step
    return [*found, step.name] if step is not None and step.kind == "tool" else found


def _function(name: str) -> str:
    return name.partition("-")[2] or name


def _renamed(span: Span, reading: Reading, offers: Sequence[str], plain: dict[str, str]) -> Reading:
    step = reading.step
    if step is None:
        return reading
    if step.kind == "tool" and step.name in plain and span.scope.startswith(SCOPE):
        return replace(reading, step=replace(step, name=plain[step.name]))
    shown = [plain[name] for name in offers if name in plain]
    if step.kind not in ("llm", "agent") or not shown:
        return reading
    return replace(reading, step=replace(step, offered=tuple(dict.fromkeys((*offers, *shown)))))
