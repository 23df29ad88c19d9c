"""Tests of the built-in scorers."""
