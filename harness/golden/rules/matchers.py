"""Compare a value with an expectation: plain values exactly, matcher objects by their one rule.

Rules.
1. A matcher is an object with exactly one key, which is one of `MATCHERS`. Anything else is a plain value.
2. Plain values compare with their JSON types: `true` is not 1, but 1 and 1.0 are one number.
3. Objects and lists may hold matchers at any depth. Their keys and lengths must be equal; `{contains: {...}}`
   compares only the named keys of an object. The arguments of a call also compare only the named keys.
4. `{equals: value}` takes the value literally, so that an object may look like a matcher. So does `deep`.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from typing import Any

import msgspec

from harness.diff.deep import ANY_ITEM, deep_differences

ValuePath = tuple[str | int, ...]

TYPES: dict[str, Callable[[Any], bool]] = {
    "str": lambda v: isinstance(v, str),
    "int": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: is_number(v),
    "bool": lambda v: isinstance(v, bool),
    "list": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, dict),
    "null": lambda v: v is None,
}
SHOWN_CHARS = 120
"""Maximum length of a value in a message."""


class _Missing:
    """The value of a missing argument."""

    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


class Mismatch(msgspec.Struct, frozen=True):
    """One place at which a value differs from its expectation.

    Attributes:
        path: Keys and indices from the compared root.
        expected: What was expected, in words.
        actual: The value there.
    """

    path: ValuePath
    expected: str
    actual: str

    def __str__(self) -> str:
        return f"{path_text(self.path) or 'value'}: expected {self.expected}, got {self.actual}"


def mismatches(expected: Any, actual: Any, path: ValuePath = ()) -> list[Mismatch]:
    """Return each place where a value differs from its expectation; empty if it matches."""
    name = matcher_name(expected)
    if name is not None:
        return MATCHERS[name](expected[name], actual, path)
    if isinstance(expected, dict):
        return _object(expected, actual, path)
    if isinstance(expected, list):
        return _list(expected, actual, path)
    if _equal(expected, actual):
        return []
    return [Mismatch(path, shown(expected), shown(actual))]


def exact_args(args: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return all the arguments a call must have, where `args` is `{exact: {...}}`; `None` otherwise."""
    if args is not None and len(args) == 1 and isinstance(args.get("exact"), dict):
        found: dict[str, Any] = args["exact"]
        return found
    return None


def argument_mismatches(expected: dict[str, Any], actual: Any, path: ValuePath = ("args",)) -> list[Mismatch]:
    """Return where a call's arguments differ from the expected ones; arguments that are not named are ignored."""
    if not isinstance(actual, dict):
        return [Mismatch(path, "an object", f"malformed arguments {shown(actual)}")]
    found: list[Mismatch] = []
    for name, value in expected.items():
        found += mismatches(value, actual.get(name, MISSING), (*path, name))
    return found


def all_argument_mismatches(expected: dict[str, Any], actual: Any) -> list[Mismatch]:
    """Return where a call's arguments differ from all that it must have; an argument more is a difference too."""
    found = argument_mismatches(expected, actual)
    if isinstance(actual, dict):
        found += [Mismatch(("args", k), "nothing", shown(v)) for k, v in actual.items() if k not in expected]
    return found


def matcher_name(expected: Any) -> str | None:
    """Return the name of the matcher that an expectation is; `None` for a plain value."""
    if isinstance(expected, dict) and len(expected) == 1:
        (name,) = expected
        return name if name in MATCHERS else None
    return None


def described(expected: Any) -> str:
    """Return an expectation in words."""
    name = matcher_name(expected)
    if name is None:
        return shown(expected)
    operand = expected[name]
    if name == "any":
        return "any value" if operand is True else f"any {operand}"
    if name == "absent":
        return "nothing" if operand else "a value"
    if name == "equals":
        return shown(operand)
    if name == "deep":
        return f"{shown(operand['value'])}, deeply"
    if name in {"not", "contains"} and matcher_name(operand) is not None:
        return f"{name} {described(operand)}"
    return f"{name} {shown(operand)}"


def shown(value: Any) -> str:
    """Return a value as short text for a message."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 4]} ..."


def path_text(path: ValuePath) -> str:
    """Return a path as people write it: `args.items[0].id`."""
    text = ""
    for part in path:
        dotted = text and part != ANY_ITEM
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if dotted else part
    return text


def _equal(expected: Any, actual: Any) -> bool:
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(expected, dict) and isinstance(actual, dict):
        same = expected.keys() == actual.keys()
        return same and all(_equal(v, actual[k]) for k, v in expected.items())
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(_equal, expected, actual))
    return bool(expected == actual)


def _object(expected: dict[str, Any], actual: Any, path: ValuePath) -> list[Mismatch]:
    if not isinstance(actual, dict):
        return [Mismatch(path, "an object" if expected else "{}", shown(actual))]
    found: list[Mismatch] = []
    for key, value in expected.items():
        found += mismatches(value, actual.get(key, MISSING), (*path, key))
    found += [Mismatch((*path, k), "nothing", shown(v)) for k, v in actual.items() if k not in expected]
    return found


def _list(expected: list[Any], actual: Any, path: ValuePath) -> list[Mismatch]:
    if not isinstance(actual, list):
        return [Mismatch(path, "a list", shown(actual))]
    if len(expected) != len(actual):
        return [Mismatch(path, f"{len(expected)} items", f"{len(actual)} items: {shown(actual)}")]
    pairs = enumerate(zip(expected, actual, strict=True))
    return [m for i, (want, got) in pairs for m in mismatches(want, got, (*path, i))]


def _regex(operand: str, actual: Any, path: ValuePath) -> list[Mismatch]:
    if isinstance(actual, str) and compiled(operand).search(actual) is not None:
        return []
    got = shown(actual) if isinstance(actual, str | _Missing) else f"{shown(actual)}, which is not text"
    return [Mismatch(path, f"text with regex {operand!r}", got)]


def _any(operand: bool | str, actual: Any, path: ValuePath) -> list[Mismatch]:
    if actual is not MISSING and (operand is True or TYPES[str(operand)](actual)):
        return []
    return [Mismatch(path, described({"any": operand}), shown(actual))]


def _between(operand: list[Any], actual: Any, path: ValuePath) -> list[Mismatch]:
    low, high = operand
    comparable = is_number(actual) if is_number(low) else isinstance(actual, str)
    if comparable and low <= actual <= high:
        return []
    return [Mismatch(path, f"between {low!r} and {high!r}", shown(actual))]


def _one_of(operand: list[Any], actual: Any, path: ValuePath) -> list[Mismatch]:
    if any(not mismatches(option, actual) for option in operand):
        return []
    return [Mismatch(path, "one of " + ", ".join(described(o) for o in operand), shown(actual))]


def _contains(operand: Any, actual: Any, path: ValuePath) -> list[Mismatch]:
    parts = operand if isinstance(operand, list) else [operand]
    if isinstance(actual, str):
        missing = [p for p in parts if not isinstance(p, str) or p not in actual]
    elif isinstance(actual, list):
        missing = [p for p in parts if all(mismatches(p, item) for item in actual)]
    elif isinstance(actual, dict) and isinstance(operand, dict):
        return argument_mismatches(operand, actual, path)
    elif isinstance(actual, dict):
        missing = [p for p in parts if not isinstance(p, str) or p not in actual]
    else:
        missing = parts
    return [Mismatch(path, f"something that contains {described(p)}", shown(actual)) for p in missing]


def _approx(operand: Any, actual: Any, path: ValuePath) -> list[Mismatch]:
    value, tolerance = operand if isinstance(operand, list) else (operand, None)
    if is_number(actual):
        near = (
            math.isclose(actual, value, rel_tol=1e-6, abs_tol=1e-12)
            if tolerance is None
            else abs(actual - value) <= tolerance
        )
        if near:
            return []
    words = f"about {value!r}" if tolerance is None else f"{value!r} ± {tolerance!r}"
    return [Mismatch(path, words, shown(actual))]


def _len(operand: Any, actual: Any, path: ValuePath) -> list[Mismatch]:
    low, high = length_bounds(operand)
    if isinstance(actual, str | list | dict) and low <= len(actual) <= high:
        return []
    words = f"length {operand!r}" if isinstance(operand, int) else f"length from {low} to {high}"
    got = f"length {len(actual)}" if isinstance(actual, str | list | dict) else shown(actual)
    return [Mismatch(path, words, got)]


def _not(operand: Any, actual: Any, path: ValuePath) -> list[Mismatch]:
    if mismatches(operand, actual):
        return []
    return [Mismatch(path, f"not {described(operand)}", shown(actual))]


def _absent(operand: bool, actual: Any, path: ValuePath) -> list[Mismatch]:
    if (actual is MISSING) == operand:
        return []
    return [Mismatch(path, "nothing" if operand else "a value", shown(actual))]


def _equals(operand: Any, actual: Any, path: ValuePath) -> list[Mismatch]:
    return [] if _equal(operand, actual) else [Mismatch(path, shown(operand), shown(actual))]


def _deep(operand: dict[str, Any], actual: Any, path: ValuePath) -> list[Mismatch]:
    if actual is MISSING:
        return [Mismatch(path, shown(operand["value"]), shown(actual))]
    found = deep_differences(operand, actual)
    return [Mismatch((*path, *each.path), shown(each.expected), shown(each.actual)) for each in found]


MATCHERS: dict[str, Callable[[Any, Any, ValuePath], list[Mismatch]]] = {
    "regex": _regex,
    "any": _any,
    "between": _between,
    "one_of": _one_of,
    "contains": _contains,
    "approx": _approx,
    "len": _len,
    "not": _not,
    "absent": _absent,
    "equals": _equals,
    "deep": _deep,
}


@functools.lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    """Return a compiled pattern, from a cache."""
    return re.compile(pattern)


def length_bounds(operand: Any) -> tuple[int, float]:
    """Return the least and greatest length of a `len` operand."""
    if isinstance(operand, int):
        return operand, operand
    if isinstance(operand, list):
        return operand[0], operand[1]
    return operand.get("min", 0), operand.get("max", math.inf)


def is_number(value: Any) -> bool:
    """Return whether a value is a number; `true` is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
