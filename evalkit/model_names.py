"""Whether the model that answered is the one that was asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

Evidence = Literal["match", "mismatch", "unknown"]
Aliases = Mapping[str, Sequence[str]]
"""Names that are asked for, such as a gateway's, and the models that may answer for each."""

_MONTH, _DAY = "(?:0[1-9]|1[0-2])", "(?:0[1-9]|[12][0-9]|3[01])"
_PINS = (
    f"20[0-9]{{2}}-{_MONTH}-{_DAY}",
    f"20[0-9]{{2}}{_MONTH}{_DAY}",
    f"2[3-9]{_MONTH}{_DAY}",
    f"{_MONTH}-20[0-9]{{2}}",  # Cohere's month and year
    f"2[3-9]{_MONTH}",  # Mistral's year and month
    f"(?!0128|0512|1024){_MONTH}{_DAY}",  # OpenAI's older month and day; powers of two are sizes
    "00[0-9]",
    "latest",
)
_VERSION = re.compile(rf"(?:-v[0-9]+(?=@))?[-@:]({'|'.join(_PINS)})(?:-v[0-9]+(?::[0-9]+)?)?$")
"""How a model is pinned: a date, Gemini's number, Bedrock's and Vertex's further version."""

_BEDROCK = re.compile(
    r"(?:(?:us|us-gov|eu|apac|jp|au|ca|global)\.)?"
    r"(?:ai21|amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral|moonshot|nvidia|openai|"
    r"qwen|stability|writer)\."
)
"""The region and the provider before a model's name on Amazon Bedrock."""


_PROVIDERS = frozenset(
    {
        *("anthropic", "azure", "azure_ai", "bedrock", "cerebras", "cohere", "databricks"),
        *("deepinfra", "deepseek", "fireworks", "fireworks_ai", "gemini", "google", "groq"),
        *("huggingface", "hosted_vllm", "litellm", "litellm_proxy", "meta", "mistral", "models"),
        *("moonshot", "nebius", "nvidia_nim", "ollama", "ollama_chat", "openai", "openrouter"),
        *("perplexity", "replicate", "sambanova", "together", "together_ai", "vertex_ai"),
        *("watsonx", "xai", "x-ai"),
    }
)
"""What stands before a model's name and says who serves it, so that it may differ."""


def served_evidence(
    requested: str | None, served: str | None, aliases: Aliases | None = None
) -> Evidence:
    """``match`` or ``mismatch`` by identity, ``unknown`` where either is not recorded or empty.

    No difference are upper case, a provider's prefix (``openai/``, or Bedrock's
    ``us.anthropic.``), and an owner (``meta-llama/``) or a version's date that one of them leaves
    open: ``gpt-4o`` is answered by ``gpt-4o-2024-08-06``, and ``gpt-4o-2024-05-13`` is not. A
    longer name is another model: ``gpt-4o-mini``.
    """
    if requested is None or served is None or not requested.strip() or not served.strip():
        return "unknown"
    allowed = (requested, *(aliases or {}).get(requested, ()))
    return "match" if any(_is_same(one, served) for one in allowed) else "mismatch"


def _is_same(one: str, other: str) -> bool:
    (owner, name, version), (other_owner, other_name, other_version) = _parts(one), _parts(other)
    return (
        name == other_name
        and (version == other_version or not (version and other_version))
        and (owner == other_owner or not (owner and other_owner))
    )


def _parts(model: str) -> tuple[str, str, str]:
    """The owner of a model, if one is named, its name, and the version it is pinned to, if any."""
    path, _, name = model.strip().lower().rpartition("/")
    owner = path.rpartition("/")[2]
    owner = "" if owner in _PROVIDERS else owner
    if (prefix := _BEDROCK.match(name)) is not None:
        name = name[prefix.end() :]
    found = _VERSION.search(name)
    if found is None:
        return owner, name, ""
    return owner, name[: found.start()], "" if found[1] == "latest" else found[1].replace("-", "")
