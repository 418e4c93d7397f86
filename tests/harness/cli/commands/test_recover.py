"""`goldrun recover` as users run it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cassette.store import read_recording
from runtime.execution.governor import Governor
from runtime.journal.files import JournalWriter
from runtime.ports.control_values import Run, RunKey
from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_store import SqliteControlStore
from tests.harness.cli.commands.shop_runs import cut_journal, printed, run

pytestmark = pytest.mark.usefixtures("working_folder")


def test_recover_seals_an_orphan_journal_and_says_what_crashed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = cut_journal(tmp_path / "runs.jsonl", torn=True)

    code = run("recover", str(journal), "--json")

    (row,) = printed(capsys)["journals"]
    assert code == 0
    assert (row["runs"], row["cut_off"], row["torn_bytes"], row["error"]) == (2, 1, 18, None)
    assert not journal.exists()
    assert read_recording(f"{tmp_path / 'runs.seg'}#req_cut").stop_reason == "crashed"
    assert read_recording(f"{tmp_path / 'runs.seg'}#req_whole").stop_reason == "finish"


def open_in_index(store: BlockingControlStore, request_id: str) -> RunKey:
    key = RunKey(tenant="acme", environment="prod", request_id=request_id)
    alive_until = Governor(store.store).now() + 3_600.0
    store.open_run(Run(key=key, run_id="run", agent="shop", started_at=1.0, alive_until=alive_until))
    return key


def test_recover_sets_what_crashed_in_the_control_store_but_not_what_was_taken_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = BlockingControlStore(SqliteControlStore(tmp_path / "control.db"))
    open_in_index(store, "req_cut")
    first = cut_journal(tmp_path / "first.jsonl")

    code = run("recover", str(first), "--store", str(tmp_path / "control.db"))
    output = capsys.readouterr().out
    after = store.find_runs("req_cut")[0].stop_reason
    store.resume_run(
        store.find_runs("req_cut")[0].key, now=1.0, alive_until=Governor(store.store).now() + 3_600.0
    )
    cut_journal(tmp_path / "copy.jsonl")
    run("recover", str(tmp_path / "copy.jsonl"), "--store", str(tmp_path / "control.db"))

    assert (code, after) == (0, "crashed")
    assert "set to crashed in the control store: 1" in output
    assert store.find_runs("req_cut")[0].stop_reason is None
    assert run("recover", str(tmp_path), "--store", str(tmp_path / "nowhere.db")) == 3
    store.close()


def test_recover_leaves_a_journal_alone_that_is_written_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = cut_journal(tmp_path / "runs.jsonl")

    with JournalWriter(journal):
        code = run("recover", str(tmp_path))

    assert code == 3
    assert "another writer" in capsys.readouterr().err
    assert journal.exists()


def test_recover_without_a_journal_is_exit_3(tmp_path: Path) -> None:
    assert run("recover", str(tmp_path)) == 3
    assert run("recover", str(tmp_path / "none.jsonl")) == 3
