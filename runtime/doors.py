"""Doors: packages whose public names load at their first use, also where a test has frozen the clock.

Rules.
1. `dir()` of a door lists what is loaded. freezegun reads every attribute that `dir()` of any loaded module names;
   a door that listed all its names would load everything in every test that freezes the clock.
2. A door loads with the real `date` and `datetime` in place. A module that is imported under freezegun gets its
   stand-ins, and what is built from them (a pydantic model with a date, pydantic's own tables) stays broken when
   the clock runs again.
"""

from __future__ import annotations

import datetime
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NAMES = ("date", "datetime")


def load_name(package: str, homes: dict[str, str], name: str) -> Any:
    """Return a public name of a door; for its `__getattr__`.

    Args:
        package: The door.
        homes: The module of each public name.
        name: What was asked for.

    Raises:
        AttributeError: If it is no public name of the door.
    """
    home = homes.get(name)
    if home is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    with real_dates():
        return getattr(importlib.import_module(home), name)


@contextmanager
def real_dates() -> Iterator[None]:
    """Put the real date classes in place for a block of imports; does nothing where no clock is frozen."""
    frozen: dict[str, Any] = {}
    for name in _NAMES:
        each = vars(datetime)[name]
        if each.__module__ != "datetime":
            frozen[name] = each
            setattr(datetime, name, _real_class(each, name))
    try:
        yield
    finally:
        for name, each in frozen.items():
            setattr(datetime, name, each)


def _real_class(stand_in: type, name: str) -> type:
    """Return the class that a stand-in is derived from."""
    return next(c for c in stand_in.__mro__ if (c.__module__, c.__name__) == ("datetime", name))
