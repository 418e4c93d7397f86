"""Checks that injectors, doc tools and pydantic can read the annotations of every public name at run time."""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Iterator

DOORS = ("runtime", "harness", "runtime.testing")


def annotated(value: object, name: str) -> Iterator[tuple[str, object]]:
    """Yield what has annotations of its own: a function, or a class, its public methods and its properties."""
    if not inspect.isclass(value):
        if inspect.isfunction(value):
            yield name, value
        return
    for above in value.__mro__:
        if above.__module__.split(".")[0] not in ("runtime", "harness"):
            continue
        yield f"{name} < {above.__name__}", above
        for key, member in vars(above).items():
            if key.startswith("_") and key not in ("__init__", "__call__"):
                continue
            if isinstance(member, property):
                member = member.fget
            elif isinstance(member, (staticmethod, classmethod)):
                member = member.__func__
            if inspect.isfunction(member) and member.__module__.split(".")[0] in ("runtime", "harness"):
                yield f"{name} < {above.__name__}.{key}", member


def unreadable(values: dict[str, object]) -> list[str]:
    """Return the places whose annotations name what is not there at run time, with the reason."""
    found = []
    for name, value in values.items():
        for place, each in annotated(value, name):
            try:
                typing.get_type_hints(each)
            except NameError as error:
                found.append(f"{place}: {error}")
    return found


def test_annotations_of_every_public_name_can_be_read() -> None:
    public = {
        f"{door}.{name}": getattr(module, name)
        for door in DOORS
        for module in [importlib.import_module(door)]
        for name in module.__all__
    }

    assert sum(1 for name, value in public.items() for _ in annotated(value, name)) > 300
    assert unreadable(public) == []


def test_annotation_of_a_name_for_type_checkers_only_is_found() -> None:
    def planted(value: NotThere) -> None:  # type: ignore[name-defined]  # noqa: F821 - what the test plants
        """Take what no module holds."""

    assert unreadable({"planted": planted}) == ["planted: name 'NotThere' is not defined"]
