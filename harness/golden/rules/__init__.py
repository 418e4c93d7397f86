"""The rules of golden tasks: their models, their evaluation, and the invariants of every run."""
