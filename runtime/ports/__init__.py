"""Protocols of what the live performer uses: models, tools, state, control."""
