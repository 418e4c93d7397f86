"""Checks that every type a public signature names is public: parameters, returns, fields, methods, aliases.

What a docstring calls "Internal to goldrun" is a method between our own rooms, on an object that users hold; it is no
part of the public surface. A base class of ours is seen through what a public class inherits from it: nobody has to
name the base itself.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import typing
from collections.abc import Callable, Iterator

DOORS = ("runtime", "runtime.testing", "harness")
OURS = ("runtime.", "harness.")
INTERNAL = "Internal to goldrun."


def public_values() -> dict[str, object]:
    """Return every public value by its full name."""
    doors = [(door, importlib.import_module(door)) for door in DOORS]
    return {f"{door}.{name}": getattr(module, name) for door, module in doors for name in module.__all__}


def own_members(owner: type) -> Iterator[tuple[str, object]]:
    """Yield the public functions and properties that a class or one of its bases of ours defines."""
    members = {
        name: member
        for base in reversed(owner.__mro__)
        if is_ours(base)
        for name, member in vars(base).items()
    }
    for name, member in members.items():
        public = name in {"__init__", "__call__"} or not name.startswith("_")
        if public and INTERNAL not in (getattr(member, "__doc__", None) or ""):
            yield name, member


def functions_of(member: object) -> Iterator[Callable[..., object]]:
    """Yield the functions behind a member of a class: of a method, a property or a cached property."""
    if isinstance(member, (staticmethod, classmethod)):
        yield member.__func__
    elif isinstance(member, property) and member.fget is not None:
        yield member.fget
    elif isinstance(member, functools.cached_property):
        yield member.func
    elif inspect.isfunction(member) and member.__module__.startswith(OURS):
        yield member


def hints_of(value: object) -> Iterator[tuple[str, object]]:
    """Yield each annotation that a public value shows, resolved, with the place where it stands.

    Raises:
        NameError: If an annotation names something that exists for type checkers only.
    """
    if inspect.isclass(value):
        for base in getattr(value, "__orig_bases__", ()):
            yield "base", typing.get_args(base)
        for name, hint in typing.get_type_hints(value).items():
            if not name.startswith("_"):
                yield name, hint
        for name, member in own_members(value):
            for function in functions_of(member):
                for part, hint in typing.get_type_hints(function).items():
                    yield f"{name}({part})", hint
    elif inspect.isfunction(value):
        yield from typing.get_type_hints(value).items()
    elif typing.get_origin(value) is not None or isinstance(value, typing.TypeVar):
        yield "alias", value


def named_types(hint: object) -> Iterator[type]:
    """Yield the classes inside an annotation."""
    if isinstance(hint, (list, tuple)):
        for part in hint:
            yield from named_types(part)
    elif isinstance(hint, typing.TypeVar):
        yield from named_types((hint.__bound__, hint.__constraints__))
    elif (origin := typing.get_origin(hint)) is not None and origin is not hint:
        yield from named_types(origin)
        yield from named_types(typing.get_args(hint))
    elif isinstance(hint, type):
        yield hint


def is_ours(value: type) -> bool:
    """Say whether a class is defined in one of our packages."""
    return value.__module__.startswith(OURS)


def leaks(values: dict[str, object]) -> dict[str, str]:
    """Return the types of ours that public values show and no door exports, each with one place."""
    exported = {id(value) for value in values.values()}
    return {
        f"{kind.__module__}.{kind.__name__}": f"{name}: {place}"
        for name, value in values.items()
        for place, hint in hints_of(value)
        for kind in named_types(hint)
        if is_ours(kind) and id(kind) not in exported
    }


def test_every_type_a_public_signature_names_is_public() -> None:
    values = public_values()

    assert len(values) > 100
    assert leaks(values) == {}


def test_planted_private_type_is_found() -> None:
    values = public_values()

    del values["runtime.Budget"]

    assert "runtime.core.policy.Budget" in leaks(values)
