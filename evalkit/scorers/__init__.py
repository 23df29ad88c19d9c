"""The built-in scorers, one module each: a function ``(case, trajectory) -> Score``."""
