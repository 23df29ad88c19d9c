"""One module per attribute convention; each has a class with ``name``, ``claims`` and ``read``."""
