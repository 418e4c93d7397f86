"""Filled arguments: what a function gets, in the names and the JSON of the schema."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, AliasPath, BaseModel, ConfigDict, Field, RootModel, SecretStr

from runtime.tools.tool import Tool, tool


class Level(Enum):
    LOW = "low"
    HIGH = "high"


class Money(BaseModel):
    cents: int
    currency: str = "EUR"


class Renamed(BaseModel):
    source: str = Field("here", alias="from")


class ByName(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    source: str = Field("here", alias="from")


class Deep(BaseModel):
    first: int = Field(1, validation_alias=AliasPath("all", 0))


class Prices(RootModel[list[Money]]):
    pass


@dataclass
class Place:
    street: str
    number: int = 1


@tool(rename={"kind": "class"})
async def refund(
    order: float,
    amount: int = 1_000,
    kind: int = 0,
    money: Money | None = None,
    prices: Prices | None = None,
    many: tuple[Money, ...] = (),
    level: Level = Level.LOW,
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC),
    place: Place | None = None,
    named: dict[str, Money] | None = None,
    renamed: Renamed | None = None,
    by_name: ByName | None = None,
    deep: Deep | None = None,
    token: SecretStr | None = None,
    code: Annotated[str, AfterValidator(str.upper)] = "A",
) -> str:
    """Refund."""
    return ""


DEFAULTS: dict[str, Any] = {
    "amount": 1_000,
    "class": 0,
    "money": None,
    "prices": None,
    "many": [],
    "level": "low",
    "at": "2026-01-01T00:00:00Z",
    "place": None,
    "named": None,
    "renamed": None,
    "by_name": None,
    "deep": None,
    "token": None,
    "code": "A",
}


def filled(of: Tool, arguments: dict[str, Any]) -> Any:
    checked = of.validate(arguments)
    assert checked.problems == ()
    return checked.filled


def test_defaults_are_filled_in() -> None:
    assert filled(refund, {"order": 1}) == {"order": 1, **DEFAULTS}


@pytest.mark.parametrize(
    ("given_", "carried_out"),
    [
        ({"money": {"cents": 5}}, {"money": {"cents": 5, "currency": "EUR"}}),
        ({"prices": [{"cents": 5}]}, {"prices": [{"cents": 5, "currency": "EUR"}]}),
        ({"many": [{"cents": 5}]}, {"many": [{"cents": 5, "currency": "EUR"}]}),
        ({"named": {"a": {"cents": 5}}}, {"named": {"a": {"cents": 5, "currency": "EUR"}}}),
        ({"place": {"street": "x"}}, {"place": {"street": "x", "number": 1}}),
        ({"renamed": {}}, {"renamed": {"from": "here"}}),
        ({"renamed": {"source": "x"}}, {"renamed": {"source": "x", "from": "here"}}),
        ({"by_name": {"source": "x"}}, {"by_name": {"source": "x"}}),
        ({"deep": {"all": [7]}}, {"deep": {"all": [7]}}),
        ({"code": "b"}, {"code": "B"}),
        ({"level": "high"}, {"level": "high"}),
        ({"at": "2026-01-01T01:00:00+01:00"}, {"at": "2026-01-01T01:00:00+01:00"}),
        ({"token": "secret"}, {"token": "secret"}),
    ],
)
def test_what_the_function_gets_is_shown(given_: dict[str, Any], carried_out: dict[str, Any]) -> None:
    assert filled(refund, {"order": 1, **given_}) == {"order": 1, **DEFAULTS, **carried_out}


def test_nothing_is_filled_in_where_all_was_given() -> None:
    @tool
    async def pay(order: float, money: Money, note: str | None) -> str:
        return ""

    assert filled(pay, {"order": 1, "money": {"cents": 1, "currency": "EUR"}, "note": None}) is None


@given(
    st.fixed_dictionaries(
        {"order": st.integers(-5, 5) | st.floats(-5, 5)},
        optional={
            "amount": st.integers(-5, 5),
            "class": st.integers(-5, 5),
            "money": st.fixed_dictionaries({"cents": st.integers()}, optional={"currency": st.text()}),
            "level": st.sampled_from(["low", "high"]),
            "code": st.text(),
        },
    )
)
def test_filling_in_is_done_once_and_for_good(arguments: dict[str, Any]) -> None:
    before = copy.deepcopy(arguments)
    once = filled(refund, arguments)

    assert arguments == before
    assert refund.validate(once).value == refund.validate(arguments).value
    assert filled(refund, once) is None
