"""Example pipelines, each with its suite."""
