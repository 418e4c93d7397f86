"""`@tool`: schema, strict arguments, results, and the same words as the JSON Schema check."""

from __future__ import annotations

import asyncio
import threading
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from runtime.core.effects import ToolResult
from runtime.errors import UsageError
from runtime.ports.tools import ToolContext
from runtime.tools.schema_check import MAX_PROBLEMS, schema_validator
from runtime.tools.tool import Tool, ToolError, tool

CONTEXT = ToolContext(
    request_id="r",
    tenant="t",
    environment="e",
    lane="0.tool0/1",
    attempt=1,
    idempotency_key=None,
    seconds_left=None,
)


class Address(BaseModel):
    street: str
    number: int = 1


@tool
async def plain(item: str, count: int = 1) -> str:
    """Order an item."""
    return f"{count} {item}"


@tool(name="shop.typed", write=True, idempotent=True, timeout_s=2.0)
def typed(
    kind: Literal["a", "b"],
    size: Annotated[int, Field(ge=1, le=9)],
    ratio: float | None = None,
    tags: list[str] | None = None,
) -> dict[str, Any]:
    """Do something typed.

    At length.
    """
    return {"kind": kind, "size": size, "ratio": ratio, "tags": tags}


@tool
def nested(address: Address, notes: dict[str, int], flag: bool = False) -> Address:
    """Take an address."""
    return address


@tool(rename={"source": "from", "kind": "class"})
def renamed(source: str, kind: int = 0) -> str:
    """Rename what Python reserves."""
    return f"{source}/{kind}"


@tool
def empty() -> None:
    """Take nothing."""


TOOLS = (plain, typed, nested, renamed, empty)


def call(of: Tool, arguments: dict[str, Any]) -> ToolResult:
    checked = of.validate(arguments)
    assert checked.problems == ()
    return asyncio.run(of.call(checked.value, CONTEXT))


def test_schema_names_parameters_and_nothing_of_python() -> None:
    schema = plain.decl.schema

    assert (schema.name, schema.description) == ("plain", "Order an item.")
    assert schema.parameters == {
        "type": "object",
        "properties": {"item": {"type": "string"}, "count": {"type": "integer", "default": 1}},
        "required": ["item"],
        "additionalProperties": False,
    }


def test_options_reach_the_declaration() -> None:
    decl = typed.decl

    assert (decl.schema.name, decl.write, decl.idempotent, decl.timeout_s) == ("shop.typed", True, True, 2.0)
    assert decl.schema.description == "Do something typed.\n\nAt length."
    assert (plain.decl.write, plain.decl.timeout_s) == (False, 30.0)


def test_a_context_is_given_and_is_no_part_of_the_schema() -> None:
    @tool
    async def with_context(n: int, ctx: ToolContext) -> str:
        return f"{ctx.tenant} {n}"

    assert list(with_context.decl.schema.parameters["properties"]) == ["n"]
    assert call(with_context, {"n": 1}).content == "t 1"


@pytest.mark.parametrize(
    "name",
    ["tenant", "tenant_id", "environment", "request_id", "Tenant", "tenantId", "TENANT_ID", "requestID"],
)
def test_names_bound_at_entry_are_refused(name: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def bad({name}: str) -> str:\n    return {name}", namespace)

    with pytest.raises(UsageError, match="bound at entry"):
        tool(namespace["bad"])


def test_a_renamed_parameter_may_not_take_a_reserved_name_either() -> None:
    def bad(who: str) -> str:
        return who

    with pytest.raises(UsageError, match="bound at entry"):
        tool(rename={"who": "tenant"})(bad)


class Owner(BaseModel):
    tenant: str


class Tree(BaseModel):
    name: str
    children: list[Tree] = []
    owner: Annotated[Owner | None, Field(alias="of")] = None


class Free(BaseModel):
    name: str
    extra: dict[str, str] = {}


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (Owner, "o.tenant"),
        (list[Owner], "o.tenant"),
        (dict[str, Owner], "o.tenant"),
        (tuple[int, Owner], "o.tenant"),
        (Tree, "o.of.tenant"),
    ],
)
def test_names_bound_at_entry_are_refused_within_arguments_too(kind: Any, path: str) -> None:
    async def bad(o: Any) -> str:
        return ""

    bad.__annotations__["o"] = kind

    with pytest.raises(UsageError, match=f"the argument '{path}', which is bound at entry"):
        tool(bad)


def test_names_that_no_schema_has_cannot_be_refused() -> None:
    async def free(o: Free) -> str:
        return o.extra["tenant"]

    assert tool(free).validate({"o": {"name": "x", "extra": {"tenant": "y"}}}).problems == ()


def test_a_parameter_without_type_is_refused() -> None:
    def bad(n) -> str:  # type: ignore[no-untyped-def]  # the point of the test
        return str(n)

    with pytest.raises(UsageError, match="has no type"):
        tool(bad)


def test_a_type_without_json_form_is_refused() -> None:
    def bad(n: threading.Event) -> str:
        return str(n)

    with pytest.raises(UsageError, match="has no JSON form"):
        tool(bad)


def test_a_type_that_is_not_known_is_refused() -> None:
    def bad(n: Nowhere) -> str:  # type: ignore[name-defined]  # noqa: F821 - the point of the test
        return str(n)

    with pytest.raises(UsageError, match="'Nowhere' is not defined"):
        tool(bad)


def test_renamed_parameters_are_known_by_their_new_names_alone() -> None:
    assert list(renamed.decl.schema.parameters["properties"]) == ["from", "class"]
    assert call(renamed, {"from": "a", "class": 2}).content == "a/2"
    assert renamed.validate({"source": "a"}).problems == ("from: required", "source: not allowed")


@pytest.mark.parametrize(
    ("of", "arguments", "problems"),
    [
        (plain, {}, ("item: required",)),
        (plain, {"item": 5}, ("item: expected string",)),
        (plain, {"item": "a", "count": "3"}, ("count: expected integer",)),
        (plain, {"item": "a", "count": True}, ("count: expected integer",)),
        (plain, {"item": "a", "more": 1}, ("more: not allowed",)),
        (plain, "{", ("arguments: expected a JSON object",)),
        (plain, ["item"], ("arguments: expected a JSON object",)),
        (typed, {"kind": "c", "size": 10}, ("kind: expected one of ['a', 'b']", "size: breaks maximum 9")),
        (
            nested,
            {"address": {"number": "x"}, "notes": {"a": 1}},
            ("address.number: expected integer", "address.street: required"),
        ),
        (empty, {"a": 1}, ("a: not allowed",)),
    ],
)
def test_arguments_are_strict_and_problems_are_in_our_words(
    of: Tool, arguments: Any, problems: tuple[str, ...]
) -> None:
    assert of.validate(arguments).problems == problems


def test_problems_told_at_once_are_limited() -> None:
    problems = plain.validate({f"x{n}": n for n in range(30)}).problems

    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[-1] == "and 21 more"


def test_a_wrong_schema_is_refused() -> None:
    with pytest.raises(ValueError):
        schema_validator({"type": "nonsense"})


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-20, 20)
    | st.floats(-9, 9)
    | st.text(max_size=3)
    | st.sampled_from("ab"),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["street", "number", "x"]), inner)
    ),
    max_leaves=4,
)
names = st.sampled_from(
    [
        "item",
        "count",
        "kind",
        "size",
        "ratio",
        "tags",
        "address",
        "notes",
        "flag",
        "from",
        "class",
        "source",
        "zz",
    ]
)


@given(st.sampled_from(TOOLS), st.dictionaries(names, json_values, max_size=5))
def test_pydantic_and_json_schema_reject_in_the_same_words(of: Tool, arguments: dict[str, Any]) -> None:
    ours = of.validate(arguments).problems
    schemas = schema_validator(of.decl.schema.parameters)(arguments).problems

    assert not (ours and schemas) or ours == schemas


@given(st.sampled_from(TOOLS), st.dictionaries(names, json_values, max_size=5))
def test_what_the_schema_rejects_is_never_let_through(of: Tool, arguments: dict[str, Any]) -> None:
    told = schema_validator(of.decl.schema.parameters)(arguments).problems

    assert of.validate(arguments).problems or not told


@pytest.mark.parametrize(
    ("result", "content"),
    [
        ("text", "text"),
        ({"b": 1, "a": None}, '{"a":null,"b":1}'),
        (Address(street="x"), '{"number":1,"street":"x"}'),
        (None, "null"),
        ([1, 2], "[1,2]"),
        ("file \udcff", "file ?"),
    ],
)
def test_what_the_model_sees_of_a_result(result: Any, content: str) -> None:
    @tool
    async def give() -> Any:
        return result

    seen = call(give, {})

    assert (seen.content, seen.status) == (content, "ok")
    assert msgspec.json.decode(msgspec.json.encode(seen), type=ToolResult) == seen


class Torn(BaseModel):
    def model_dump(self, **options: Any) -> dict[str, Any]:
        raise ValueError("no")


class Opaque:
    pass


def _circle() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


@pytest.mark.parametrize(
    ("result", "kind"),
    [(Opaque(), "Opaque"), ([Opaque()], "list"), (Torn(), "Torn"), (_circle(), "list"), ({1: {2j}}, "dict")],
)
def test_a_result_without_a_json_form_is_no_failure(result: Any, kind: str) -> None:
    @tool(write=True)
    async def give() -> Any:
        return result

    seen = call(give, {})

    assert seen == ToolResult(content=f"[the call was made; its result has no JSON form: {kind}]")


def test_models_within_a_result_have_a_json_form() -> None:
    @tool
    async def give() -> Any:
        return {"all": [Address(street="x")]}

    assert call(give, {}).content == '{"all":[{"number":1,"street":"x"}]}'


def test_an_error_of_the_tool_s_domain_is_told() -> None:
    @tool
    async def find(name: str) -> str:
        raise ToolError(f"there is no {name}")

    result = call(find, {"name": "x"})

    assert (result.status, result.content, result.error) == ("error", "there is no x", "there is no x")


def test_a_plain_function_runs_in_a_thread() -> None:
    @tool
    def where() -> str:
        return threading.current_thread().name

    assert call(where, {}).content != threading.current_thread().name


def test_arguments_reach_the_function_as_their_types() -> None:
    @tool
    async def street(address: Address) -> str:
        return address.street

    assert call(street, {"address": {"street": "Main"}}).content == "Main"
