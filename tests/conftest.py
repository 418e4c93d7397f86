"""Settings of the whole test suite."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A deadline per example is a timed assertion, and machines that run tests are noisy.
settings.register_profile("goldrun", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("goldrun")
