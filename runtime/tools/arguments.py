"""The arguments of a tool: the pydantic model and the JSON Schema of a function's parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, Self, get_type_hints

from runtime.core.ids import RESERVED_ARGUMENTS
from runtime.doors import real_dates
from runtime.errors import UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel


class ArgumentsModel(Protocol):
    """The arguments of a call: what a tool needs of its pydantic model."""

    @classmethod
    def model_validate_json(cls, json_data: bytes, *, strict: bool | None = None) -> Self:
        """Return the arguments that a JSON text holds, or raise pydantic's `ValidationError`."""
        ...

    def model_dump_json(self, *, by_alias: bool | None = None) -> str:
        """Return the arguments as a JSON text."""
        ...


def arguments_model(function: Callable[..., Any], rename: dict[str, str]) -> type[BaseModel]:
    """Return the strict model of a function's parameters; `ctx` is none of them.

    Args:
        function: A function whose parameters have types.
        rename: Names in the schema, by parameter.

    Raises:
        UsageError: If a parameter has no type, a reserved name, or no JSON form.
    """
    with real_dates():  # a test may define its tools while the clock is frozen
        from pydantic import ConfigDict, create_model
        from pydantic.errors import PydanticUserError

    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise UsageError(
            f"a type of tool {function.__name__!r} is not known where the tool is defined: {error}",
            next_step="define or import the type at the top of the module",
        ) from error
    fields = _fields(function, hints, rename)
    try:
        model: type[BaseModel] = create_model(
            f"{function.__name__}_arguments", __config__=ConfigDict(extra="forbid"), **fields
        )
        model.model_json_schema(by_alias=True)
    except PydanticUserError as error:
        raise UsageError(
            f"an argument of tool {function.__name__!r} has no JSON form: {error.message}",
            next_step="use types that JSON has, or a pydantic model",
        ) from error
    return model


def _fields(function: Callable[..., Any], hints: dict[str, Any], rename: dict[str, str]) -> dict[str, Any]:
    from pydantic import Field

    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "ctx":
            continue
        alias = rename.get(parameter.name)
        if (alias or parameter.name) in RESERVED_ARGUMENTS:
            raise UsageError(
                f"tool {function.__name__!r} has the argument {parameter.name!r}, which is bound at entry",
                next_step="take it from ctx instead; a model never chooses it",
            )
        if parameter.name not in hints:
            raise UsageError(f"argument {parameter.name!r} of tool {function.__name__!r} has no type")
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], Field(default, alias=alias))
    return fields


def keeping(model: type[BaseModel]) -> type[BaseModel]:
    """Return a model whose values keep the JSON that they were made of, for a process to make them again."""
    from pydantic import PrivateAttr

    return type(
        model.__name__,
        (model,),
        {"__module__": model.__module__, "__annotations__": {"_given": bytes}, "_given": PrivateAttr(b"")},
    )


def keep_given(value: BaseModel, given: bytes) -> None:
    """Keep the JSON that a value of a `keeping` model was made of."""
    value._given = given  # type: ignore[attr-defined]  # noqa: SLF001 - made by `keeping`


def given_of(value: BaseModel) -> bytes:
    """Return the JSON that a value was made of; its own where it was made of none."""
    kept: bytes = getattr(value, "_given", b"")
    return kept or value.model_dump_json(by_alias=True).encode()


def parameters_of(model: type[BaseModel], function: str) -> dict[str, Any]:
    """Return the JSON Schema of a model of arguments, without the titles that pydantic makes up.

    Args:
        model: What `arguments_model` gave.
        function: Name of the function, for the message.

    Raises:
        UsageError: If an object anywhere within the arguments has a reserved name.
    """
    schema = model.model_json_schema(by_alias=True)
    schema.pop("title", None)
    for field in schema.get("properties", {}).values():
        field.pop("title", None)
    path = _reserved(schema, schema, (), frozenset())
    if path is not None:
        raise UsageError(
            f"tool {function!r} has the argument {path!r}, which is bound at entry",
            next_step="take it from ctx instead; a model never chooses it",
        )
    return schema


def _reserved(place: Any, root: dict[str, Any], path: tuple[str, ...], seen: frozenset[str]) -> str | None:
    """Return the path of the first reserved name below a place of the schema; `None` if there is none."""
    if isinstance(place, list):
        return next((p for e in place if (p := _reserved(e, root, path, seen)) is not None), None)
    if not isinstance(place, dict):
        return None
    ref = place.get("$ref")
    if isinstance(ref, str) and ref.startswith("#/$defs/") and ref not in seen:
        found = _reserved(root.get("$defs", {}).get(ref[8:]), root, path, seen | {ref})
        if found is not None:
            return found
    for name, inner in place.get("properties", {}).items():
        below = (*path, name)
        found = ".".join(below) if name in RESERVED_ARGUMENTS else _reserved(inner, root, below, seen)
        if found is not None:
            return found
    forms = [place[name] for name in _BELOW if name in place]
    return _reserved(forms, root, path, seen)


_BELOW = ("items", "prefixItems", "anyOf", "oneOf", "allOf", "additionalProperties")
"""What holds schemas of values that stand at the same path."""
