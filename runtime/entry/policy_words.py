"""Words that stand in a policy file in place of a value: "any" and "unlimited", so that nothing blank lifts a limit."""

from __future__ import annotations

from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_AS_IT_IS = core_schema.plain_serializer_function_ser_schema(
    lambda value: value, return_schema=core_schema.any_schema()
)


class Words:
    """Marks a field that takes one of some words or a value of a type; null is neither.

    A plain union would complain once for each of its members, and say nothing of what a blank must become.
    """

    def __init__(self, kind: Any, *words: str) -> None:
        self._kind = kind
        self._words = words

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return a check that lets the words through and hands all else to the type's own."""

        def check(value: Any, inner: core_schema.ValidatorFunctionWrapHandler) -> Any:
            if value is None:
                raise blank(self._words)
            return value if isinstance(value, str) and value in self._words else inner(value)

        return core_schema.no_info_wrap_validator_function(
            check, handler.generate_schema(self._kind), serialization=_AS_IT_IS
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the type's own JSON Schema, or one of the words."""
        return {"anyOf": [handler(schema), {"enum": list(self._words)}]}


class Stated:
    """Marks a field that may be left out, and says something where it stands."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return a check that refuses null and hands all else to the type's own."""

        def check(value: Any, inner: core_schema.ValidatorFunctionWrapHandler) -> Any:
            if value is None:
                raise blank(())
            return inner(value)

        return core_schema.no_info_wrap_validator_function(
            check, handler.generate_schema(self._kind), serialization=_AS_IT_IS
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the type's own JSON Schema."""
        return handler(schema)


def blank(words: tuple[str, ...]) -> PydanticCustomError:
    """Return the error of a field with nothing in it."""
    say = f"say {' or '.join(words)}, or " if words else ""
    return PydanticCustomError("blank", "{text}", {"text": f"nothing stands here: {say}leave the field out"})
