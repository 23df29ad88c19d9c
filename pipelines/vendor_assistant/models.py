"""The models, over the OpenAI wire protocol: one that is asked first, and one to fall back on."""

from __future__ import annotations

import atexit
import os
from functools import cache
from typing import Any, NamedTuple

import httpx
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI
from openai import APIConnectionError, InternalServerError, RateLimitError

from pipelines.vendor_assistant import model_server
from pipelines.vendor_assistant.prompts import SEARCH_AGAIN
from pipelines.vendor_assistant.tools import TOOLS

UNAVAILABLE = (APIConnectionError, InternalServerError, RateLimitError)
"""What makes the assistant fall back; a timeout is a connection error to the client library."""


class Endpoint(NamedTuple):
    """Where the models are reached; ``local`` means the server of this example."""

    base_url: str
    key: str
    local: bool


def endpoint() -> Endpoint:
    """The endpoint named in the environment, else the local server, started when first needed."""
    base_url = os.environ.get("VENDOR_ASSISTANT_BASE_URL")
    if base_url:
        return Endpoint(base_url, os.environ.get("VENDOR_ASSISTANT_API_KEY") or "none", False)
    return Endpoint(model_server.start(), "local", True)


class Offer(NamedTuple):
    """What a model may call: the tools of a route, and another search while one is left."""

    toolset: str
    search: bool


def model(name: str, where: Endpoint, offer: Offer | None = None) -> Runnable[Any, Any]:
    """A model by name, with what it may call."""
    return _offered(_client(name, where), offer)


def model_with_fallback(
    name: str, fallback: str, where: Endpoint, offer: Offer | None = None
) -> Runnable[Any, Any]:
    """The first model, or the second one where the first is unavailable."""
    impatient = _client(name, where, model_server.PATIENCE_S if where.local else 30.0)
    return _offered(impatient, offer).with_fallbacks(
        [model(fallback, where, offer)], exceptions_to_handle=UNAVAILABLE
    )


@cache
def _client(name: str, where: Endpoint, timeout: float = 60.0) -> ChatOpenAI:
    return ChatOpenAI(
        model=name,
        base_url=where.base_url,
        api_key=where.key,  # type: ignore[arg-type]  # accepts a plain string and hides it
        temperature=0.0,
        max_retries=0,
        timeout=timeout,
        http_client=_local_connections() if where.local else None,
    )


@cache
def _local_connections() -> httpx.Client:
    """Kept-alive connections to this machine, past any proxy of the environment."""
    client = httpx.Client(trust_env=False)
    atexit.register(client.close)
    return client


def _offered(client: ChatOpenAI, offer: Offer | None) -> Runnable[Any, Any]:
    if offer is None:
        return client
    tools: list[Any] = [*TOOLS[offer.toolset], *([SEARCH_AGAIN] if offer.search else [])]
    return client.bind_tools(tools) if tools else client
