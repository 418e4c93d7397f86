"""The parts of the redactor; `harness.cassette.redact` is its door."""
