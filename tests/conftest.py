"""Fixtures for the whole suite."""

import pytest

pytest_plugins = ["pytester"]

OUTSIDE = ("EVALKIT_STORE", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "COLUMNS")


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a developer's shell or a CI system sets changes no test."""
    for variable in OUTSIDE:
        monkeypatch.delenv(variable, raising=False)
