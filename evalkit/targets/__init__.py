"""How a pipeline is reached: one module per way, chosen by the suite's ``pipeline`` key."""
