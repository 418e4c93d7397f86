"""An HTTP recording is a run: every command reads it, with names, times and costs."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import msgspec
import pytest

from harness import RunIdentity, iter_recordings, record_http
from harness.errors import CassetteError
from harness.lift.lift import lift_file
from harness.sessions.recordings import read_recording
from harness.wire.http_recording import read_http
from harness.wire.verify_http import verify_http
from runtime.errors import UsageError
from runtime.journal.files import JournalWriter, read_journal
from runtime.journal.records import raw
from tests.harness.cli.commands.shop_runs import printed, run
from tests.support.http_agents import ask_parcels, parcel_provider


def recorded(path: Path, *, prompts: tuple[str, ...] = ("Where is it?",), system: str = "Help.") -> Path:
    """Record the agent once for each prompt."""
    with (
        parcel_provider() as url,
        record_http(
            path,
            mode="record",
            agent="parcels",
            agent_version="3",
            deploy="v1",
            task="parcels/lost",
            tenant="acme",
            environment="test",
            request_id="req_one",
        ),
    ):
        for prompt in prompts:
            ask_parcels(prompt, url, system=system)
    return path


def test_a_recording_reads_as_a_run_with_its_names(tmp_path: Path) -> None:
    run = read_recording(recorded(tmp_path / "a.jsonl"))

    header, trace = run.header, run.trace()
    assert (header.request_id, header.agent, header.agent_version) == ("req_one.0", "parcels", "3")
    assert (header.tenant, header.environment, header.deploy) == ("acme", "test", "v1")
    assert (header.suite, header.task, header.source) == ("parcels", "parcels/lost", "lift")
    assert [c.name for s in trace.steps for c in s.tool_calls] == ["lookup", "lookup"]
    assert (trace.stop_reason, trace.output) == ("finish", "It is lost.")


def test_times_come_from_the_exchanges(tmp_path: Path) -> None:
    trace = read_recording(recorded(tmp_path / "a.jsonl")).trace()

    totals = trace.totals
    assert trace.started_at is not None
    assert totals.duration_s is not None
    assert totals.model_s is not None
    assert 0 < totals.model_s <= totals.duration_s
    assert [s.model.duration_s is not None for s in trace.steps if s.model] == [True] * 3


def test_each_conversation_is_a_run_named_by_its_first_exchange(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.jsonl", prompts=("One?", "Two?"))

    assert [r.header.request_id for r in iter_recordings(path)] == ["req_one.0", "req_one.3"]
    assert [r.header.request_id for r in iter_recordings(f"{path}#req_one.3")] == ["req_one.3"]


def test_lift_and_the_recorded_run_give_the_same_trace(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.jsonl", prompts=("One?", "Two?"))

    assert [r.trace() for r in iter_recordings(path)] == list(lift_file(path).traces)


def test_names_that_are_not_given_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLDRUN_AGENT", "from-outside")
    monkeypatch.setenv("GOLDRUN_DEPLOY", "v9")
    with parcel_provider() as url, record_http(tmp_path / "a", mode="record", deploy="v1"):
        ask_parcels("Where?", url)

    head = read_http(tmp_path / "a.jsonl").head
    assert (head.agent, head.deploy, head.tenant) == ("from-outside", "v1", None)
    assert head.request_id is not None


@pytest.mark.parametrize("name", ["", "two\nlines", 5, "x" * 201, " "])
def test_a_name_that_is_none_is_refused_before_anything_is_recorded(tmp_path: Path, name: object) -> None:
    with pytest.raises(UsageError, match="tenant"):
        record_http(tmp_path / "a", tenant=name)  # type: ignore[arg-type]


def test_a_recording_without_names_has_a_request_id_of_its_content(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.jsonl")
    old = tmp_path / "old.jsonl"
    # The same exchanges under a head without names, as earlier versions wrote them.
    (journal,) = read_journal(path)
    first, *rest = journal.records
    head = json.loads(bytes(first.request))
    nameless = {key: value for key, value in head.items() if key not in RunIdentity.__struct_fields__}
    writer = JournalWriter(old)
    writer.append(msgspec.structs.replace(first, request=raw(nameless)))
    for record in rest[:-1]:
        writer.append(record)
    writer.close()

    (found,) = iter_recordings(old)
    assert found.header.request_id.startswith("req_")
    assert found.header.request_id.endswith(".0")
    assert (found.header.tenant, found.header.agent) == ("unknown", "unknown")
    moved = old.rename(tmp_path / "moved.jsonl")
    assert [r.header.request_id for r in iter_recordings(moved)] == [found.header.request_id]


def test_every_command_takes_an_http_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recorded(tmp_path / "rec" / "a.jsonl")
    recorded(tmp_path / "new" / "a.jsonl", system="Help. Be brief.")

    assert run("show", "rec/a.jsonl", "--json") == 0
    assert printed(capsys)["totals"]["total_tokens"] == 382
    assert run("verify", "rec", "--json") == 0
    assert printed(capsys)["files"][0]["kind"] == "http"
    assert run("find", "req_one", "--root", "rec", "--json") == 0
    assert printed(capsys)["runs"][0]["target"].endswith("a.jsonl#req_one.0")
    assert run("show", "req_one", "--root", "rec") == 0
    assert run("diff", "rec/a.jsonl", "new/a.jsonl", "--json") == 0
    capsys.readouterr()
    assert run("ingest", "rec", "--deploy", "v1", "--history", "history") == 0
    assert run("ingest", "new", "--deploy", "v2", "--history", "history") == 0
    assert run("report", "--baseline", "v1", "--candidate", "v2", "--history", "history", "--json") == 3
    capsys.readouterr()
    assert run("redact-check", "rec") == 0
    assert run("replay", "rec", "--json") == 3


def test_verify_says_what_is_missing(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))

    found = verify_http(path)

    assert found is not None
    assert (found.intact, found.complete, found.cut_off) == (True, False, ("req_one",))
    assert found.gaps == ("exchange 2: it was in flight when the recording was cut off",)


def test_a_recording_without_model_traffic_says_where_to_look(tmp_path: Path) -> None:
    with parcel_provider() as url, record_http(tmp_path / "a", mode="record"):
        httpx.get(f"{url}/nothing")

    with pytest.raises(CassetteError, match="holds no run"):
        read_recording(tmp_path / "a.jsonl")
