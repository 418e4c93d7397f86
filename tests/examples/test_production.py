"""The support agent as a service: keys, tenants, a daily budget, approvals by another process."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from examples.support import production
from harness.cassette.store import read_recording
from harness.cli.main import run
from harness.sessions.replay import replay_run
from runtime import RunResult, SqliteControlStore
from runtime.control.ledger import Caps
from runtime.entry.service import RefusedError
from runtime.state.control.blocking import BlockingControlStore

REFUND = "My order 8812 never came. Please refund it."


def _serve(folder: Path, prompt: str, *, key: str = "key-acme", approval_s: float = 0.3) -> RunResult:
    return asyncio.run(production.serve(prompt, key=key, folder=folder, approval_s=approval_s))


def test_an_unknown_key_runs_nothing(tmp_path: Path) -> None:
    with pytest.raises(RefusedError):
        _serve(tmp_path, "hi", key="key-nobody")


def test_an_unknown_key_is_one_clear_error_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = production.main(["key-nobody", "hi", "--folder", str(tmp_path)])

    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert "Traceback" not in told.err
    assert told.err.startswith("error: ")


def test_a_run_is_bound_to_the_tenant_of_its_key_and_is_found_by_its_request_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = _serve(tmp_path, "Where is my order 7301?")

    found = run(["ops", "runs", done.request_id, "--store", str(tmp_path / "goldrun-control.db")])

    assert done.stop_reason == "finish"
    assert done.trace.tenant == "acme"
    assert found == 0
    assert "finish" in capsys.readouterr().out
    assert replay_run(read_recording(str(tmp_path / "runs.jsonl"))).verdict == "same"


def test_a_refund_that_nobody_approves_ends_with_approval_timeout(tmp_path: Path) -> None:
    done = _serve(tmp_path, REFUND)

    assert done.stop_reason == "approval_timeout"
    assert [c.name for c in done.trace.tool_calls if c.status == "ok" and c.write] == []


def test_a_refund_goes_on_once_an_operator_approves_it(tmp_path: Path) -> None:
    store = tmp_path / "goldrun-control.db"

    async def both() -> RunResult:
        serving = asyncio.ensure_future(
            production.serve(REFUND, key="key-acme", folder=tmp_path, approval_s=30.0)
        )
        while not (waiting := _waiting(store)):
            assert not serving.done()
            await asyncio.sleep(0)
        assert run(["ops", "approve", waiting[0], "--store", str(store), "--reason", "lost"]) == 0
        return await serving

    done = asyncio.run(both())

    assert done.stop_reason == "finish"
    assert [(a.tool, a.decision) for a in done.trace.approvals] == [("refund.create", "granted")]


def _waiting(path: Path) -> list[str]:
    if not path.is_file():
        return []
    store = BlockingControlStore(SqliteControlStore(path))
    try:
        return [a.id for a in store.list_approvals(now=0.0)]
    finally:
        store.close()


def test_a_tenant_without_money_for_the_day_is_stopped_and_another_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(production, "RULES", replace(production.RULES, tenant_day=Caps(nanos=1_500_000)))

    ends = [_serve(tmp_path, "Where is my order 7301?").stop_reason for _ in range(4)]
    other = _serve(tmp_path, "Where is my order 7301?", key="key-globex")

    assert ends[0] == "finish"
    assert ends[-1] == "max_usd"
    assert other.stop_reason == "finish"


def test_a_disabled_tool_is_refused_without_a_deploy(tmp_path: Path) -> None:
    store = ["--store", str(tmp_path / "goldrun-control.db"), "--create"]
    assert run(["ops", "disable", "tool", "order.lookup", "--reason", "incident", *store]) == 0

    done = _serve(tmp_path, "Where is my order 7301?")

    assert done.stop_reason == "tool_disabled:order.lookup"
    assert done.totals.tool_executions == 0
