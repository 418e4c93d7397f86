"""Hostile files: refused quickly, by one error class, with bounded memory."""

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import zstandard

from harness.cassette.footer import MAGIC, Footer, FramePlace, SegmentRun, encode_tail
from harness.cassette.golden_cassette import read_cassette
from harness.cassette.golden_document import content_root
from harness.cassette.limits import decode_strict
from harness.cassette.merkle import merkle_root
from harness.cassette.segment import read_segment
from harness.cassette.store import iter_recordings, split_target
from harness.cli.main import run
from harness.errors import CassetteError
from runtime.journal.records import seal_line

FIXTURE = Path(__file__).parents[2] / "fixtures" / "cassettes" / "v1" / "every-kind.cassette.json"
ROOT = Path(__file__).parents[3]
BOMB_BYTES = 480 * 1024 * 1024


def entry(frame: bytes, *, size: int, offset: int = len(MAGIC)) -> SegmentRun:
    return SegmentRun(
        request_id="q", run_id="r", offset=offset, length=len(frame), size=size, crc=f"{zlib.crc32(frame):08x}",
        root="0" * 64, tenant="t", stop_reason="finish", records=1,
    )  # fmt: skip


def segment_with(path: Path, frame: bytes, *, size: int, dictionary: bytes = b"", claims: int = 0) -> Path:
    """Write a segment whose checksums all fit and whose content is what it is."""
    runs = (entry(frame, size=size),)
    place = None
    if dictionary:
        place = FramePlace(
            offset=len(MAGIC) + len(frame),
            length=len(dictionary),
            size=claims,
            crc=f"{zlib.crc32(dictionary):08x}",
        )
    footer = Footer(version=1, root=merkle_root([runs[0].root]), runs=runs, dictionary=place)
    path.write_bytes(MAGIC + frame + dictionary + encode_tail(footer))
    return path


def bomb(size: int) -> bytes:
    """Return a small frame that unpacks to much, its size stated."""
    packer = zstandard.ZstdCompressor(level=1).compressobj(size=size)
    block = b"\0" * (1 << 20)
    parts = [packer.compress(block) for _ in range(size // len(block))]
    return b"".join([*parts, packer.flush()])


def read_all(path: Path) -> None:
    for recording in iter_recordings(path):
        recording.trace()


MEASURED = """
import resource, sys
from harness.cassette.segment import read_segment
from harness.cli.main import run
from harness.errors import CassetteError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    list(read_segment(sys.argv[1]))
except CassetteError as error:
    print("refused", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("where", ["run", "dictionary"])
def test_a_zstd_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, where: str) -> None:
    frame = bomb(BOMB_BYTES)
    path = tmp_path / "a.seg"
    if where == "run":
        segment_with(path, frame, size=BOMB_BYTES)
    else:
        segment_with(path, b"x" * 20, size=20, dictionary=frame, claims=1024 * 1024)
    assert len(frame) < BOMB_BYTES / 10_000

    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, timeout=60, check=False,
        env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip

    verdict, grown_mib = done.stdout.split()
    assert verdict == "refused"
    assert int(grown_mib) < 50


def test_a_frame_that_unpacks_to_more_than_it_says_is_refused(tmp_path: Path) -> None:
    frame = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    data = frame.compress(b"a" * 100_000) + frame.flush()

    with pytest.raises(CassetteError):
        list(read_segment(segment_with(tmp_path / "a.seg", data, size=100)))


@pytest.mark.parametrize(
    "change",
    [
        lambda run: msgspec.structs.replace(run, offset=-5),
        lambda run: msgspec.structs.replace(run, length=1 << 62),
        lambda run: msgspec.structs.replace(run, size=1 << 62),
        lambda run: msgspec.structs.replace(run, size=-1),
        lambda run: msgspec.structs.replace(run, offset=1 << 40),
    ],
)
def test_an_index_with_impossible_places_is_refused(
    tmp_path: Path, change: Callable[[SegmentRun], SegmentRun]
) -> None:
    frame = zstandard.ZstdCompressor().compress(b"{}")
    runs = (change(entry(frame, size=2)),)
    path = tmp_path / "a.seg"
    path.write_bytes(MAGIC + frame + encode_tail(Footer(version=1, root=merkle_root(["0" * 64]), runs=runs)))

    with pytest.raises(CassetteError):
        list(read_segment(path))


def golden(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "a.cassette.json"
    path.write_bytes(data)
    return path


def rooted(**changes: object) -> bytes:
    """Return a golden document with changes, its root made to fit."""
    plain = {**json.loads(FIXTURE.read_text()), **changes}
    plain["root"] = content_root(plain)
    return json.dumps(plain).encode()


@pytest.mark.parametrize("depth", [300, 5_000, 200_000])
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_is_refused(tmp_path: Path, depth: int, opened: str, closed: str) -> None:
    deep = f'{{"schema":"goldrun.cassette/1","root":"x","header":{opened * depth}1{closed * depth}}}'

    with pytest.raises(CassetteError):
        read_cassette(golden(tmp_path, deep.encode()))


@pytest.mark.parametrize("depth", [50, 100])
def test_nesting_that_can_be_followed_is_read(tmp_path: Path, depth: int) -> None:
    value: object = 1
    for _ in range(depth):
        value = [value]

    assert read_cassette(golden(tmp_path, rooted(provenance={"deep": value}))).header.request_id


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    data = FIXTURE.read_bytes().replace(b'"schema": ', b'"schema": "goldrun.cassette/1",\n "schema": ', 1)

    with pytest.raises(CassetteError, match="'schema' stands twice"):
        read_cassette(golden(tmp_path, data))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "0x1", "01"])
def test_numbers_that_json_does_not_have_are_refused(tmp_path: Path, number: str) -> None:
    with pytest.raises(CassetteError):
        decode_strict(f'{{"a": {number}}}'.encode(), where="a")


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfe",
        b"\0" * 100,
        b"null",
        b"[]",
        b'"x"',
        b"1",
        b'{"a":"\x01"}',
        b'{"a":"\\ud800"}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_other_bytes_than_a_cassette_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CassetteError):
        read_cassette(golden(tmp_path, data))


@pytest.mark.parametrize("name", ["a\0b.seg", "a\0b.cassette.json", "a\0b.jsonl", "x" * 5000 + ".seg"])
def test_names_that_no_file_can_have_are_errors(name: str) -> None:
    with pytest.raises(CassetteError):
        list(iter_recordings(name))
    with pytest.raises(CassetteError):
        list(iter_recordings(f"{name}#run"))
    assert split_target(name)[0] == Path(name)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"seq":0}',
        b'{"seq":0,"lane":"begin","phase":"begin","kind":"begin","request":{"a":1}}',
        b'{"seq":0,"lane":"begin","phase":"begin","kind":"begin","request":'
        + b"[" * 5000
        + b"]" * 5000
        + b"}",
        b'{"seq":0,"lane":"x","phase":"end","kind":"end","outcome":{}}',
        b'{"seq":0,"lane":"x","phase":"end","kind":"end","outcome":{"stop_reason":5}}',
        b'{"seq":99999999999999999999999,"lane":"x","phase":"end","kind":"end"}',
        b'{"run":"r","seq":0,"lane":"x","phase":"outcome","kind":"tool","request":null}',
        b"{}",
        b"[]",
        b"null",
    ],
)
def test_a_journal_line_with_a_fitting_checksum_and_a_wrong_content_is_refused(
    tmp_path: Path, payload: bytes
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(seal_line(payload))

    with pytest.raises(CassetteError):
        read_all(path)


def test_a_line_without_end_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.journal.files.MAX_RECORD_BYTES", 1000)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"x" * 100_000)

    with pytest.raises(CassetteError, match="passes the limit"):
        list(iter_recordings(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
@pytest.mark.parametrize("command", ["show", "replay", "verify", "redact-check"])
@pytest.mark.parametrize("suffix", [".jsonl", ".seg", ".cassette.json"])
def test_a_pipe_or_device_in_place_of_a_recording_is_refused_in_one_line(
    command: str, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe, device = tmp_path / f"pipe{suffix}", tmp_path / f"device{suffix}"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")

    codes = [run([command, str(path)]) for path in (pipe, device)]

    assert codes == [3, 3]
    assert capsys.readouterr().err.count("neither a file nor a folder") == 2
