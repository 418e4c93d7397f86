"""Documents that people write: YAML read within limits, and what every reader understands alike."""
