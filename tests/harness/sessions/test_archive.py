"""The archive of a folder: a run is found by its key, in its own tenant only, and as far as it got."""

from __future__ import annotations

from pathlib import Path

from harness.record import Recorder
from harness.sessions.archive import FolderArchive
from runtime.entry.run import Request, run_agent
from runtime.journal.recording import Recording
from runtime.ports.archive import RunArchive
from runtime.ports.control_values import RunKey
from runtime.testing import ScriptedModel
from tests.support.agents import Prices, Shop, shop_agent


def record(path: Path, tenant: str, request_id: str = "req_1") -> None:
    request = Request(prompt="hi", tenant=tenant, environment="prod", request_id=request_id)
    with Recorder(path) as recorder:
        run_agent(
            shop_agent(Shop()), request, model=ScriptedModel(["done"]), wrap=recorder.wrap, prices=Prices()
        )


def test_a_run_is_found_by_its_key_and_not_by_another_tenants(tmp_path: Path) -> None:
    record(tmp_path / "one.jsonl", "acme")
    record(tmp_path / "two.jsonl", "globex", "req_2")
    archive: RunArchive[Recording] = FolderArchive(tmp_path)

    run = archive.find(RunKey(tenant="acme", environment="prod", request_id="req_1"))
    other = archive.find(RunKey(tenant="globex", environment="prod", request_id="req_1"))

    assert run is not None
    assert (run.header.tenant, run.stop_reason) == ("acme", "finish")
    assert other is None
    assert [r.header.request_id for r in archive.runs(tenant="globex", environment="prod")] == ["req_2"]


def test_of_a_run_that_was_carried_on_the_whole_recording_is_found(tmp_path: Path) -> None:
    record(tmp_path / "whole.jsonl", "acme")
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_bytes(b"".join(lines[:2]))

    run = FolderArchive(tmp_path).find(RunKey(tenant="acme", environment="prod", request_id="req_1"))

    assert run is not None
    assert run.stop_reason == "finish"


def test_of_two_parts_the_one_that_knows_more_outcomes_is_found(tmp_path: Path) -> None:
    record(tmp_path / "whole.jsonl", "acme")
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "whole.jsonl").unlink()
    (tmp_path / "z_first.jsonl").write_bytes(b"".join(lines[:3]))
    (tmp_path / "a_resumed_and_cut_again.jsonl").write_bytes(b"".join(lines[:2]))

    run = FolderArchive(tmp_path).find(RunKey(tenant="acme", environment="prod", request_id="req_1"))

    assert run is not None
    assert [i.answered for i in run.interactions] == [True]
