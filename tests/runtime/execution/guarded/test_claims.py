"""The claims of a run: what is stored when an abandoned call ends before or after its outcome."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.control.claims import Claim
from runtime.core.effects import CallTool, Failure, FailureKind, Limits, Outcome, ToolResult
from runtime.execution.governor import Governor
from runtime.execution.guarded.claims import RunClaims
from runtime.state.control.blocking import BlockingControlStore
from runtime.testing.ram_store import RamControlStore
from tests.support.playbook import decl, header

PAID = ToolResult(content="paid")
LATE: Outcome[None] = Outcome(
    failure=Failure(kind=FailureKind.TIMEOUT, message="no answer", phase="abandoned")
)


class Desk:
    """One claimed write of a run."""

    def __init__(self, **fields: Any) -> None:
        self.store = BlockingControlStore(RamControlStore())
        self.call = CallTool(
            lane="0.tool0/1",
            call_id="a",
            name="pay",
            arguments={"n": 1},
            args_hash="h",
            write=True,
            limits=Limits(idempotency_key="key_1"),
        )
        run = header(tools=(decl("pay", write=True, **fields),))
        asyncio.run(Governor(self.store.store).open_run(run, payload_hash="p"))
        self.claims = RunClaims(self.store.store, lambda: 100.0, run, owner="run_1#1/")
        key = self.claims.key_of(self.call)
        assert key == "key_1"
        answer = asyncio.run(self.claims.claim(self.call))
        assert answer.verdict == "won"
        self.claims.won(key, self.call.lane, fencing=answer.claim.fencing)

    def stored(self) -> Claim:
        found = self.store.lookup_claim("key_1", now=100.0)
        assert found is not None
        return found


def test_an_abandoned_call_that_ends_late_leaves_its_result_under_its_key() -> None:
    desk = Desk()

    asyncio.run(desk.claims.end(desk.call, LATE, abandoned=True))
    between = desk.stored().state
    asyncio.run(desk.claims.end_late(desk.call, PAID))

    assert between == "in_doubt"
    assert (desk.stored().state, desk.stored().result) == ("done", PAID)


def test_a_result_that_came_before_the_timeout_was_stored_stays() -> None:
    desk = Desk()

    asyncio.run(desk.claims.end_late(desk.call, PAID))
    asyncio.run(desk.claims.end(desk.call, LATE))

    assert (desk.stored().state, desk.stored().result) == ("done", PAID)


def test_a_late_end_without_a_result_leaves_the_doubt() -> None:
    desk = Desk()

    asyncio.run(desk.claims.end_late(desk.call, None))
    asyncio.run(desk.claims.end(desk.call, LATE))

    assert desk.stored().state == "in_doubt"


@pytest.mark.parametrize(("repeatable", "state"), [(True, "failed"), (False, "in_doubt")])
def test_a_failure_that_came_back_keeps_nobody_from_a_write_that_may_be_repeated(
    repeatable: bool, state: str
) -> None:
    desk = Desk(idempotent=repeatable)
    failure = Failure(kind=FailureKind.ERROR, message="it broke", phase="run")

    asyncio.run(desk.claims.end(desk.call, Outcome(failure=failure)))

    assert desk.stored().state == state
