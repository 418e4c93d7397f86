from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cassette.golden_cassette import write_cassette
from harness.cassette.segment import SegmentWriter
from harness.cassette.store import count_recordings, iter_recordings, read_recording
from harness.errors import CassetteError
from harness.redaction.redactor import Redactor
from runtime.core.effects import Begin, End, Outcome
from runtime.core.run import Header
from runtime.errors import UsageError
from runtime.journal.builder import RecordBuilder
from runtime.journal.files import JournalWriter
from runtime.journal.recording import Recording
from runtime.journal.records import Record

MakeRecords = Callable[..., list[Record]]


@pytest.fixture
def folder(tmp_path: Path, make_records: MakeRecords, recording: Recording) -> Path:
    """A folder with one recording of each kind: 1 cassette, 2 runs in a segment, 2 in a journal."""
    root = tmp_path / "all"
    write_cassette(root / "b" / "task.cassette.json", recording)
    with SegmentWriter(root / "a.seg") as segment:
        segment.add(make_records("s1"))
        segment.add(make_records("s2"))
    with JournalWriter(root / "c.jsonl") as journal:
        for name in ("j1", "j2"):
            builder = RecordBuilder(run=name, cleaner=Redactor())
            header = Header(request_id=f"q{name}", run_id=name, tenant="t", environment="e", agent="a")
            for record in (
                builder.intent(Begin(header=header)),
                builder.outcome(End(stop_reason="finish"), Outcome(), root=None),
            ):
                assert record is not None
                journal.append(record)
    (root / "notes.txt").write_text("not a recording")
    return root


def ids(target: str | Path) -> list[str]:
    return [recording.header.request_id for recording in iter_recordings(target)]


def test_a_folder_yields_its_recordings_sorted_by_path(folder: Path) -> None:
    assert ids(folder) == ["s1", "s2", "req_example", "qj1", "qj2"]
    assert count_recordings(folder) == 5


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("a.seg", ["s1", "s2"]),
        ("a.seg#s2", ["s2"]),
        ("c.jsonl#qj1", ["qj1"]),
        ("c.jsonl#j2", ["qj2"]),
        ("b/task.cassette.json", ["req_example"]),
        ("b/task.cassette.json#req_example", ["req_example"]),
    ],
)
def test_a_file_or_one_run_of_it_can_be_named(folder: Path, target: str, found: list[str]) -> None:
    assert ids(f"{folder}/{target}") == found
    assert count_recordings(f"{folder}/{target}") == len(found)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere", "no such file"),
        ("a.seg#nope", "no run 'nope'"),
        ("c.jsonl#nope", "no run 'nope'"),
        ("notes.txt", "no recording by its name"),
        ("b/task.cassette.json#nope", "no run 'nope'"),
        ("nowhere.seg#s1", "no such file"),
    ],
)
def test_what_cannot_be_found_is_an_error(folder: Path, target: str, message: str) -> None:
    with pytest.raises(CassetteError, match=message) as caught:
        ids(f"{folder}/{target}")

    assert caught.value.next_step


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CassetteError, match="no recording below"):
        ids(tmp_path)
    with pytest.raises(CassetteError, match="no recording below"):
        count_recordings(tmp_path)


@pytest.mark.parametrize("name", ["a.seg", "c.jsonl", "b/task.cassette.json"])
def test_an_emptied_file_is_an_error_also_inside_a_folder(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")

    with pytest.raises(CassetteError, match="empty"):
        ids(folder)


def test_one_recording_is_asked_for_and_several_are_refused(folder: Path) -> None:
    assert read_recording(folder / "b" / "task.cassette.json").header.request_id == "req_example"
    with pytest.raises(UsageError, match="several runs"):
        read_recording(folder / "a.seg")


def test_runs_are_read_one_at_a_time(folder: Path) -> None:
    found = iter_recordings(folder)

    first = next(found)
    (folder / "c.jsonl").write_bytes(b"")

    assert first.header.request_id == "s1"
    assert next(found).header.request_id == "s2"
