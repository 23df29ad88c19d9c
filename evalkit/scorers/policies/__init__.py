"""Policies on the path: each a failure that production has shown, each a scorer of its own."""
