"""How much a test tries: little in a usual run and the same each time, everything with `GOLDRUN_FULL=1`."""

from __future__ import annotations

import os

FULL = os.environ.get("GOLDRUN_FULL") == "1"
"""Whether the full counts are wanted: `nox -s reliability`, `properties` and `full_counts` set it."""


def examples(usual: int = 25, full: int = 300) -> int:
    """Return how many examples a property test tries.

    Args:
        usual: In a usual run; examples are then derived from the test, so that each run tries the same.
        full: With the full counts; examples are then random.
    """
    return full if FULL else usual
