"""Switches: which of them hold for a run, its children and a call."""

from __future__ import annotations

import msgspec
import pytest

from runtime.control.switches import (
    Board,
    Switch,
    SwitchRef,
    SwitchScope,
    Target,
    check_ref,
    holds,
    order,
    pulled,
    refusal,
)

TARGET = Target(tenant="acme", environment="prod", agent="support", request_id="req_1")


def board(*refs: SwitchRef) -> Board:
    return Board(epoch=1, switches=tuple(Switch(ref=r, by="ana", reason="incident", at=1.0) for r in refs))


@pytest.mark.parametrize(
    ("scope", "name", "expected"),
    [
        ("global", "", ("kill",)),
        ("agent", "support", ("kill",)),
        ("run", "req_1", ("kill",)),
        ("tenant", "acme", ("tenant",)),
        ("tool", "http.get", ("tool:http.get",)),
        ("agent", "other", ()),
        ("run", "req_10", ()),
        ("tenant", "acm", ()),
        ("tool", "http", ()),
        ("model", "gpt-4o", ()),
    ],
)
def test_a_switch_holds_for_exactly_what_it_names(
    scope: SwitchScope, name: str, expected: tuple[str, ...]
) -> None:
    assert pulled(board(SwitchRef(scope=scope, name=name)), TARGET, ("http.get", "kb.search")) == expected


def test_a_switch_on_a_run_holds_for_its_children() -> None:
    child = msgspec.structs.replace(TARGET, request_id="req_1/4.tool2/1/0.tool0/1")

    assert pulled(board(SwitchRef(scope="run", name="req_1")), child) == ("kill",)


@pytest.mark.parametrize(("tenant", "environment"), [("evil", None), (None, "staging"), ("acme", "staging")])
def test_a_narrowed_switch_leaves_others_alone(tenant: str | None, environment: str | None) -> None:
    ref = SwitchRef(scope="global", tenant=tenant, environment=environment)

    assert not holds(ref, TARGET)
    assert holds(SwitchRef(scope="global", tenant="acme", environment="prod"), TARGET)


def test_switches_are_listed_by_precedence_and_once() -> None:
    refs = [
        SwitchRef(scope="tool", name="b"),
        SwitchRef(scope="tool", name="b", tenant="acme"),
        SwitchRef(scope="tool", name="a"),
        SwitchRef(scope="tenant", name="acme"),
        SwitchRef(scope="global"),
        SwitchRef(scope="run", name="req_1"),
    ]

    assert pulled(board(*refs), TARGET, ("a", "b", "a")) == ("kill", "tenant", "tool:a", "tool:b")


@pytest.mark.parametrize(
    ("refs", "cause"),
    [
        ([SwitchRef(scope="tool", name="t"), SwitchRef(scope="global")], "kill"),
        ([SwitchRef(scope="model", name="m"), SwitchRef(scope="tenant", name="acme")], "tenant"),
        ([SwitchRef(scope="tool", name="t")], "disabled"),
        ([SwitchRef(scope="model", name="m")], "disabled"),
    ],
)
def test_the_strongest_switch_refuses_a_call(refs: list[SwitchRef], cause: str) -> None:
    found = refusal(board(*refs), TARGET, tool="t", model="m")

    assert found is not None
    assert found[0] == cause


def test_nothing_pulled_refuses_nothing() -> None:
    assert refusal(board(), TARGET, tool="t") is None
    assert refusal(board(SwitchRef(scope="tool", name="u")), TARGET, tool="t") is None


@pytest.mark.parametrize("ref", [SwitchRef(scope="global", name="x"), SwitchRef(scope="tool")])
def test_a_switch_that_names_nothing_is_refused(ref: SwitchRef) -> None:
    with pytest.raises(ValueError, match="a switch on"):
        check_ref(ref)


def test_no_two_switches_share_their_order() -> None:
    refs = [
        SwitchRef(scope="tool", name="t", tenant=tenant, environment=environment)
        for tenant in (None, "", "a")
        for environment in (None, "", "a")
    ]

    assert len({order(ref) for ref in refs}) == 9
