"""Paths of argument rules: what a schema cannot have is found, and nothing else is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from runtime.control.rule_paths import UnknownPath, unknown_path
from runtime.tools.tool import tool


class Price(BaseModel):
    cents: int
    of: Price | None = None


class Item(BaseModel):
    model_config = ConfigDict(extra="allow")
    price: Price


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


@dataclass
class Place:
    street: str


class Tag(BaseModel):
    name: str


@tool
async def buy(
    amount: int,
    items: list[Item],
    price: Price,
    pet: Annotated[Cat | Dog, Field(discriminator="kind")],
    pair: tuple[int, Price],
    place: Place | None = None,
    tags: list[Tag] | None = None,
    rates: dict[str, int] | None = None,
    notes: dict[str, Price] | None = None,
    free: Any = None,
    bag: dict[str, Any] | None = None,
) -> str:
    """Buy."""
    return ""


SCHEMA = buy.decl.schema.parameters


@pytest.mark.parametrize(
    "path",
    [
        "amount",
        "items",
        "items.price",
        "items.price.cents",
        "items.more",
        "price.of.of.of.cents",
        "pet.lives",
        "pet.tricks",
        "pair.cents",
        "place.street",
        "tags.name",
        "rates.any",
        "notes.any.cents",
        "free.any.thing",
        "bag.any.thing",
    ],
)
def test_paths_that_arguments_can_have(path: str) -> None:
    assert unknown_path(SCHEMA, path) is None


@pytest.mark.parametrize(
    ("path", "part", "within", "known"),
    [
        ("itmes", "itmes", "", tuple(sorted(SCHEMA["properties"]))),
        ("", "", "", tuple(sorted(SCHEMA["properties"]))),
        ("price.cent", "cent", "price", ("cents", "of")),
        ("price.of.cent.x", "cent", "price.of", ("cents", "of")),
        ("items.price.cent", "cent", "items.price", ("cents", "of")),
        ("amount.cents", "cents", "amount", ()),
        ("rates.any.more", "more", "rates.any", ()),
        ("pet.wings", "wings", "pet", ("kind", "lives", "tricks")),
        ("place.city", "city", "place", ("street",)),
        ("tags.0", "0", "tags", ("name",)),
    ],
)
def test_paths_that_no_arguments_can_have(path: str, part: str, within: str, known: tuple[str, ...]) -> None:
    assert unknown_path(SCHEMA, path) == UnknownPath(part=part, within=within, known=known)


@pytest.mark.parametrize(
    ("schema", "path", "open_"),
    [
        ({}, "a.b", True),
        ({"type": "object"}, "a.b", True),
        ({"properties": {"a": {}}}, "b", False),
        ({"properties": {"a": {}}, "additionalProperties": True}, "b.c", True),
        ({"patternProperties": {"^x": {"type": "integer"}}}, "xy", True),
        ({"patternProperties": {"^x": {"type": "integer"}}}, "y", False),
        ({"properties": {"a": {"type": ["integer", "object"]}}}, "a.b", True),
        ({"properties": {"a": {"type": ["integer", "null"]}}}, "a.b", False),
        ({"properties": {"a": {"enum": [1]}}}, "a.b", False),
        ({"properties": {"a": {"type": "array"}}}, "a.b", True),
        ({"properties": {"a": {"$ref": "#/nowhere"}}}, "a.b", True),
        ({"properties": {"a": {"$ref": "other.json"}}}, "a.b", True),
        ({"properties": {"a": {"$ref": "#/properties/a"}}}, "a.b", False),
        (
            {"properties": {"a": {"allOf": [{"properties": {"b": {}}}, {"properties": {"c": {}}}]}}},
            "a.c",
            True,
        ),
    ],
)
def test_schemas_that_pydantic_does_not_write(schema: dict[str, Any], path: str, open_: bool) -> None:
    assert (unknown_path(schema, path) is None) is open_


names = st.sampled_from(["a", "b", "c"])
shapes = st.recursive(
    st.just({"type": "integer"}),
    lambda inner: (
        st.dictionaries(names, inner, min_size=1).map(lambda p: {"type": "object", "properties": p})
        | inner.map(lambda i: {"type": "array", "items": i})
        | st.lists(inner, min_size=1, max_size=2).map(lambda f: {"anyOf": f})
    ),
    max_leaves=6,
)


def _paths(schema: dict[str, Any]) -> set[str]:
    """Return all paths of a schema without references, the plain way."""
    found = set()
    for inner in (*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())):
        found |= _paths(inner)
    for name, inner in schema.get("properties", {}).items():
        found |= {name, *(f"{name}.{rest}" for rest in _paths(inner))}
    return found


@given(shapes, st.lists(names, min_size=1, max_size=4).map(".".join))
def test_a_path_is_known_if_the_schema_has_it(schema: dict[str, Any], path: str) -> None:
    assert (unknown_path(schema, path) is None) == (path in _paths(schema))
