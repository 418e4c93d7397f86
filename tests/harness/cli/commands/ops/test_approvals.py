"""`goldrun ops approve` shows what it grants, and says when nobody waits for the answer any more."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cli.control_store import now
from harness.cli.main import run
from runtime.control.approvals import Binding
from runtime.ports.control_values import Run, RunKey
from runtime.state.control.blocking import BlockingControlStore

LONG: dict[str, Any] = {"note": "as agreed " * 40, "to": "DE02\u202e1203"}


def waiting(store: BlockingControlStore, *, alive_for_s: float) -> str:
    key = RunKey(tenant="acme", environment="prod", request_id="req_1")
    at = now()
    store.open_run(Run(key=key, run_id="run_1", agent="clerk", started_at=at, alive_until=at + alive_for_s))
    binding = Binding(
        tenant="acme", environment="prod", request_id="req_1", lane="0.approval0/1", tool="pay", args_hash="a",
        policy_hash="p",
    )  # fmt: skip
    return store.open_approval(binding, arguments=LONG, now=at, ttl_s=300.0).id


def test_the_exact_arguments_are_shown_in_full_before_a_grant(
    store: BlockingControlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    approval = waiting(store, alive_for_s=60.0)

    assert run(["ops", "approve", approval]) == 0

    shown = capsys.readouterr().out
    assert LONG["note"] in shown
    assert r"DE02\u202e1203" in shown
    assert shown.index("DE02") < shown.index("granted: the run goes on")


def test_granting_the_call_of_a_dead_run_says_so(
    store: BlockingControlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    approval = waiting(store, alive_for_s=20.0)

    assert run(["ops", "approve", approval]) == 0

    shown = capsys.readouterr().out
    assert "not heard of" in shown
    assert "goes on with this answer" not in shown
    assert "goldrun resume" in shown
