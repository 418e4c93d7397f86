"""A recording lifts to the same traces as its live traffic, exports to vcrpy's YAML, and says what it cannot read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from harness.errors import CassetteError, ImportFailed
from harness.lift.exchanges import read_exchanges
from harness.lift.lift import lift_file, lift_paths
from harness.wire.export import export_vcr
from harness.wire.http_recording import is_http_recording, read_http
from harness.wire.session import record_http
from runtime.core.messages import ModelRequest
from runtime.testing.loopback import LoopbackProvider
from runtime.testing.scripted import calls, says

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "kb.search",
            "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
        },
    }
]


def policy(request: ModelRequest) -> Any:
    if request.messages[-1].role == "tool":
        return says("It was refunded.")
    return calls(("kb.search", {"q": "parcel 8812"}))


def run_agent(base_url: str, *, stream: bool) -> str:
    """Run a small agent that knows nothing of this project."""
    import json

    messages: list[dict[str, Any]] = [{"role": "user", "content": "Where is parcel 8812?"}]
    with httpx.Client(trust_env=False) as client:
        while True:
            body = {"model": "gpt-4o", "messages": messages, "tools": TOOLS, "stream": stream}
            with client.stream("POST", base_url + "/chat/completions", json=body) as response:
                text = "".join(response.iter_text())
            message = _message(text) if stream else json.loads(text)["choices"][0]["message"]
            messages.append(message)
            if not message.get("tool_calls"):
                return str(message["content"])
            messages += [
                {"role": "tool", "tool_call_id": call["id"], "content": "lost in depot 4"}
                for call in message["tool_calls"]
            ]


def _message(text: str) -> dict[str, Any]:
    import json

    said = ""
    made: list[dict[str, Any]] = []
    for line in text.splitlines():
        if not line.startswith("data: {"):
            continue
        choices = json.loads(line[6:])["choices"]
        delta = choices[0]["delta"] if choices else {}
        said += delta.get("content") or ""
        for call in delta.get("tool_calls") or ():
            if call["index"] == len(made):
                made.append({"id": call["id"], "type": "function", "function": {"name": "", "arguments": ""}})
            for name in ("name", "arguments"):
                made[call["index"]]["function"][name] += call["function"].get(name) or ""
    return {"role": "assistant", "content": said or None, **({"tool_calls": made} if made else {})}


@pytest.mark.parametrize("stream", [False, True])
def test_the_recording_lifts_to_the_run_that_was_made(tmp_path: Path, stream: bool) -> None:
    with LoopbackProvider(policy) as provider:
        with record_http(tmp_path / "a"):
            live = run_agent(provider.base_url, stream=stream)
        with record_http(tmp_path / "b"):
            run_agent(provider.base_url, stream=stream)
        url = provider.base_url
    with record_http(tmp_path / "a", mode="replay", require_all=True):
        replayed = run_agent(url, stream=stream)

    lifted, again = lift_file(tmp_path / "a.jsonl"), lift_file(tmp_path / "b.jsonl")
    (trace,), (other,) = lifted.traces, again.traces
    assert replayed == live == trace.output == "It was refunded."
    assert lifted.layout == "goldrun.http/1"
    assert trace.stop_reason == "finish"
    assert [(c.name, c.arguments, c.status, c.result) for s in trace.steps for c in s.tool_calls] == [
        ("kb.search", {"q": "parcel 8812"}, "ok", "lost in depot 4")
    ]
    assert trace.trace_hash == other.trace_hash
    assert [e.is_streamed for e in lifted.exchanges] == [stream, stream]


def test_an_export_to_vcrpy_lifts_to_the_same_exchanges(server: Any, tmp_path: Path) -> None:
    with record_http(tmp_path / "a"), httpx.Client(trust_env=False) as client:
        client.post(server.url + "/echo", json={"q": 1})
        client.post(server.url + "/gzip", json={"q": 2})
        client.post(server.url + "/stream", json={"q": 3})
        with pytest.raises(httpx.ReadTimeout):
            client.post(server.url + "/slow", timeout=0.05)

    told = export_vcr(tmp_path / "a.jsonl", tmp_path / "a.yaml")

    own = read_exchanges(tmp_path / "a.jsonl").exchanges
    theirs = read_exchanges(tmp_path / "a.yaml").exchanges
    assert (told.written, told.skipped) == (3, 1)
    assert theirs == tuple(msgspec.structs.replace(each, at=None, duration_s=None) for each in own[:3])


def test_vcrpy_replays_an_export(server: Any, tmp_path: Path) -> None:
    import vcr

    with record_http(tmp_path / "a"):
        live = httpx.post(server.url + "/echo", json={"q": 1}, trust_env=False).json()
    export_vcr(tmp_path / "a.jsonl", tmp_path / "a.yaml")

    with vcr.use_cassette(str(tmp_path / "a.yaml"), record_mode="none"):
        replayed = httpx.post(server.url + "/echo", json={"q": 1}, trust_env=False).json()

    assert replayed == live
    assert len(server.seen) == 1


def test_a_damaged_recording_is_told_by_lift(server: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with record_http(path):
        httpx.post(server.url + "/echo", trust_env=False)
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"status":200', b'"status":500'))

    with pytest.raises(CassetteError, match="checksum"):
        read_http(path)
    with pytest.raises(ImportFailed, match="checksum"):
        read_exchanges(path)
    (entry,) = lift_paths([path])["files"]
    assert "checksum" in entry["error"]


def test_a_journal_of_runs_is_no_http_recording(tmp_path: Path) -> None:
    from runtime.core.effects import EffectKind
    from runtime.journal.files import JournalWriter
    from runtime.journal.records import Record

    path = tmp_path / "runs.jsonl"
    with JournalWriter(path) as journal:
        journal.append(Record(run="run_1", seq=0, lane="begin", phase="begin", kind=EffectKind.BEGIN))

    assert not is_http_recording(path)
    with pytest.raises(CassetteError, match="holds runs"):
        read_http(path)
