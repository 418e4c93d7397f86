"""Arguments of the wrong kind are refused where a public function is called, by its own annotations.

Theory of operation. A wrong argument otherwise surfaces as an `AttributeError` somewhere inside, or not at all. The
annotations of a function say already what it takes, so they are compared with what it is given: the kinds of values
and of the elements of lists and mappings, not their ranges. What is a protocol must have its methods. A function that
is called many times a second is better served by a check of its own.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import math
import types
import typing
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from runtime.core.checking import shown
from runtime.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")

_WORDS = {
    str: "text",
    bytes: "bytes",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    type(None): "None",
}
_UNCHECKED = (Any, object, inspect.Parameter.empty)


def checks_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with a check of its arguments before each call.

    Arguments that do not fit the signature at all, such as an unknown name, raise `TypeError` as they always do.

    Raises:
        UsageError: By the returned function, if arguments are of the wrong kind; names each.
    """
    name = function.__qualname__.removesuffix(".__init__")
    signature = inspect.signature(function)

    @functools.cache
    def hints() -> dict[str, Any]:
        return typing.get_type_hints(function)

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            return function(*args, **kwargs)
        wrong = []
        for parameter, value in given.items():
            kind = signature.parameters[parameter].kind
            hint = hints().get(parameter, Any)
            each = value if kind is kind.VAR_POSITIONAL else (value,)
            each = value.values() if kind is kind.VAR_KEYWORD else each
            if not all(fits(one, hint) for one in each):
                wrong.append(f"{parameter} is {shown(value)}, not {words(hint)}")
        if wrong:
            raise UsageError(
                "; ".join(wrong), where=name, next_step="correct these arguments where it is called"
            )
        return function(*args, **kwargs)

    return checked


def fits(value: Any, hint: Any) -> bool:
    """Return whether a value is of the kind that an annotation names."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint in _UNCHECKED or isinstance(hint, TypeVar | ParamSpec | str):
        return True
    if isinstance(hint, typing.NewType):
        return fits(value, hint.__supertype__)
    if origin is typing.Annotated:
        return fits(value, parts[0])
    if origin in {typing.Union, types.UnionType}:
        return any(fits(value, part) for part in parts)
    if origin is typing.Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if origin is not None:
        return _holds(value, origin, parts)
    if hint is None or hint is type(None):
        return value is None
    if hint is int or hint is float:
        return _is_number(value, whole=hint is int)
    if getattr(hint, "_is_protocol", False):
        return not isinstance(value, type) and all(hasattr(value, member) for member in _members(hint))
    return not isinstance(hint, type) or isinstance(value, hint)


def _is_number(value: Any, *, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return False
    return not (isinstance(value, float) and math.isnan(value))


def _holds(value: Any, origin: Any, parts: tuple[Any, ...]) -> bool:
    """Return whether a value is a collection of an origin, with elements of the right kinds, or a callable."""
    if origin is collections.abc.Callable:
        return callable(value)
    if not isinstance(origin, type):
        return True
    if getattr(origin, "_is_protocol", False):
        return fits(value, origin)
    if origin is type:
        return isinstance(value, type)
    if not isinstance(value, origin):
        return False
    if isinstance(value, collections.abc.Mapping) and len(parts) == 2:
        return all(fits(key, parts[0]) and fits(item, parts[1]) for key, item in value.items())
    if isinstance(value, str | bytes) and origin not in {str, bytes}:
        return False
    if isinstance(value, tuple) and parts and Ellipsis not in parts and origin is tuple:
        return len(value) == len(parts) and all(map(fits, value, parts))
    if isinstance(value, list | tuple | set | frozenset) and parts:
        return all(fits(item, parts[0]) for item in value)
    return True


def _members(protocol: type) -> set[str]:
    """Return the names that a protocol asks for."""
    bases = [
        base
        for base in protocol.__mro__
        if getattr(base, "_is_protocol", False) and base is not typing.Protocol
    ]
    return {
        name
        for base in bases
        for name in {*vars(base), *vars(base).get("__annotations__", {})}
        if not name.startswith("_")
    }


def words(hint: Any) -> str:
    """Return what an annotation asks for, as a message says it."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return words(parts[0])
    if origin in {typing.Union, types.UnionType}:
        each = list(dict.fromkeys(words(part) for part in parts))
        return each[0] if len(each) == 1 else f"{', '.join(each[:-1])} or {each[-1]}"
    if origin is typing.Literal:
        return "one of " + ", ".join(map(repr, parts))
    if origin is collections.abc.Callable:
        return "a function"
    if isinstance(origin, type) and issubclass(origin, collections.abc.Mapping):
        return "a mapping"
    if isinstance(origin, type) and issubclass(origin, collections.abc.Iterable):
        inner = next((words(part) for part in parts if part is not Ellipsis), "values")
        return f"a list of {inner.removeprefix('a ').removeprefix('an ')}"
    if hint in _WORDS or hint is None:
        return _WORDS[type(None) if hint is None else hint]
    name = getattr(origin or hint, "__name__", str(hint))
    return f"an {name}" if name[:1] in "AEIO" else f"a {name}"
