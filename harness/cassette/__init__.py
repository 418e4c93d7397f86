"""Cassettes: recorded runs as golden documents, segments and journals, redacted before they are written."""
