"""A clock that stands still around a test: freezegun, with what it needs to be safe for runs and tables.

Rules.
1. Timers of asyncio run on, so time limits of tools and runs still end what hangs. Waits are waited, and count as 0 s.
2. Packages that keep the date classes they find at their import are imported before the clock is frozen. Under
   freezegun's stand-ins pandas and pyarrow crash the interpreter, and pydantic stays broken afterwards.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from runtime.errors import UsageError

MOMENT = "2026-01-01T00:00:00Z"
"""Where the clock stands by default."""
_TIMING = "_pytest.timing"
"""Where pytest reads the clock for the durations of tests: a setup that freezes would take 56 years."""
_BEFORE = ("pandas", "pyarrow", "pydantic.main")


@contextmanager
def frozen(moment: str = MOMENT) -> Iterator[Any]:
    """Freeze the clock for a block; gives freezegun's clock, with `tick(seconds)` and `move_to(moment)`.

    Args:
        moment: A date or time as ISO 8601; without an offset it is UTC.

    Raises:
        UsageError: If freezegun is not installed, or the moment cannot be read.
    """
    try:
        from freezegun import freeze_time
    except ImportError as error:
        raise UsageError(
            "freezegun is not installed", where="frozen_clock", next_step="pip install 'goldrun[harness]'"
        ) from error
    for name in _BEFORE:
        if find_spec(name.partition(".")[0]) is not None:
            importlib.import_module(name)
    try:
        freeze = freeze_time(moment, real_asyncio=True, ignore=[_TIMING])
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(
            f"{moment!r} is no moment", where="frozen_clock", next_step="write it as 2026-01-02T03:04:05Z"
        ) from error
    with freeze as clock:
        yield clock
