"""Segments after they were written: shared text, deleted runs, other places, the index over many."""

import hashlib
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.cassette.footer import MAGIC, Footer, SegmentRun, encode_tail
from harness.cassette.index import find_run, write_index
from harness.cassette.merkle import merkle_root
from harness.cassette.remote import Store, open_store, read_remote_segment
from harness.cassette.segment import SegmentWriter, read_segment
from harness.cassette.tombstones import delete_runs
from harness.errors import CassetteError
from runtime.core.effects import Begin, End, Input, InputReply, Outcome
from runtime.core.messages import ToolSchema, user_message
from runtime.core.run import Header, ToolDecl
from runtime.errors import UsageError
from runtime.journal.builder import RecordBuilder
from runtime.journal.records import Record

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
WORDS = hashlib.shake_128(b"words that do not compress").hexdigest(1500)
TOOL = ToolDecl(schema=ToolSchema(name="kb.search", description=WORDS[:1500], parameters={"type": "object"}))


def run(name: str, text: str = "hello", *, tenant: str = "acme", instructions: str = WORDS) -> list[Record]:
    builder = RecordBuilder()
    header = Header(
        request_id=f"q{name}", run_id=f"r{name}", tenant=tenant, environment="e", agent="a",
        instructions=instructions, tools=(TOOL,), started_at="2026-11-20T12:00:00Z",
    )  # fmt: skip
    made = [
        builder.intent(Begin(header=header)),
        builder.outcome(Input(lane="0.input/1"), Outcome(InputReply(messages=(user_message(text),)))),
        builder.outcome(End(stop_reason="finish"), Outcome()),
    ]
    return [record for record in made if record is not None]


def segment_of(path: Path, *names: str, **fields: Any) -> Path:
    with SegmentWriter(path, **fields) as writer:
        for name in names:
            writer.add(run(name, f"text of {name}"))
    return path


def test_text_that_runs_share_is_stored_once(tmp_path: Path) -> None:
    many = read_segment(segment_of(tmp_path / "many.seg", *map(str, range(50))))
    one = read_segment(segment_of(tmp_path / "one.seg", "0"))

    assert one.footer.dictionary is None
    assert many.footer.dictionary is not None
    assert sum(r.length for r in many.runs) < 50 * one.runs[0].length / 1.5
    assert [recording.header.request_id for recording in many] == [f"q{i}" for i in range(50)]


def test_the_dictionary_holds_nothing_that_only_one_run_says(tmp_path: Path) -> None:
    path = tmp_path / "a.seg"
    with SegmentWriter(path) as writer:
        writer.add(run("1", "a secret plan", instructions="the only one of its kind"))
        writer.add(run("2", "hello"))
        writer.add(run("3", "hello"))

    shared = read_segment(path)._dictionary()

    assert shared is not None
    assert b"a secret plan" not in shared
    assert b"the only one of its kind" not in shared
    assert WORDS[:200].encode() in shared


def test_a_deleted_run_leaves_its_root_and_nothing_else(tmp_path: Path) -> None:
    path = segment_of(tmp_path / "a.seg", "1", "2", "3")
    before = read_segment(path)
    kept = before.open("q3").header

    deleted = delete_runs(path, {"q2"}, now=NOW)

    after = read_segment(path)
    assert deleted == 1
    assert after.root == before.root
    assert [r.request_id for r in after.runs] == ["q1", "q3"]
    assert [(t.request_id, t.root, t.length) for t in after.tombstones] == [("q2", before.find("q2").root, 0)]
    assert after.open("q3").header == kept
    with pytest.raises(CassetteError, match="was deleted at 2026-11-22"):
        after.open("q2")


def test_deleting_an_unknown_run_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    path = segment_of(tmp_path / "a.seg", "1")
    before = path.read_bytes()

    with pytest.raises(CassetteError, match="no run 'q9'"):
        delete_runs(path, {"q9"}, now=NOW)

    assert path.read_bytes() == before


def test_a_tenant_blind_segment_does_not_name_tenants_in_its_index(tmp_path: Path) -> None:
    path = segment_of(tmp_path / "a.seg", "1", tenant_blind=True)

    assert "acme" not in encode_tail(read_segment(path).footer).decode("latin-1")
    assert read_segment(path).open("q1").header.tenant == "acme"


def test_a_segment_of_version_0_is_read_and_its_runs_can_be_deleted(tmp_path: Path) -> None:
    fixture = Path(__file__).parents[2] / "fixtures" / "cassettes" / "v1" / "runs.seg"
    path = tmp_path / "runs.seg"
    path.write_bytes(fixture.read_bytes())

    delete_runs(path, {"req_two"}, now=NOW)

    assert read_segment(fixture).version == 0
    assert read_segment(path).version == 1
    assert read_segment(path).root == read_segment(fixture).root
    assert [r.header.request_id for r in read_segment(path)] == ["req_one"]


class Counting:
    """A store in memory that counts its reads; what pyarrow asks of a file system, and no more."""

    type_name = "memory"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.reads: list[tuple[int, int]] = []

    def open_output_stream(self, path: str) -> io.BytesIO:
        objects = self.objects

        class Out(io.BytesIO):
            def close(self) -> None:
                objects[path] = self.getvalue()
                super().close()

        return Out()

    def open_input_file(self, path: str) -> Any:
        data, reads = self.objects[path], self.reads

        class In(io.BytesIO):
            def read_at(self, length: int, offset: int) -> bytes:
                reads.append((offset, length))
                return data[offset : offset + length]

        return In(data)

    def get_file_info(self, path: str) -> Any:
        return type("Info", (), {"is_file": path in self.objects, "size": len(self.objects.get(path, b""))})()


def test_one_run_of_a_remote_segment_is_opened_with_two_range_reads(tmp_path: Path) -> None:
    memory = Counting()
    path = tmp_path / "a.seg"
    with SegmentWriter(path) as writer:
        for i in range(300):
            writer.add(run(str(i), hashlib.shake_128(str(i).encode()).hexdigest(6000)))
    store = Store(memory, "bucket", url="mem://bucket")
    store.upload(path)

    recording = store.open("a.seg").open("q77")

    assert recording.header.request_id == "q77"
    assert len(memory.reads) == 2
    assert sum(length for _, length in memory.reads) < path.stat().st_size / 4


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_segments_are_shipped_to_an_address_and_read_back(tmp_path: Path, scheme: str) -> None:
    """`file` is known to pyarrow; `memory` is one of those that only fsspec knows."""
    path = segment_of(tmp_path / "a.seg", "1", "2")
    url = (tmp_path / "store" / "deep").as_uri().replace("file:", f"{scheme}:", 1)

    address = open_store(url).upload(path)

    assert address == f"{url}/a.seg"
    assert open_store(url).names(".seg") == ["a.seg"]
    assert read_remote_segment(address).open("q2").header.request_id == "q2"
    assert [found.target for found in find_run(url, "q2")] == [f"{address}#r2"]


def test_a_missing_object_and_an_unknown_address_are_errors(tmp_path: Path) -> None:
    with pytest.raises(CassetteError, match="no such object"):
        read_remote_segment((tmp_path / "none.seg").as_uri())
    with pytest.raises(UsageError, match="no store is known"):
        open_store("nosuchscheme://bucket/x")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(5):
        segment_of(tmp_path / f"d{i}" / f"{i}.seg", f"{i}a", f"{i}b")
    return tmp_path


@pytest.mark.parametrize("indexed", [False, True])
def test_a_run_is_found_over_a_folder(folder: Path, indexed: bool) -> None:
    if indexed:
        assert write_index(folder) == 20

    (found,) = find_run(folder, "q3b")

    assert found.target == f"{folder / 'd3' / '3.seg'}#r3b"
    assert find_run(folder, "r3b") == [found]
    assert find_run(folder, "q9") == []


def test_the_index_does_not_hide_what_came_after_it(folder: Path) -> None:
    write_index(folder)
    segment_of(folder / "new.seg", "new")
    delete_runs(folder / "d1" / "1.seg", {"q1a"}, now=NOW)

    assert [found.run_id for found in find_run(folder, "qnew")] == ["rnew"]
    assert [found.deleted_at is not None for found in find_run(folder, "q1a")] == [True]


def test_a_damaged_index_or_segment_does_not_hide_the_others(folder: Path) -> None:
    write_index(folder)
    (folder / "runs.idx").write_bytes(b"goldrun.index/1\nnonsense")
    (folder / "d0" / "0.seg").write_bytes(b"nonsense")

    assert [found.run_id for found in find_run(folder, "q3b")] == ["r3b"]


def test_a_run_is_found_among_a_hundred_thousand_by_footers_alone(tmp_path: Path) -> None:
    for part in range(10):
        runs = tuple(
            SegmentRun(
                request_id=f"req_{part}_{i}", run_id=f"run_{part}_{i}", offset=len(MAGIC) + i, length=1, size=1,
                crc="0", root=f"{i:064x}", tenant="acme", stop_reason="finish", records=1,
            )
            for i in range(10_000)
        )  # fmt: skip
        footer = Footer(version=1, root=merkle_root([r.root for r in runs]), runs=runs)
        (tmp_path / f"{part}.seg").write_bytes(MAGIC + b"x" * 10_000 + encode_tail(footer))

    assert [found.run_id for found in find_run(tmp_path, "req_7_1234")] == ["run_7_1234"]
