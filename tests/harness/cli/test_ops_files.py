"""recover, verify, find, promote and resume as users run them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import typer

from harness.cassette.golden import write_cassette
from harness.cassette.segment import SegmentWriter
from harness.cassette.store import read_recording
from harness.cli import main, ops_files_commands, run_commands
from harness.golden.loader import load_task
from harness.record import ProductionRecorder, Recorder
from runtime.entry.run import Request, run_agent_async
from runtime.execution.governor import Governor
from runtime.journal.files import JournalWriter
from runtime.journal.records import Record
from runtime.ports.control_values import Run, RunKey
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.testing import ScriptedModel, calls
from tests.support.agents import Prices, Shop, shop_agent
from tests.support.recordings import record_to_sink

KEY = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"[:36]


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    ops_files_commands.register(app)
    run_commands.register(app)
    monkeypatch.setattr(main, "app", app)
    monkeypatch.chdir(tmp_path)


def shop_script() -> list[Any]:
    return [
        calls(("stock", {"item": "apple"}), ("order", {"item": "apple", "count": 2})),
        calls(("note", {"text": f"ordered with {KEY}"})),
        "Two apples are ordered.",
    ]


async def record_shop(wrap: Any, name: str) -> None:
    await run_agent_async(
        shop_agent(Shop()),
        Request(prompt="sell me two apples", request_id=name, tenant="acme", environment="prod", deploy="v1"),
        model=ScriptedModel(shop_script()),
        wrap=wrap,
        prices=Prices(),
    )


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    with ProductionRecorder(tmp_path / "recordings", worker="w") as recorder:

        async def main() -> None:
            await asyncio.gather(*(record_shop(recorder.wrap, f"req_{i}") for i in range(3)))

        asyncio.run(main())
    (path,) = (tmp_path / "recordings").glob("*.seg")
    return path


def cut_journal(path: Path, *, torn: bool = False) -> Path:
    """Leave a journal with one whole run and one that was cut off, and a torn tail if asked."""
    with Recorder(path) as recorder:
        asyncio.run(record_shop(recorder.wrap, "req_whole"))
    lines = path.read_bytes().splitlines(keepends=True)
    with Recorder(path.with_suffix(".other.jsonl")) as recorder:
        asyncio.run(record_shop(recorder.wrap, "req_cut"))
    other = path.with_suffix(".other.jsonl")
    cut = other.read_bytes().splitlines(keepends=True)[:5]
    other.unlink()
    path.write_bytes(b"".join([*lines, *cut]) + (b'{"run":"half a rec' if torn else b""))
    return path


def run(*arguments: str) -> int:
    return main.run([str(a) for a in arguments])


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


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


def open_in_index(store: SqliteControlStore, request_id: str) -> RunKey:
    key = RunKey(tenant="acme", environment="prod", request_id=request_id)
    alive_until = Governor(store).now() + 3_600.0
    store.open_run(Run(key=key, run_id="run", agent="shop", started_at=1.0, alive_until=alive_until))
    return key


def test_recover_sets_what_crashed_in_the_control_store_but_not_what_was_taken_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = SqliteControlStore(tmp_path / "control.db")
    open_in_index(store, "req_cut")
    first = cut_journal(tmp_path / "first.jsonl")

    code = run("recover", str(first), "--store", str(tmp_path / "control.db"))
    told = capsys.readouterr().out
    after = store.find_runs("req_cut")[0].stop_reason
    store.resume_run(store.find_runs("req_cut")[0].key, now=1.0, alive_until=Governor(store).now() + 3_600.0)
    cut_journal(tmp_path / "copy.jsonl")
    run("recover", str(tmp_path / "copy.jsonl"), "--store", str(tmp_path / "control.db"))

    assert (code, after) == (0, "crashed")
    assert "set to crashed in the control store: 1" in told
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


def test_verify_says_intact_and_complete_separately(
    tmp_path: Path, segment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = cut_journal(tmp_path / "runs.jsonl", torn=True)
    damaged = tmp_path / "damaged.seg"
    data = bytearray(segment.read_bytes())
    data[30] ^= 1
    damaged.write_bytes(data)

    codes = [run("verify", str(p), "--json") for p in (segment, journal, damaged)]

    lines = capsys.readouterr().out.splitlines()
    files = [json.loads(line)["files"][0] for line in lines]
    assert codes == [0, 1, 3]
    assert [(f["kind"], f["intact"], f["complete"]) for f in files] == [
        ("segment", True, True),
        ("journal", True, False),
        ("segment", False, False),
    ]
    assert files[1]["cut_off"] == ["req_cut"]
    assert files[1]["torn_bytes"] == 18


def test_verify_finds_an_index_that_tells_lies(tmp_path: Path) -> None:
    import msgspec

    from harness.cassette.footer import Footer, encode_tail
    from harness.cassette.segment import read_segment

    result, sink = record_to_sink(shop_agent(Shop()), shop_script())
    path = tmp_path / "a.seg"
    with SegmentWriter(path) as writer:
        writer.add(sink.records)
    footer = read_segment(path).footer
    lying: Footer = msgspec.structs.replace(
        footer, runs=(msgspec.structs.replace(footer.runs[0], stop_reason="operator_kill"),)
    )
    path.write_bytes(path.read_bytes().removesuffix(encode_tail(footer)) + encode_tail(lying))

    assert result.stop_reason == "finish"
    assert run("verify", str(path)) == 3


def test_find_tells_where_a_run_is(segment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run("find", "req_1", "--root", str(segment.parent), "--index", "--json")

    (found,) = printed(capsys)["runs"]
    assert code == 0
    assert read_recording(found["target"]).header.request_id == "req_1"
    assert run("find", "req_nowhere", "--root", str(segment.parent)) == 3


@pytest.mark.parametrize("as_url", [False, True])
def test_show_finds_a_run_by_its_request_id(
    segment: Path, capsys: pytest.CaptureFixture[str], as_url: bool
) -> None:
    root = segment.parent.as_uri() if as_url else str(segment.parent)

    assert run("show", "req_2", "--root", root, "--json") == 0
    assert printed(capsys)["request_id"] == "req_2"
    assert run("show", "req_nowhere", "--root", root) == 3
    assert "req_nowhere" in capsys.readouterr().err


def test_show_takes_a_missing_file_for_a_file(segment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "missing.seg") == 3
    assert "missing.seg" in capsys.readouterr().err


def test_promote_makes_a_task_that_passes_at_once(
    tmp_path: Path, segment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run("promote", f"{segment}#req_1", "--task", "shop/two_apples", "--json")

    report = printed(capsys)
    task = load_task(tmp_path / "golden" / "shop" / "two_apples.golden.yaml")
    document = json.loads((tmp_path / "cassettes" / "shop" / "two_apples.cassette.json").read_text())
    assert code == 0
    assert report["passed"]
    assert task.agent == "recorded"
    assert task.expect.stop_reason == ("finish",)
    assert [Path(p).exists() for p in report["files"]] == [True, True, True]
    assert document["provenance"]["segment_root"] == report["provenance"]["segment_root"]
    assert document["provenance"]["run_root"]
    assert document["provenance"]["request_id"] == "req_1"
    assert report["redaction"]["pseudonyms"] == 1
    assert not any(KEY.encode() in p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())


def test_promote_refuses_to_overwrite(tmp_path: Path, segment: Path) -> None:
    assert run("promote", f"{segment}#req_1", "--task", "shop/one") == 0
    before = (tmp_path / "golden" / "shop" / "one.golden.yaml").read_bytes()

    assert run("promote", f"{segment}#req_2", "--task", "shop/one") == 2

    assert (tmp_path / "golden" / "shop" / "one.golden.yaml").read_bytes() == before


@pytest.mark.parametrize(
    "name", ["../escape", "a/../../b", "/etc/x", "shop/", "one", "shop/x\0y", "shop/.hidden", "a/b\nc"]
)
def test_promote_takes_no_name_that_leaves_the_project(tmp_path: Path, segment: Path, name: str) -> None:
    before = sorted(tmp_path.rglob("*"))

    assert run("promote", f"{segment}#req_1", "--task", name) == 2

    assert sorted(tmp_path.rglob("*")) == before


def test_promote_runs_the_agent_that_is_named(
    tmp_path: Path, segment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shop_code.py").write_text(
        "from tests.support.agents import Shop, shop_agent\n\ndef build():\n    return shop_agent(Shop())\n"
    )

    code = run("promote", f"{segment}#req_0", "--task", "shop/code", "--agent", "shop_code:build", "--json")

    assert printed(capsys)["passed"]
    assert code == 0
    assert load_task(tmp_path / "golden" / "shop" / "code.golden.yaml").input.prompt == "sell me two apples"


def test_promote_refuses_a_run_that_was_cut_off(tmp_path: Path) -> None:
    run("recover", str(cut_journal(tmp_path / "runs.jsonl")))

    assert run("promote", f"{tmp_path / 'runs.seg'}#req_cut", "--task", "shop/cut") == 3
    assert not (tmp_path / "golden").exists()


def test_keyed_pseudonyms_become_numbered_ones(tmp_path: Path) -> None:
    from harness.sessions.promote import promote_run
    from harness.sessions.replay import replay_run
    from runtime.journal.recording import recording_of
    from runtime.journal.records import decode_payload, encode_payload

    _, sink = record_to_sink(shop_agent(Shop()), shop_script())

    def keyed(record: Record) -> Record:
        return decode_payload(encode_payload(record).replace(b"<secret#1>", b"<secret:9f3a>"), where="test")

    made = promote_run(recording_of([keyed(r) for r in sink.records], source="test"), "shop/keyed")

    path = write_cassette(tmp_path / "keyed.cassette.json", made.recording)
    text = path.read_text()
    assert made.redaction.renamed == 1
    assert "<secret#1>" in text
    assert "<secret:" not in text
    assert replay_run(read_recording(path)).verdict == "same"


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
        "resume", str(journal), "--agent", "resumable:build", "--out", str(tmp_path / "out.jsonl"), "--json"
    )

    assert code == 0
    assert printed(capsys)["stop_reason"] == "finish"
    assert read_recording(tmp_path / "out.jsonl").stop_reason == "finish"
