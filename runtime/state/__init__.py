"""Stores of the control state: one SQLite file, or memory; both pass the same contract tests."""
