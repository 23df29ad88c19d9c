import pytest

from evalkit.model_names import Evidence, served_evidence

ALIASES = {"assistant-primary": ("gpt-4o", "claude-sonnet-4-5")}


@pytest.mark.parametrize(
    ("requested", "served", "evidence"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", "match"),
        ("gpt-4o-2024-08-06", "gpt-4o", "match"),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-05-13", "mismatch"),
        ("openai/gpt-4o", "GPT-4o", "match"),
        ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "match"),
        ("claude-sonnet-4-5", "claude-sonnet-4-6", "mismatch"),
        ("mistral-large-latest", "mistral-large-2407", "match"),
        ("gemini-1.5-pro", "gemini-1.5-pro-002", "match"),
        ("claude-3-sonnet", "claude-3-sonnet-20240229-v1:0", "match"),
        ("gpt-4o", "gpt-4o-mini-2024-07-18", "mismatch"),
        ("gpt-4", "gpt-4-turbo", "mismatch"),
        ("llama-3", "llama-3-70b", "mismatch"),
        ("assistant-primary", "gpt-4o-2024-08-06", "match"),
        ("assistant-primary", "gpt-4o-mini", "mismatch"),
        # What only looks like a version: dimensions, a window, a size.
        ("text-embedding-3-large", "text-embedding-3-large-1536", "mismatch"),
        ("embed-large", "embed-large-1024", "mismatch"),
        ("phi-3-mini-4096", "phi-3-mini", "mismatch"),
        ("reader-12345678", "reader", "mismatch"),
        ("matryoshka-0512", "matryoshka", "mismatch"),
        # Owners of models are no providers.
        ("meta-llama/Llama-3-8b", "someone/Llama-3-8b", "mismatch"),
        ("meta-llama/Llama-3-8b", "together_ai/meta-llama/Llama-3-8b", "match"),
        ("groq/llama-3-8b", "meta-llama/Llama-3-8b", "match"),
        ("meta-llama/Llama-3-8b", "llama-3-8b", "match"),
        ("openrouter/openai/gpt-4o", "azure/gpt-4o", "match"),
        ("gpt-4", "gpt-4-0613", "match"),
        ("gpt-4-0613", "gpt-4-0314", "mismatch"),
        ("command-r", "command-r-08-2024", "match"),
        ("command-r-03-2024", "command-r-08-2024", "mismatch"),
        ("doubao-pro-32k", "doubao-pro-32k-240515", "match"),
        # Amazon Bedrock and Vertex AI.
        (
            "anthropic.claude-3-5-sonnet-20241022-v2:0",
            "claude-3-5-sonnet-20241022",
            "match",
        ),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5", "match"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-20250514", "mismatch"),
        ("meta.llama3-1-70b-instruct-v1:0", "meta.llama3-1-8b-instruct-v1:0", "mismatch"),
        ("claude-3-5-sonnet-v2@20241022", "claude-3-5-sonnet-20241022", "match"),
        ("gpt-4o-2024-08-06", "gpt-4o-20240806", "match"),
        # Names of one's own have dots too.
        ("prod.assistant", "dev.assistant", "mismatch"),
        ("gpt-4.1", "gpt-4.1-2025-04-14", "match"),
        ("gpt-4o", None, "unknown"),
        ("gpt-4o", "", "unknown"),
        (" ", "gpt-4o", "unknown"),
        (None, "gpt-4o", "unknown"),
    ],
)
def test_the_model_that_answered_is_judged_by_identity(
    requested: str | None, served: str | None, evidence: Evidence
) -> None:
    assert served_evidence(requested, served, ALIASES) == evidence
