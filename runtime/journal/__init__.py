"""The log of runs: record model, one-line form, append and read."""
