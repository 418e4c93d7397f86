"""Protocols between the live performer and what it is handed: models, tools, state, control."""
