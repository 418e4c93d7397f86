"""`goldrun resume` as an operator uses it: under the guards of the run, and once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cassette.store import read_recording
from harness.cli.main import run
from harness.record import Recorder
from runtime.core.run import Header
from runtime.errors import JournalError
from runtime.execution.governor import Governor
from runtime.journal.files import JournalWriter
from runtime.journal.records import Record
from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.testing import calls
from tests.harness.cli.commands import payer_code
from tests.harness.cli.commands.shop_runs import record_shop
from tests.harness.sessions.test_resume_state import cut_run

AGENT = ["--agent", "tests.harness.cli.commands.payer_code:build"]
OTHER = ["--agent", "tests.harness.cli.commands.payer_code:build_other"]


@pytest.fixture(autouse=True)
def effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GOLDRUN_CONTROL_STORE", raising=False)
    payer_code.EFFECTS.clear()
    return payer_code.EFFECTS


def path_of(store: BlockingControlStore) -> Path:
    assert isinstance(store.store, SqliteControlStore)
    return store.store.path


def crash(name: str = "run.jsonl", *, store: BlockingControlStore | None = None) -> Path:
    """Leave the journal of a run that paid order 1 and died while it looked."""
    script = [calls(("pay", {"order": 1})), calls(("look", {}))]
    control = None if store is None else path_of(store)
    cut_run(payer_code.build(), script, Path(name), "1.tool0/1", control=control)
    payer_code.EFFECTS.append("pay 1")  # in the process that died
    return Path(name)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlockingControlStore]:
    made = BlockingControlStore(SqliteControlStore(tmp_path / "control.db"))
    yield made
    made.close()


def bury(store: BlockingControlStore) -> None:
    """Let the time go by after which a silent run counts as crashed."""
    store.sweep_runs(now=Governor(store.store).now() + 3_600.0)


def resume(target: Path | str, out: str, *words: str) -> int:
    return run(["resume", str(target), *(words or AGENT), "--out", out])


def test_a_run_that_had_a_control_store_is_not_carried_on_without_it(
    store: BlockingControlStore, effects: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    journal = crash(store=store)
    bury(store)

    code = resume(journal, "out.jsonl")

    assert code == 2
    assert "--store" in capsys.readouterr().err
    assert effects == ["pay 1"]
    assert not Path("out.jsonl").exists()
    assert resume(journal, "out.jsonl", *AGENT, "--store", "nowhere.db") == 3


def test_with_its_store_a_run_is_taken_over_and_ends_there(
    store: BlockingControlStore, effects: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    journal = crash(store=store)
    bury(store)

    first = resume(journal, "out.jsonl", *AGENT, "--store", "control.db")
    again = resume(journal, "again.jsonl", *AGENT, "--store", "control.db")
    Path(journal.with_name("copy.jsonl")).write_bytes(journal.read_bytes())
    capsys.readouterr()
    copied = resume("copy.jsonl", "again.jsonl", *AGENT, "--store", "control.db")

    assert (first, again, copied) == (0, 2, 2)
    assert "has ended with finish" in capsys.readouterr().err
    assert effects == ["pay 1", "look", "pay 2"]
    (index,) = store.find_runs("req_1")
    assert (index.stop_reason, index.fencing) == ("finish", 2)
    assert read_recording("out.jsonl").header.governed


def test_a_switch_in_the_store_stops_a_run_that_is_carried_on(
    store: BlockingControlStore, effects: list[str]
) -> None:
    journal = crash(store=store)
    bury(store)
    assert run(["ops", "kill", "agent", "payer", "--store", "control.db"]) == 0

    assert resume(journal, "out.jsonl", *AGENT, "--store", "control.db") == 0

    assert read_recording("out.jsonl").stop_reason == "operator_kill"
    assert effects == ["pay 1"]


def test_a_run_that_the_store_counts_as_alive_is_left_alone(
    store: BlockingControlStore, effects: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    journal = crash(store=store)

    assert resume(journal, "out.jsonl", *AGENT, "--store", "control.db") == 2
    assert "counts as alive until" in capsys.readouterr().err
    assert effects == ["pay 1"]


def test_a_run_whose_journal_is_written_to_is_left_alone(
    effects: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    journal = crash()

    with JournalWriter(journal):
        code = resume(journal, "out.jsonl")

    assert code == 2
    assert "its runs are alive" in capsys.readouterr().err
    assert effects == ["pay 1"]


def test_without_a_store_a_run_is_carried_on_once_also_after_its_journal_was_sealed(
    effects: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    journal = crash()

    codes = [resume(journal, "out.jsonl"), resume(journal, "again.jsonl")]
    output = capsys.readouterr().err
    assert run(["recover", str(journal)]) == 0
    codes.append(resume("run.seg#req_1", "again.jsonl"))

    assert codes == [0, 2, 2]
    assert "carried on before" in output
    assert str(Path("out.jsonl").absolute()) in output
    assert effects == ["pay 1", "look", "pay 2"]
    assert not Path("again.jsonl").exists()


def test_other_code_than_the_runs_carries_nothing_out_and_keeps_nobody_from_resuming(
    store: BlockingControlStore, effects: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    journal = crash(store=store)
    bury(store)

    wrong = resume(journal, "out.jsonl", *OTHER, "--store", "control.db")
    output = capsys.readouterr().err
    between = (store.find_runs("req_1")[0].stop_reason, Path("out.jsonl").exists(), list(effects))
    right = resume(journal, "out.jsonl", *AGENT, "--store", "control.db")

    assert (wrong, right) == (2, 0)
    assert "resume with the code that began the run" in output
    assert between == ("crashed", False, ["pay 1"])
    assert effects == ["pay 1", "look", "pay 2"]


@pytest.mark.parametrize(
    "rules", ["no.such:RULES", "tests.harness.cli.commands.payer_code:build", "nonsense"]
)
def test_rules_that_are_none_are_refused(store: BlockingControlStore, effects: list[str], rules: str) -> None:
    journal = crash(store=store)
    bury(store)

    assert resume(journal, "out.jsonl", *AGENT, "--store", "control.db", "--rules", rules) == 2
    assert effects == ["pay 1"]


def test_the_rules_of_the_service_hold_for_a_run_that_is_carried_on(
    store: BlockingControlStore, effects: list[str]
) -> None:
    journal = crash(store=store)
    bury(store)
    rules = ["--rules", "tests.harness.cli.commands.payer_code:RULES"]

    assert resume(journal, "out.jsonl", *AGENT, *rules, "--store", "control.db") == 0

    assert read_recording("out.jsonl").stop_reason == "max_tool_calls"
    # Nothing was counted while there was no cap, so the call that is made again is the one that fits.
    assert effects == ["pay 1", "look"]


@pytest.mark.parametrize(("word", "paid"), [("--did-not-happen", ["pay 9"]), ("--happened", [])])
def test_what_an_operator_found_out_about_a_write_holds_when_its_run_is_carried_on(
    store: BlockingControlStore, effects: list[str], word: str, paid: list[str]
) -> None:
    journal = Path("run.jsonl")
    governor = Governor(store.store)
    cut_run(payer_code.dying(), [calls(("pay", {"order": 9}))], journal, "none", control=path_of(store))
    bury(store)
    (claim,) = store.list_claims(state="claimed", now=governor.now())
    store.end_claim(claim.key, fencing=claim.fencing, state="in_doubt", now=governor.now())

    settled = run(["ops", "settle", claim.key, word, "--store", "control.db"])
    resumed = resume(journal, "out.jsonl", *AGENT, "--store", "control.db")

    assert (settled, resumed) == (0, 0)
    assert effects == [*paid, "pay 2"]
    assert read_recording("out.jsonl").stop_reason == "finish"


def test_a_header_of_before_says_nothing_of_a_store() -> None:
    assert not Header(request_id="r", run_id="u", tenant="t", environment="e", agent="a").governed


def test_a_run_that_cannot_be_recorded_any_further_is_resumed_from_what_was_written(
    effects: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = crash()
    append = JournalWriter.append

    def full(self: JournalWriter, record: Record) -> int:
        if record.seq > 6:
            raise JournalError("no space left on device")
        return append(self, record)

    with monkeypatch.context() as disk:
        disk.setattr(JournalWriter, "append", full)
        cut = resume(journal, "out.jsonl")
    said = capsys.readouterr().err
    again = resume("out.jsonl", "whole.jsonl")

    assert (cut, again) == (3, 0)
    assert "could not be recorded any further" in said
    assert effects.count("pay 1") == 1
    assert read_recording("whole.jsonl").stop_reason == "finish"


def test_resume_carries_a_cut_off_run_to_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "resumable.py").write_text(
        "from runtime.testing import ScriptedModel\n"
        "from tests.support.agents import Shop, shop_agent\n\n"
        "def build():\n    return shop_agent(Shop(), client=ScriptedModel(['done']))\n"
    )
    journal = tmp_path / "cut.jsonl"
    with Recorder(journal) as recorder:
        asyncio.run(record_shop(recorder.wrap, "req_cut"))
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-3]))

    code = run(
        ["resume", str(journal), "--agent", "resumable:build", "--out", str(tmp_path / "out.jsonl"), "--json"]
    )

    assert code == 0
    assert json.loads(capsys.readouterr().out)["stop_reason"] == "finish"
    assert read_recording(tmp_path / "out.jsonl").stop_reason == "finish"
