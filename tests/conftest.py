"""Settings of the whole test suite."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.support.counts import FULL, examples

settings.register_profile(
    "goldrun",
    max_examples=examples(),
    # A usual run tries the same examples each time: a change is not red for a case that it did not touch.
    derandomize=not FULL,
    # A deadline per example is a timed assertion, and machines that run tests are noisy.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("goldrun")
