"""A model as judge: what it is asked, how it is reached, what it said, and what is kept of it."""
