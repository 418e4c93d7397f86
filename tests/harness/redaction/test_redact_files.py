"""Planted secrets in real runs, recorded by the real recorder: no produced file holds one in any encoding."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from harness.cassette.golden_cassette import write_cassette
from harness.cassette.redact_check import check_secrets
from harness.cassette.segment import SegmentWriter, read_segment
from harness.cassette.store import iter_recordings
from harness.record import Recorder
from harness.redaction.redactor import Redactor
from harness.redaction.rules import load_rules
from harness.redaction.samples import sample
from harness.sessions.replay import replay_run
from runtime.core.messages import ModelReply, TextPart, ToolCallPart
from runtime.entry.run import Request, run_agent_async
from runtime.journal.files import read_journal
from runtime.testing import FakeClock, ScriptedModel, calls
from runtime.tools.tool import ToolError
from tests.support.agents import Prices, Shop, shop_agent

HEX = "9f3ac0de" * 5
PAIR = sample("{a:10}:{a:14}")


def planted() -> dict[str, tuple[str, str]]:
    """Return by name the text that is planted and the part of it that may stand nowhere."""
    found = {}
    for rule in load_rules():
        text = sample(rule.positive)
        if rule.personal:
            continue
        clean = Redactor().text(text)
        before = clean.partition("<secret#1>")[0]
        after = clean.rpartition("<secret#1>")[2]
        found[rule.id] = (text, text[len(before) : len(text) - len(after)])
    found["header_bearer"] = (f"Authorization: Bearer {HEX}", HEX)
    found["header_basic"] = (f"authorization: basic {base64.b64encode(PAIR.encode()).decode()}", PAIR)
    found["url_userinfo"] = (f"see https://{PAIR}@host.test/x", PAIR.partition(":")[2])
    key = sample("sk-ant-api03-{w:93}AA")
    found["base64_key"] = (f"encoded {base64.b64encode(key.encode()).decode()}", key)
    pem = sample("-----BEGIN EC PRIVATE KEY-----\n{b:64}\n{b:64}\n-----END EC PRIVATE KEY-----\n")
    found["pem"] = (pem, pem.split("\n")[1])
    return found


PLANTED = planted()


def encodings(secret: str) -> set[bytes]:
    raw = secret.encode()
    return {
        raw,
        base64.b64encode(raw).rstrip(b"="),
        base64.urlsafe_b64encode(raw).rstrip(b"="),
        raw.hex().encode(),
        raw.hex().upper().encode(),
        quote(secret, safe="").encode(),
        json.dumps(secret)[1:-1].encode(),
        json.dumps(json.dumps(secret)[1:-1])[1:-1].encode(),
    }


def leaks(folder: Path, secrets: dict[str, str]) -> list[tuple[str, str]]:
    """Return file and name of each secret that stands in a produced file."""
    found = []
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        data = file.read_bytes()
        if file.suffix == ".seg":
            segment = read_segment(file)
            data += b"".join(repr(segment.records(run)).encode() for run in segment.runs)
        if file.suffix == ".parquet":
            import pyarrow.parquet

            data += json.dumps(pyarrow.parquet.read_table(file).to_pylist(), default=str).encode()
        found += [
            (file.name, name) for name, one in secrets.items() if any(e in data for e in encodings(one))
        ]
    return found


class Leaky(Shop):
    """Tools whose errors tell what they were called with."""

    def reach(self, name: str, *arguments: Any) -> None:
        """Note a call; a note that says `fail` fails with its text."""
        super().reach(name, *arguments)
        if "fail" in str(arguments[0]):
            raise ToolError(f"refused: {arguments[0]}")


def script(text: str) -> list[Any]:
    """Return a run that has a text in arguments, results, errors, reasoning and in JSON inside of JSON."""
    inner = json.dumps({"body": json.dumps({"note": text, "n": [1.5, None]})})
    return [
        calls(("stock", {"item": text}), text=f"I use {text}"),
        calls(("order", {"item": inner, "count": 2}), ("order", {"item": "apple", "count": 1})),
        calls(("note", {"text": f"fail {text}"})),
        ModelReply(
            parts=(TextPart("next"), ToolCallPart("", "note", {"text": "x", "headers": {"X-Api-Key": text}})),
            finish_reason="tool_call",
        ),
        f"done with {text}",
    ]


def record_all(path: Path) -> None:
    async def main(recorder: Recorder) -> None:
        for name, (text, _) in PLANTED.items():
            await run_agent_async(
                shop_agent(Leaky(), instructions=f"Sell fruit. Your key: {text}"),
                Request(
                    prompt=f"buy with {text}", request_id=name, tenant="acme", environment="test", seed=3
                ),
                model=ScriptedModel(script(text)),
                wrap=recorder.wrap,
                prices=Prices(),
                clock=FakeClock(),
            )

    with Recorder(path) as recorder:
        asyncio.run(main(recorder))


@pytest.fixture(scope="module")
def produced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a journal, cassettes, a segment and reports of runs with planted secrets."""
    folder = tmp_path_factory.mktemp("produced")
    record_all(folder / "runs.jsonl")
    with SegmentWriter(folder / "runs.seg") as writer:
        for run in read_journal(folder / "runs.jsonl"):
            writer.add(run.records)
    for recording in iter_recordings(folder / "runs.jsonl"):
        write_cassette(folder / "golden" / f"{recording.header.request_id}.cassette.json", recording)
    pytest.importorskip("pyarrow")
    from harness.reports import ingest

    traces = (recording.trace() for recording in iter_recordings(folder / "runs.seg"))
    ingest(traces, deploy="v1", history=folder / "history")
    return folder


def test_no_produced_file_holds_a_planted_secret_in_any_encoding(produced: Path) -> None:
    secrets = {name: secret for name, (_, secret) in PLANTED.items()}
    kinds = {file.suffix for file in produced.rglob("*") if file.is_file()}

    assert {".jsonl", ".seg", ".json", ".parquet"} <= kinds
    assert len(list(produced.rglob("*.cassette.json"))) == len(PLANTED)
    assert leaks(produced, secrets) == []


def test_a_planted_secret_in_a_file_would_be_seen(tmp_path: Path) -> None:
    key = PLANTED["github_token"][1]
    (tmp_path / "a.json").write_text(base64.b64encode(key.encode()).decode())

    assert leaks(tmp_path, {"github_token": key}) == [("a.json", "github_token")]


def test_replay_of_each_redacted_recording_is_the_same(produced: Path) -> None:
    from_journal = [replay_run(one) for one in iter_recordings(produced / "runs.jsonl")]
    from_cassettes = [replay_run(one) for one in iter_recordings(produced / "golden")]

    verdicts = [(one.recording.header.request_id, one.verdict) for one in [*from_journal, *from_cassettes]]
    assert [name for name, verdict in verdicts if verdict != "same"] == []
    assert len(verdicts) == 2 * len(PLANTED)


def test_a_check_of_the_produced_files_finds_nothing(produced: Path) -> None:
    report = check_secrets(produced)

    assert report.findings == ()
    assert report.files >= len(PLANTED) + 3
