"""`goldrun ops runs`, `acts`, as an operator uses them."""

from __future__ import annotations

import pytest

from harness.cli.control_store import now
from harness.cli.main import run
from runtime.ports.control_values import Run, RunKey
from runtime.state.control.blocking import BlockingControlStore
from tests.harness.cli.commands.ops.listing import listed


def test_each_act_is_kept_with_who_and_why(
    store: BlockingControlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["ops", "kill", "tenant", "acme", "--reason", "incident 12"])
    run(["ops", "enable", "tenant", "acme", "--reason", "over"])
    run(["ops", "enable", "tenant", "acme"])

    acts = listed(capsys, "acts")

    assert [(a["action"], a["subject"], a["reason"]) for a in acts] == [
        ("enable", "tenant acme", "over"),
        ("kill", "tenant acme", "incident 12"),
    ]
    assert all(a["by"] for a in acts)


def test_a_run_that_is_no_longer_heard_of_is_shown_as_crashed(
    store: BlockingControlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, alive_s in (("req_dead", -1.0), ("req_live", 60.0)):
        key = RunKey(tenant="acme", environment="prod", request_id=name)
        store.open_run(Run(key=key, run_id=name, agent="a", started_at=1.0, alive_until=now() + alive_s))

    shown = {row["request_id"]: row["stop_reason"] for row in listed(capsys, "runs")}

    assert shown == {"req_dead": "crashed", "req_live": "running"}
    assert [row["request_id"] for row in listed(capsys, "runs", "--open")] == ["req_live"]
