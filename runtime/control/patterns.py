"""Patterns of argument rules, matched in time that is linear in the text.

A model writes the text, so a pattern that backtracks would let it hold the process: 28 letters against
`([a-z0-9]+[._-]?)+@acme` keep Python's `re` busy for a minute, and with it the event loop, all other runs and the
kill switch. RE2 has no such pattern. A policy that needs more than RE2 knows (look-around, back references) is refused
where it is loaded; `re` only serves recordings of policies from before that rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

MAX_PATTERN_BYTES = 8 << 20
"""What one compiled pattern may use."""


def pattern_problem(pattern: str) -> str | None:
    """Return why a text is no pattern that matches in linear time; `None` if it is one."""
    if _linear(pattern) is not None:
        return None
    try:
        re.compile(pattern)
    except (re.error, RecursionError) as error:
        return f"{pattern!r} is not a regular expression: {error}"
    return (
        f"{pattern!r} may take more than linear time, and a model writes the text; "
        "use RE2 syntax: no look-around, no back reference, repetitions up to 1,000"
    )


def full_match(pattern: str, text: str) -> bool:
    """Return whether a pattern matches the whole of a text; its classes, such as digits and blanks, are of ASCII."""
    return _matcher(pattern)(text)


@lru_cache(maxsize=1024)
def _matcher(pattern: str) -> Callable[[str], bool]:
    linear = _linear(pattern)
    if linear is not None:
        return linear
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


def _linear(pattern: str) -> Callable[[str], bool] | None:
    import re2

    options = re2.Options()
    options.max_mem = MAX_PATTERN_BYTES
    options.log_errors = False
    options.never_capture = True
    try:
        compiled = re2.compile(pattern, options=options)
    except re2.error:
        return None
    # A lone surrogate has no UTF-8; it matches what a replacement character matches.
    return lambda text: compiled.fullmatch(text.encode("utf-8", "replace").decode()) is not None
