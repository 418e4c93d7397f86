"""Settings of the whole test suite."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "goldrun",
    # `nox -s reliability` asks for the full counts.
    max_examples=300 if os.environ.get("GOLDRUN_FULL") == "1" else 40,
    # A deadline per example is a timed assertion, and machines that run tests are noisy.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("goldrun")
