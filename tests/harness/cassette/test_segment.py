from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cassette.segment import SegmentWriter, merkle_root, read_segment
from harness.errors import CassetteError
from runtime.core.effects import Begin, End, Input, InputReply, Outcome
from runtime.core.messages import user_message
from runtime.core.run import Header
from runtime.core.trace import trace_json
from runtime.errors import UsageError
from runtime.journal.builder import RecordBuilder
from runtime.journal.recording import recording_of
from runtime.journal.records import Record

MakeRecords = Callable[..., list[Record]]


def small_run(name: str, text: str) -> list[Record]:
    builder = RecordBuilder()
    header = Header(
        request_id=f"q{name}", run_id=f"r{name}", tenant="t", environment="e", agent="a", task=name
    )
    made = [
        builder.intent(Begin(header=header)),
        builder.outcome(Input(lane="0.input/1"), Outcome(InputReply(messages=(user_message(text),)))),
        builder.outcome(End(stop_reason="finish"), Outcome()),
    ]
    return [record for record in made if record is not None]


def segment_of(path: Path, *runs: list[Record]) -> Path:
    with SegmentWriter(path) as writer:
        for run in runs:
            writer.add(run)
    return path


def test_a_segment_gives_back_each_run(tmp_path: Path, make_records: MakeRecords) -> None:
    runs = [make_records("one"), make_records("two", end=False), small_run("3", "x")]

    segment = read_segment(segment_of(tmp_path / "a.seg", *runs))

    assert segment.version == 1
    assert [(run.request_id, run.stop_reason) for run in segment.runs] == [
        ("one", "finish"),
        ("two", "crashed"),
        ("q3", "finish"),
    ]
    assert [trace_json(r.trace()) for r in segment] == [trace_json(recording_of(run).trace()) for run in runs]
    assert segment.open("two").header == recording_of(runs[1]).header
    assert segment.root == merkle_root([run.root for run in segment.runs])


def test_a_run_opens_by_its_run_id_too_and_an_unknown_one_is_an_error(tmp_path: Path) -> None:
    segment = read_segment(segment_of(tmp_path / "a.seg", small_run("1", "x"), small_run("2", "y")))

    assert segment.open("r2").header.task == "2"
    with pytest.raises(CassetteError, match="no run 'nope' among 2"):
        segment.open("nope")


def test_a_run_is_in_a_segment_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="already"):
        segment_of(tmp_path / "a.seg", small_run("1", "x"), small_run("1", "x"))

    assert list(tmp_path.iterdir()) == []


def test_a_run_that_looks_secret_is_refused(tmp_path: Path, make_records: MakeRecords) -> None:
    with pytest.raises(CassetteError, match="looks secret"):
        segment_of(tmp_path / "a.seg", make_records(redact=False))

    assert list(tmp_path.iterdir()) == []


def test_a_segment_that_is_there_is_not_overwritten_unasked(tmp_path: Path) -> None:
    path = segment_of(tmp_path / "a.seg", small_run("1", "x"))
    before = path.read_bytes()

    with pytest.raises(UsageError, match="there already"):
        segment_of(path, small_run("2", "y"))

    assert path.read_bytes() == before


def test_an_empty_or_foreign_file_is_an_error(tmp_path: Path) -> None:
    for content, message in ((b"", "empty"), (b"PK\x03\x04 and more", "not a segment")):
        path = tmp_path / "a.seg"
        path.write_bytes(content)
        with pytest.raises(CassetteError, match=message):
            read_segment(path)


def read_all(path: Path) -> None:
    for recording in read_segment(path):
        recording.trace()


@given(data=st.data())
def test_any_flipped_byte_and_any_truncation_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("s")
    whole = segment_of(folder / "a.seg", small_run("1", "some text"), small_run("2", "y")).read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    flip = data.draw(st.integers(0, 255))
    damaged = (
        whole[:place] if flip == 0 else whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :]
    )
    path = folder / "b.seg"
    path.write_bytes(damaged)

    with pytest.raises(CassetteError):
        read_all(path)


def test_a_frame_that_claims_too_much_is_not_unpacked(tmp_path: Path) -> None:
    from harness.cassette.file_io import unpack

    with pytest.raises(CassetteError, match="beyond the limits"):
        unpack(b"\x28\xb5\x2f\xfd" + b"\0" * 20, 400 * 1024 * 1024, where="a.seg")
