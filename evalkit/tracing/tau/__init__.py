"""Recorded agent runs of tau-bench and tau2-bench: result files become cases and trials."""

from evalkit.tracing.tau.recording import Recording, read_tau

__all__ = ["Recording", "read_tau"]
