"""Observability: one stream of events, and the sinks that make log lines, metrics and the audit log of it."""
