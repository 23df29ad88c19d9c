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
        ("gpt-4o", None, "unknown"),
        (None, "gpt-4o", "unknown"),
    ],
)
def test_the_model_that_answered_is_judged_by_identity(
    requested: str | None, served: str | None, evidence: Evidence
) -> None:
    assert served_evidence(requested, served, ALIASES) == evidence
