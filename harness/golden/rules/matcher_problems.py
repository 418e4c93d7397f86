"""What is written wrongly in an expectation: bad operands, misspelled matchers, matchers that fit every value.

Rules.
1. An object that is meant as a matcher and is none would be compared as a plain object, and a rule like `never`
   would then hold for every run. So an object whose keys are near the names of matchers is an error; a real object
   of such keys is written `{equals: {...}}`.
2. A matcher that fits every value says nothing. It is an error too.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator
from typing import Any

from harness.diff.deep import deep_problem
from harness.golden.rules.matchers import (
    MATCHERS,
    TYPES,
    ValuePath,
    compiled,
    is_number,
    length_bounds,
    matcher_name,
)

_OTHER_NAMES = {
    **dict.fromkeys(("re", "regexp", "matches", "startswith", "endswith"), "regex"),
    **dict.fromkeys(("gt", "gte", "ge", "lt", "lte", "le"), "between"),
    **dict.fromkeys(("eq", "equal", "is"), "equals"),
    **dict.fromkeys(("ne", "neq", "isnot"), "not"),
    **dict.fromkeys(("oneof", "anyof", "isin"), "one_of"),
}
"""What other tools call these matchers, in lower case and without underscores."""
_EVERY_TEXT = ("", "a", "0", " ", "\n", "Ä", "a b\n1.0 {}")
"""Texts that have nothing in common; what matches all of them matches every text."""


class MatcherProblem(Exception):
    """A malformed matcher; `path` leads to it."""

    def __init__(self, what: str, path: ValuePath) -> None:
        self.path = path
        super().__init__(what)


def check_expectation(expected: Any, path: ValuePath = ()) -> Iterator[MatcherProblem]:
    """Yield each malformed matcher of an expectation."""
    name = matcher_name(expected)
    if name is not None:
        operand = expected[name]
        problem = _operand_problem(name, operand)
        if problem is not None:
            yield MatcherProblem(f"{name}: {problem}", (*path, name))
        elif name in {"not", "one_of", "contains"}:
            yield from check_expectation(operand, (*path, name))
        return
    if isinstance(expected, dict):
        if (problem := _misspelled(expected)) is not None:
            yield MatcherProblem(problem, path)
            return
        for key, value in expected.items():
            yield from check_expectation(value, (*path, key))
    elif isinstance(expected, list):
        for index, value in enumerate(expected):
            yield from check_expectation(value, (*path, index))


def _misspelled(expected: dict[str, Any]) -> str | None:
    """Return what is wrong with an object that is meant as a matcher; `None` for a plain object."""
    meant = {key: _meant(key) for key in expected}
    if not expected or None in meant.values():
        return None
    plain = "a plain object of these keys is written {equals: {...}}"
    if len(expected) == 1:
        ((key, name),) = meant.items()
        return f"{key!r} is not a matcher; did you mean {name!r}? {plain}"
    return f"{', '.join(map(repr, expected))}: a matcher is an object with one key; write one of them, or {plain}"


def _meant(key: str) -> str | None:
    if key in MATCHERS:
        return key
    if (name := _OTHER_NAMES.get(key.lower().replace("_", ""))) is not None:
        return name
    return next(iter(difflib.get_close_matches(key.lower(), MATCHERS, 1, cutoff=0.75)), None)


def _operand_problem(name: str, operand: Any) -> str | None:
    match name:
        case "regex":
            return regex_problem(operand)
        case "any" if operand is not True and not (isinstance(operand, str) and operand in TYPES):
            return f"{operand!r} is neither true nor a type; types are {', '.join(TYPES)}"
        case "absent" if not isinstance(operand, bool):
            return f"{operand!r} is neither true nor false"
        case "one_of" if not isinstance(operand, list) or not operand:
            return f"{operand!r} is not a list of at least one value"
        case "contains" if operand in ("", [], {}) or (isinstance(operand, list) and "" in operand):
            return f"{operand!r} is contained in everything"
        case "between":
            return _between_problem(operand)
        case "approx":
            numbers = operand if isinstance(operand, list) else [operand, 0]
            good = len(numbers) == 2 and all(map(is_number, numbers)) and numbers[1] >= 0
            return None if good else f"{operand!r} is neither a number nor [number, tolerance]"
        case "len":
            return _len_problem(operand)
        case "deep":
            return deep_problem(operand)
        case _:
            return None


def regex_problem(pattern: Any) -> str | None:
    """Return why a value is not a regular expression; `None` if it is one."""
    if not isinstance(pattern, str):
        return f"{pattern!r} is not text"
    try:
        compiled(pattern)
    except re.error as error:
        return f"{pattern!r} is not a regular expression: {error}"
    if "(?!" not in pattern and "(?<!" not in pattern and all(map(compiled(pattern).search, _EVERY_TEXT)):
        return f"{pattern!r} matches every text; write {{any: str}} for any text, or .+ for one that is not empty"
    return None


def _between_problem(operand: Any) -> str | None:
    if not isinstance(operand, list) or len(operand) != 2:
        return f"{operand!r} is not [low, high]"
    same_type = all(map(is_number, operand)) or all(isinstance(v, str) for v in operand)
    if not same_type:
        return f"{operand!r} is not two numbers or two texts"
    return f"{operand!r}: low is above high" if operand[0] > operand[1] else None


def _len_problem(operand: Any) -> str | None:
    whole = TYPES["int"]
    if isinstance(operand, dict):
        good = bool(operand) and operand.keys() <= {"min", "max"} and all(map(whole, operand.values()))
    elif isinstance(operand, list):
        good = len(operand) == 2 and all(map(whole, operand))
    else:
        good = whole(operand)
    if not good:
        return f"{operand!r} is neither a number nor [low, high] nor {{min, max}}"
    low, high = length_bounds(operand)
    if low <= 0 and high == math.inf:
        return f"{operand!r}: every length is in it; write {{any: list}} or {{any: str}} for any"
    return f"{operand!r}: no length is in it" if low > high or high < 0 else None
