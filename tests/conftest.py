"""Fixtures for the whole suite."""

import signal

import pytest

pytest_plugins = ["pytester"]

OUTSIDE = ("EVALKIT_STORE", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "COLUMNS")


def pytest_configure() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would all that tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a developer's shell or a CI system sets changes no test."""
    for variable in OUTSIDE:
        monkeypatch.delenv(variable, raising=False)
