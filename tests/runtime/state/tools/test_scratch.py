"""Scratch: typed, small, out of reach of what was put in, and of one run."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import DataError, UsageError
from runtime.ports.state import Scope
from runtime.state.tools.scratch import Scratch, Slot

ACME = Scope(tenant="acme", environment="test")
EVIL = Scope(tenant="evil", environment="test")


class Plan(msgspec.Struct, frozen=True):
    steps: list[str]
    done: int = 0


@dataclass
class Point:
    x: int


PLAN, SEEN, POINT = Slot("plan", Plan), Slot("seen", list[str]), Slot("point", Point)


def scratch(scope: Scope = ACME, request_id: str = "req_1", **fields: int) -> Scratch:
    return Scratch(scope, request_id, (PLAN, SEEN, POINT), **fields)


def test_value_comes_back_with_its_type() -> None:
    ours = scratch()
    ours.put(PLAN, Plan(steps=["a"]))
    ours.put(POINT, Point(x=3))

    assert (ours.get(PLAN), ours.get(POINT), ours.get(SEEN)) == (Plan(steps=["a"]), Point(x=3), None)


def test_what_was_put_in_or_taken_out_changes_nothing_inside() -> None:
    ours, names = scratch(), ["a"]
    ours.put(SEEN, names)
    names.append("b")
    (ours.get(SEEN) or []).append("c")

    assert ours.get(SEEN) == ["a"]


@pytest.mark.parametrize("wrong", [[1], "text", None, {"a": object()}])
def test_value_of_another_type_is_refused_and_the_old_one_stays(wrong: object) -> None:
    ours = scratch()
    ours.put(SEEN, ["a"])

    with pytest.raises(UsageError, match="'seen'"):
        ours.put(ours.slot("seen"), wrong)

    assert ours.get(SEEN) == ["a"]


def test_slot_that_was_not_declared_or_has_another_type_is_refused() -> None:
    ours = scratch()

    with pytest.raises(UsageError, match="no slot 'other'"):
        ours.put(Slot("other", int), 1)
    with pytest.raises(UsageError, match="another type"):
        ours.get(Slot("plan", int))
    with pytest.raises(UsageError, match="one name"):
        Scratch(ACME, "req_1", (PLAN, Slot("plan", int)))
    assert ours.slot("plan") == PLAN


@given(puts=st.lists(st.tuples(st.booleans(), st.text(max_size=40)), max_size=20))
def test_size_is_never_above_the_limit(puts: list[tuple[bool, str]]) -> None:
    ours = scratch(limit_bytes=100)

    for into_plan, text in puts:
        before = (ours.get(PLAN), ours.get(SEEN))
        try:
            ours.put(PLAN, Plan(steps=[text])) if into_plan else ours.put(SEEN, [text])
        except UsageError:
            assert (ours.get(PLAN), ours.get(SEEN)) == before
        kept = {
            name: value
            for name, value in (("plan", ours.get(PLAN)), ("seen", ours.get(SEEN)))
            if value is not None
        }
        assert ours.size_bytes == sum(len(n) + len(msgspec.json.encode(v)) for n, v in kept.items())
        assert ours.size_bytes <= 100


def test_removed_value_gives_its_room_back() -> None:
    ours = scratch(limit_bytes=60)
    ours.put(SEEN, ["x" * 40])

    ours.remove(SEEN)
    ours.remove(SEEN)

    assert (ours.get(SEEN), ours.size_bytes) == (None, 0)


def test_snapshot_brings_a_parked_run_its_values_back() -> None:
    ours, later = scratch(), scratch()
    ours.put(PLAN, Plan(steps=["a", "é"], done=1))
    later.put(SEEN, ["old"])

    later.restore(ours.snapshot())

    assert (later.get(PLAN), later.get(SEEN)) == (Plan(steps=["a", "é"], done=1), None)
    assert later.snapshot() == ours.snapshot()


@pytest.mark.parametrize("other", [scratch(EVIL), scratch(request_id="req_2")])
def test_snapshot_of_another_run_or_tenant_is_refused(other: Scratch) -> None:
    ours = scratch()
    ours.put(SEEN, ["a"])

    with pytest.raises(DataError, match="another run"):
        other.restore(ours.snapshot())

    assert other.get(SEEN) is None


def test_damaged_snapshot_changes_nothing() -> None:
    ours = scratch()
    ours.put(SEEN, ["a"])

    with pytest.raises(DataError, match="no snapshot"):
        ours.restore(b'{"tenant": "acme"')
    with pytest.raises(UsageError, match="does not fit"):
        ours.restore(ours.snapshot().replace(b'["a"]', b"[1]"))

    assert ours.get(SEEN) == ["a"]
