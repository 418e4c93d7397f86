"""The control store: switches, claims, limits, money, approvals and runs, in one SQLite file."""
