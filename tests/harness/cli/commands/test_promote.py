"""`goldrun promote` as users run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cassette.golden_cassette import write_cassette
from harness.cassette.store import read_recording
from harness.golden.loader import load_task
from runtime.entry.run import Request
from runtime.journal.records import Record
from tests.harness.cli.commands.shop_runs import KEY, cut_journal, printed, run, shop_script
from tests.support.agents import Shop, shop_agent
from tests.support.recordings import record_to_sink

pytestmark = pytest.mark.usefixtures("working_folder")


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


def test_a_secret_in_the_prompt_is_renamed_in_the_header_too(tmp_path: Path) -> None:
    from harness.sessions.promote import promote_run
    from harness.sessions.replay import replay_run
    from runtime.journal.recording import recording_of
    from runtime.journal.records import decode_payload, encode_payload

    request = Request(prompt=f"my key is {KEY}", request_id="req_1", tenant="acme", environment="test")
    _, sink = record_to_sink(shop_agent(Shop()), ["hello"], request)

    def keyed(record: Record) -> Record:
        return decode_payload(encode_payload(record).replace(b"<secret#1>", b"<secret:9f3a>"), where="test")

    made = promote_run(recording_of([keyed(r) for r in sink.records], source="test"), "shop/prompt")

    assert "<secret#1>" in str(made.recording.header.input)
    path = write_cassette(tmp_path / "prompt.cassette.json", made.recording)
    assert replay_run(read_recording(path)).verdict == "same"


def test_a_failed_promotion_leaves_no_file(tmp_path: Path, segment: Path) -> None:
    code = run("promote", f"{segment}#req_1", "--task", "shop/half", "--agent", "no_such_module:build")

    assert code == 3
    assert [p for p in tmp_path.rglob("half.*") if p.is_file()] == []
