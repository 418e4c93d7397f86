import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cassette.golden_cassette import read_cassette, write_cassette
from harness.cassette.golden_document import content_root
from harness.errors import CassetteError
from runtime.core.canonical import fingerprint
from runtime.core.effects import Begin, CallModel, CallTool, End, Outcome, ToolResult
from runtime.core.messages import (
    Message,
    ModelReply,
    ModelRequest,
    TextPart,
    ToolCallPart,
    tool_message,
    user_message,
)
from runtime.core.run import Header, with_hashes
from runtime.core.trace import trace_json
from runtime.errors import UsageError
from runtime.journal.builder import RecordBuilder
from runtime.journal.recording import Recording, recording_of
from runtime.journal.records import Record


def plain_trace(recording: Recording) -> dict[str, Any]:
    trace = trace_json(recording.trace())
    # The golden form drops the hash of arguments that held a secret.
    for call in (*trace["approvals"], *(call for step in trace["steps"] for call in step["tool_calls"])):
        call.pop("args_hash")
    return trace


def keys(recording: Recording) -> list[tuple[str, str | None]]:
    return [(item.lane, item.key) for item in recording.interactions]


def test_a_golden_cassette_reads_back_as_the_run_that_was_written(
    tmp_path: Path, recording: Recording
) -> None:
    path = write_cassette(tmp_path / "suite" / "task.cassette.json", recording)

    back = read_cassette(path)

    assert back.header == recording.header
    assert keys(back) == keys(recording)
    assert [i.kind for i in back.interactions] == [i.kind for i in recording.interactions]
    assert [i.outcome().failure for i in back.interactions] == [
        i.outcome().failure for i in recording.interactions
    ]
    assert plain_trace(back) == plain_trace(recording)


def test_writing_what_was_read_gives_the_same_document(tmp_path: Path, recording: Recording) -> None:
    first = json.loads(write_cassette(tmp_path / "a.cassette.json", recording).read_text())
    back = read_cassette(tmp_path / "a.cassette.json")

    second = json.loads(write_cassette(tmp_path / "b.cassette.json", back).read_text())

    for name in ("header", "messages", "interactions", "end"):
        assert second[name] == first[name]


def test_a_run_that_was_cut_off_stays_cut_off(
    tmp_path: Path, make_records: Callable[..., list[Record]]
) -> None:
    cut = recording_of(make_records(end=False)[:2])

    back = read_cassette(write_cassette(tmp_path / "a.cassette.json", cut))

    assert back.stop_reason == "crashed"
    assert [item.answered for item in back.interactions] == [item.answered for item in cut.interactions]
    assert not back.interactions[-1].answered


def test_a_prompt_edit_is_one_hunk_beside_the_root(tmp_path: Path) -> None:
    def lines(prompt: str) -> list[str]:
        path = tmp_path / f"{len(prompt)}.cassette.json"
        return write_cassette(path, chat([("hi", 1), ("ho", 2)], prompt=prompt)).read_text().splitlines()

    before, after = lines("Be kind.\nBe brief."), lines("Be kind.\nBe very brief.")

    changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    assert [before[i].strip().split(":")[0] for i in changed] == ['"root"', '"Be brief."']


def test_ids_are_renamed_in_id_fields_and_text_is_left_alone(tmp_path: Path) -> None:
    recording = chat([("call_xyz in text", 1)])

    text = write_cassette(tmp_path / "a.cassette.json", recording).read_text()

    assert "call_xyz in text" in text
    assert '"id": "call#1"' in text
    assert '"id": "call_xyz' not in text
    assert "resp_" not in text


def test_no_key_and_no_hash_of_secret_arguments_stands_in_the_document(
    tmp_path: Path, recording: Recording
) -> None:
    document = json.loads(write_cassette(tmp_path / "a.cassette.json", recording).read_text())

    calls = [item for item in document["interactions"] if item["lane"].startswith("0.tool0")]

    assert all("key" not in item for item in document["interactions"])
    assert all("args_hash" not in item["request"] for item in calls)
    assert all(item["request"]["arguments"]["api_key"] == "<secret#1>" for item in calls)


def test_a_file_that_is_there_is_not_overwritten_unasked(tmp_path: Path, recording: Recording) -> None:
    path = write_cassette(tmp_path / "a.cassette.json", recording)
    before = path.read_bytes()

    with pytest.raises(UsageError, match="there already"):
        write_cassette(path, recording)

    assert path.read_bytes() == before
    assert write_cassette(path, recording, overwrite=True) == path
    assert [p.name for p in tmp_path.iterdir()] == ["a.cassette.json"]


def test_a_recording_that_looks_secret_is_not_written(
    tmp_path: Path, make_records: Callable[..., list[Record]]
) -> None:
    with pytest.raises(CassetteError, match="openai"):
        write_cassette(tmp_path / "a.cassette.json", recording_of(make_records(redact=False)))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("{", "not JSON"),
        ("[]", "schema is 'list'"),
        ('{"schema": "other/1"}', "'other/1'"),
        ('{"schema": "goldrun.cassette/1", "root": "sha256:0"}', "does not fit its root"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_an_unusable_document_is_an_error_that_says_why(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.cassette.json"
    path.write_text(content)

    with pytest.raises(CassetteError, match=message) as caught:
        read_cassette(path)

    assert caught.value.where == str(path)
    assert caught.value.next_step


def test_an_unknown_field_is_refused_even_with_a_fitting_root(tmp_path: Path, recording: Recording) -> None:
    path = write_cassette(tmp_path / "a.cassette.json", recording)
    document = json.loads(path.read_text())
    document["interactions"][0]["surprise"] = 1
    document["root"] = content_root(document)
    path.write_text(json.dumps(document))

    with pytest.raises(CassetteError, match="surprise"):
        read_cassette(path)


@pytest.mark.parametrize("field", ["base", "append"])
def test_a_reference_to_nothing_is_refused(tmp_path: Path, recording: Recording, field: str) -> None:
    path = write_cassette(tmp_path / "a.cassette.json", recording)
    document = json.loads(path.read_text())
    document["interactions"][-1]["request"][field] = "9.model/1" if field == "base" else ["m99"]
    document["root"] = content_root(document)
    path.write_text(json.dumps(document))

    with pytest.raises(CassetteError, match="wrong"):
        read_cassette(path)


def chat(turns: list[tuple[str, Any]], prompt: str = "Be kind.") -> Recording:
    start = (Message(role="system", parts=(TextPart(prompt),)), user_message("go"))
    header = with_hashes(
        Header(
            request_id="q",
            run_id="r",
            tenant="t",
            environment="e",
            agent="a",
            models=("m",),
            instructions=prompt,
            input=start,
        )
    )
    builder = RecordBuilder()
    made = [builder.intent(Begin(header=header))]
    history: tuple[Message, ...] = start
    for step, (text, argument) in enumerate(turns):
        call_id = f"call_xyz{step}"
        parts = (TextPart(text), ToolCallPart(call_id, "f", {"x": argument}))
        model = CallModel(lane=f"{step}.model/1", request=ModelRequest(model="m", messages=history))
        tool = CallTool(
            lane=f"{step}.tool0/1",
            call_id=call_id,
            name="f",
            arguments={"x": argument},
            args_hash=fingerprint({"x": argument}),
        )
        for effect, outcome in (
            (model, Outcome(ModelReply(parts=parts, response_id=f"resp_{step}"))),
            (tool, Outcome(ToolResult(content=text))),
        ):
            made += [builder.intent(effect), builder.outcome(effect, outcome)]
        history = (*history, Message(role="assistant", parts=parts), tool_message(call_id, text))
    made.append(builder.outcome(End(stop_reason="finish"), Outcome()))
    return recording_of([record for record in made if record is not None])


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text()
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


@given(turns=st.lists(st.tuples(st.text(), JSON), max_size=4), prompt=st.text())
def test_any_run_survives_the_golden_form(
    tmp_path_factory: pytest.TempPathFactory, turns: list[tuple[str, Any]], prompt: str
) -> None:
    recording = chat(turns, prompt)

    back = read_cassette(write_cassette(tmp_path_factory.mktemp("g") / "a.cassette.json", recording))

    assert keys(back) == keys(recording)
    assert plain_trace(back) == plain_trace(recording)
    assert back.header == recording.header


@given(data=st.data())
def test_a_damaged_document_is_refused_or_says_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = write_cassette(tmp_path_factory.mktemp("g") / "a.cassette.json", chat([("hi", {"a": [1, "x"]})]))
    whole = path.read_bytes()
    original = json.loads(whole)
    place = data.draw(st.integers(0, len(whole) - 1))
    flip = data.draw(st.integers(0, 255))
    damaged = (
        whole[:place] if flip == 0 else whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :]
    )
    path.write_bytes(damaged)

    try:
        read_cassette(path)
    except CassetteError:
        return

    assert json.loads(damaged) == original  # only blanks between tokens may differ
