"""The matcher `deep`: compare two values and ignore order, case, small differences or named paths.

Theory of operation. Each value gets a key, a text in which nothing is left that is not to be looked at: two values
match exactly if their keys are equal. Keys cost one pass, so a list of 10,000 items in another order takes a moment.
Where keys differ, the walk goes down to the paths; in a list without order the items of equal keys are taken out
first, and deepdiff pairs the few that are left, which takes the product of their numbers.

Rules.
1. The words are deepdiff's: `significant_digits` counts digits after the point and rounds as deepdiff does.
2. `true` is not 1, though deepdiff takes them for one; 1 and 1.0 are one number.
3. More than `MOST_UNPAIRED` items left on a side are counted, and not paired.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import msgspec
import orjson

from runtime.errors import UsageError

OPTIONS = ("value", "ignore_order", "exclude_paths", "significant_digits", "ignore_case")
MOST_UNPAIRED = 200
_MOST_PAIRED_CLOSELY = 10
"""Up to here deepdiff weighs each item against each; above it only where most of a list is equal."""
_MOST_PAIRED_CHARS = 50_000
"""Length of all keys that are left, above which items are listed and not paired: large ones take minutes."""
_TOKEN = re.compile(r"""\.?([A-Za-z_][\w-]*)|\[(\d+|\*)\]|\[(?:'([^']*)'|"([^"]*)")\]""")
_ROOT = re.compile(r"root(?=\[)")
_ANY = "*"
ANY_ITEM = "[*]"
"""The part of a path that stands for an item of a list without order."""

Part = str | int
"""A key, an index, or `*` for every index."""


class _Absent:
    """The side of a difference that is not there."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()


class _Text(msgspec.Struct, frozen=True):
    """A side of a difference that is said in words."""

    words: str

    def __repr__(self) -> str:
        return self.words


class Difference(msgspec.Struct, frozen=True):
    """Where two values differ: the path, and both sides; `repr` of a side is fit for a message."""

    path: tuple[str | int, ...]
    expected: Any
    actual: Any


class Deep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The operand of the matcher.

    Attributes:
        value: What is expected.
        ignore_order: Whether lists are compared as bags.
        exclude_paths: Paths that are not compared: `items[*].id`, or as deepdiff writes them.
        significant_digits: Digits after the point that count; all by default.
        ignore_case: Whether upper and lower case of texts are one; keys keep theirs.
    """

    value: Any
    ignore_order: bool = False
    exclude_paths: list[str] = []
    significant_digits: int | None = None
    ignore_case: bool = False


def deep_problem(operand: Any) -> str | None:
    """Return what is written wrongly in an operand; `None` if nothing is."""
    try:
        deep = msgspec.convert(operand, Deep)
    except msgspec.ValidationError as error:
        return f"{error}; deep takes {', '.join(OPTIONS)}"
    if deep.significant_digits is not None and not 0 <= deep.significant_digits <= 100:
        return f"significant_digits: {deep.significant_digits!r} is not between 0 and 100"
    for text in deep.exclude_paths:
        parts = path_parts(text)
        if parts is None:
            return f"exclude_paths: {text!r} is no path; write items[*].id"
        if deep.ignore_order and any(isinstance(part, int) for part in parts):
            return f"exclude_paths: {text!r} names an index, and the order is ignored; write [*]"
    if deep.exclude_paths and _is_nonempty(deep.value) and not _is_nonempty(_looked_at(deep, deep.value)):
        return "exclude_paths leave nothing of the value to compare"
    return None


def path_parts(text: str) -> tuple[Part, ...] | None:
    """Return the parts of a path; `None` if it is none."""
    at, parts = _ROOT.match(text), list[Part]()
    position = at.end() if at is not None else 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            return None
        name, index, single, double = token.groups()
        key = next((k for k in (name, single, double) if k is not None), None)
        parts.append(key if key is not None else index if index == _ANY else int(index))
        position = token.end()
    return tuple(parts) or None


def deep_differences(operand: dict[str, Any], actual: Any) -> Iterator[Difference]:
    """Yield where a value differs from an operand that `deep_problem` has nothing against.

    Raises:
        UsageError: If deepdiff is needed and not installed.
    """
    deep = msgspec.convert(operand, Deep)
    yield from _Walk(deep).differences(_looked_at(deep, deep.value), _looked_at(deep, actual), ())


def unordered(value: Any) -> Any:
    """Return a value with its lists sorted: equal for values that differ in the order of lists only."""
    walk = _Walk(Deep(value=None, ignore_order=True))
    match value:
        case dict():
            return {name: unordered(each) for name, each in value.items()}
        case list() | tuple():
            return sorted(map(unordered, value), key=walk.key)
        case _:
            return value


class _Walk:
    """Compares under one set of options."""

    def __init__(self, deep: Deep) -> None:
        self._deep = deep
        self._number = _number_key(deep.significant_digits)

    def key(self, value: Any) -> str:
        """Return the key of a value."""
        match value:
            case bool() | None:
                return str(value)
            case int() | float():
                return self._number(value)
            case str():
                return orjson.dumps(value.lower() if self._deep.ignore_case else value).decode()
            case dict():
                return f"{{{','.join(sorted(f'{orjson.dumps(k).decode()}:{self.key(v)}' for k, v in value.items()))}}}"
            case list():
                keys = map(self.key, value)
                return f"[{','.join(sorted(keys) if self._deep.ignore_order else keys)}]"
            case _:
                return repr(value)

    def differences(self, a: Any, b: Any, path: tuple[str | int, ...]) -> Iterator[Difference]:
        """Yield where B differs from A."""
        if self.key(a) == self.key(b):
            return
        if isinstance(a, dict) and isinstance(b, dict):
            for name in [*a, *(n for n in b if n not in a)]:
                yield from self._present(a.get(name, ABSENT), b.get(name, ABSENT), (*path, name))
        elif isinstance(a, list) and isinstance(b, list) and self._deep.ignore_order:
            yield from self._bags(a, b, path)
        elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
            for index, (ours, theirs) in enumerate(zip(a, b, strict=True)):
                yield from self.differences(ours, theirs, (*path, index))
        elif isinstance(a, list) and isinstance(b, list):
            yield Difference(path, _Text(f"{len(a)} items"), _Text(f"{len(b)} items"))
        else:
            yield Difference(path, a, b)

    def _present(self, a: Any, b: Any, path: tuple[str | int, ...]) -> Iterator[Difference]:
        if a is ABSENT or b is ABSENT:
            yield Difference(path, a, b)
        else:
            yield from self.differences(a, b, path)

    def _bags(self, a: list[Any], b: list[Any], path: tuple[str | int, ...]) -> Iterator[Difference]:
        """Yield how two lists without order differ."""
        ours, theirs = [self.key(item) for item in a], [self.key(item) for item in b]
        left, right = _left(a, ours, theirs), _left(b, theirs, ours)
        place = (*path, ANY_ITEM)
        if max(len(left), len(right)) > MOST_UNPAIRED:
            yield Difference(
                path,
                _Text(f"{len(a)} items in any order"),
                _Text(
                    f"{len(b)} items: {len(left)} are missing and {len(right)} are not expected, too many to pair "
                    f"(at most {MOST_UNPAIRED})"
                ),
            )
        elif len(left) == len(right) == 1:
            yield from self.differences(left[0], right[0], place)
        elif left and right and sum(len(self.key(item)) for item in (*left, *right)) <= _MOST_PAIRED_CHARS:
            yield from self._paired(left, right, place)
        else:
            yield from (Difference(place, item, ABSENT) for item in left)
            yield from (Difference(place, ABSENT, item) for item in right)

    def _paired(
        self, left: list[Any], right: list[Any], place: tuple[str | int, ...]
    ) -> Iterator[Difference]:
        """Yield what deepdiff finds between the items that have no equal."""
        closely = max(len(left), len(right)) <= _MOST_PAIRED_CLOSELY
        found = _deepdiff().DeepDiff(
            [_marked(item) for item in left],
            [_marked(item) for item in right],
            ignore_order=True,
            report_repetition=True,
            significant_digits=self._deep.significant_digits,
            ignore_string_case=self._deep.ignore_case,
            ignore_numeric_type_changes=True,
            cutoff_intersection_for_pairs=1 if closely else 0.7,
            view="tree",
        )
        levels = [level for kind in sorted(found) for level in found[kind]]
        if not levels:  # the keys are the judge
            yield from (Difference(place, item, ABSENT) for item in left)
            yield from (Difference(place, ABSENT, item) for item in right)
        for level in levels:
            _, *rest = level.path(output_format="list")
            yield Difference((*place, *rest), _unmarked(level.t1), _unmarked(level.t2))


def _number_key(digits: int | None) -> Callable[[int | float], str]:
    if digits is None:
        return lambda value: (
            str(int(value)) if isinstance(value, float) and value.is_integer() else repr(value)
        )
    number_to_string = _deepdiff().helper.number_to_string

    @functools.cache  # deepdiff takes 20 µs for a number, and most stand on both sides
    def rounded(value: int | float) -> str:
        return str(number_to_string(value, significant_digits=digits, number_format_notation="f"))

    return rounded


def _left(items: list[Any], keys: list[str], others: list[str]) -> list[Any]:
    """Return the items that have no partner of equal key."""
    free, left = Counter(others), []
    for item, key in zip(items, keys, strict=True):
        if free[key] > 0:
            free[key] -= 1
        else:
            left.append(item)
    return left


class _Truth(Enum):
    """What `true` and `false` are to deepdiff: no numbers."""

    TRUE = True
    FALSE = False


def _marked(value: Any) -> Any:
    match value:
        case bool():
            return _Truth(value)
        case dict():
            return {name: _marked(each) for name, each in value.items()}
        case list():
            return [_marked(each) for each in value]
        case _:
            return value


def _unmarked(value: Any) -> Any:
    match value:
        case _Truth():
            return value.value
        case dict():
            return {name: _unmarked(each) for name, each in value.items()}
        case list():
            return [_unmarked(each) for each in value]
        case None | str() | int() | float():
            return value
        case _:
            return ABSENT  # deepdiff's own word for it


def _looked_at(deep: Deep, value: Any) -> Any:
    return _without(value, [path_parts(text) or () for text in deep.exclude_paths])


def _without(value: Any, paths: list[tuple[Part, ...]]) -> Any:
    """Return a value without some paths."""
    if not paths:
        return value
    match value:
        case dict():
            named: list[tuple[Any, Any]] = list(value.items())
        case list():
            named = list(enumerate(value))
        case _:
            return value
    kept = []
    for name, each in named:
        rest = [path[1:] for path in paths if path[0] == name or (path[0] == _ANY and isinstance(name, int))]
        if () not in rest:
            kept.append((name, _without(each, rest)))
    return dict(kept) if isinstance(value, dict) else [each for _, each in kept]


def _is_nonempty(value: Any) -> bool:
    return value not in ({}, [])


def _deepdiff() -> Any:
    try:
        import deepdiff.helper
    except ImportError as error:
        raise UsageError(
            "deepdiff is not installed", where="deep", next_step="pip install 'goldrun[harness]'"
        ) from error
    return deepdiff
