"""Find a run by its request id over a folder or an object store, by footers alone or by an index file.

The index file (`runs.idx`) is optional: 12 bytes a run, sorted by a hash of the request id, made for the segments
that were there. Segments that it does not know, or that have changed since, are searched by their footers.
"""

from __future__ import annotations

import bisect
import hashlib
import mmap
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.cassette.file_io import guarded, replace_file
from harness.cassette.footer import SegmentRun
from harness.cassette.ranges import FileRanges
from harness.cassette.remote import Store, is_url, open_store
from harness.cassette.segment import Segment, open_segment_if, read_segment
from harness.errors import CassetteError
from runtime.core.stored_header import read_header
from runtime.journal.files import read_journal

INDEX_NAME = "runs.idx"
_MAGIC = b"goldrun.index/1\n"
_ENTRY = struct.Struct(">QI")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Where a run is.

    Attributes:
        target: Its address, as commands take it: `FILE#RUN_ID`.
        request_id: The run's request id.
        run_id: Names the execution.
        tenant: From the footer or header.
        stop_reason: How it ended; `crashed` if it was cut off or is still going on.
        deleted_at: When it was deleted, if it was.
    """

    target: str
    request_id: str
    run_id: str
    tenant: str
    stop_reason: str
    deleted_at: str | None = None


class _Stated(msgspec.Struct, frozen=True):
    """A segment as the index knows it."""

    name: str
    size: int


OtherRuns = Callable[[Path, str], list[Found] | None]
"""Finds runs by request id in a file named like a journal; `None` if it is an ordinary journal."""


def find_run(root: str | Path, request_id: str, *, other: OtherRuns | None = None) -> list[Found]:
    """Return the runs of a request id or run id below a folder or in an object store, sealed ones first.

    Segments are searched by their footers (or the index file), journals that are still open by their text.
    Files that cannot be read are passed over: what is lost in one must not hide what is in another.

    Args:
        root: The folder, or the URL of an object store.
        request_id: Request id or run id.
        other: Finds runs in journals that hold none of ours.

    Raises:
        CassetteError: If the folder is missing.
        UsageError: If the address is of no known store.
    """
    if isinstance(root, str) and is_url(root):
        return list(_in_store(open_store(root), request_id))
    folder = Path(root)
    if not folder.is_dir():
        raise CassetteError("there is no such folder", where=str(folder), next_step="check the path")
    return [*_in_folder(folder, request_id), *_in_journals(folder, request_id, other)]


def write_index(folder: Path) -> int:
    """Write the index of the segments below a folder and return how many runs it knows.

    Raises:
        CassetteError: If it cannot be written.
    """
    stated: list[_Stated] = []
    entries: list[tuple[int, int]] = []
    for path in sorted(folder.rglob("*.seg")):
        segment = _opened(path)
        if segment is not None:
            for run in segment.footer.runs:
                entries += [(_hash(name), len(stated)) for name in {run.request_id, run.run_id}]
            stated.append(_Stated(path.relative_to(folder).as_posix(), segment.ranges.size()))
    head = msgspec.json.encode(stated)
    body = b"".join(_ENTRY.pack(*entry) for entry in sorted(entries))
    digest = hashlib.sha256(head + body).digest()
    with replace_file(folder / INDEX_NAME, overwrite=True) as file:
        file.write(_MAGIC + digest + len(head).to_bytes(8, "big") + head + body)
    return len(entries)


def _in_folder(folder: Path, request_id: str) -> Iterator[Found]:
    known, hits = _look_up(folder, request_id)
    for path in sorted(folder.rglob("*.seg")):
        name = path.relative_to(folder).as_posix()
        if name in known and known[name] == path.stat().st_size and name not in hits:
            continue
        with suppress(CassetteError):
            segment = open_segment_if(FileRanges(path), request_id)
            if segment is not None:
                yield from _matches(segment, request_id, str(path))


def _look_up(folder: Path, request_id: str) -> tuple[dict[str, int], set[str]]:
    """Return the segments the index knows with their sizes, and those of them that may hold the run."""
    try:
        data = (folder / INDEX_NAME).read_bytes()
    except OSError:
        return {}, set()
    at = len(_MAGIC) + 32
    length = int.from_bytes(data[at : at + 8], "big")
    start = at + 8 + length
    if data[: len(_MAGIC)] != _MAGIC or data[len(_MAGIC) : at] != hashlib.sha256(data[at + 8 :]).digest():
        return {}, set()
    stated = msgspec.json.decode(data[at + 8 : start], type=list[_Stated])
    wanted = _hash(request_id)
    count = (len(data) - start) // _ENTRY.size

    def entry(place: int) -> tuple[int, int]:
        found: tuple[int, int] = _ENTRY.unpack_from(data, start + place * _ENTRY.size)
        return found

    place = bisect.bisect_left(range(count), wanted, key=lambda i: entry(i)[0])
    hits: set[str] = set()
    while place < count and entry(place)[0] == wanted:
        hits.add(stated[entry(place)[1]].name)
        place += 1
    return {s.name: s.size for s in stated}, hits


def _in_store(store: Store, request_id: str) -> Iterator[Found]:
    for name in store.names(".seg"):
        with suppress(CassetteError):
            segment = open_segment_if(store.ranges(name), request_id)
            if segment is not None:
                yield from _matches(segment, request_id, f"{store.url}/{name}")


def _in_journals(folder: Path, request_id: str, other: OtherRuns | None) -> Iterator[Found]:
    needle = msgspec.json.encode(request_id)
    for path in sorted(folder.rglob("*.jsonl")):
        if other is not None:
            with suppress(CassetteError):
                found = other(path, request_id)
                if found is not None:
                    yield from found
                    continue
        if not _holds(path, needle):
            continue
        try:
            with guarded(str(path)):
                for run in read_journal(path):
                    header = read_header(run.records[0].request)
                    if request_id in {header.request_id, header.run_id}:
                        yield Found(
                            target=f"{path}#{header.run_id}",
                            request_id=header.request_id,
                            run_id=header.run_id,
                            tenant=header.tenant,
                            stop_reason="ended" if run.ended else "crashed",
                        )
        except (CassetteError, msgspec.DecodeError):
            continue


def _matches(segment: Segment, request_id: str, name: str) -> Iterator[Found]:
    for run in segment.footer.runs:
        if request_id in (run.request_id, run.run_id):
            yield _found(run, name)


def _found(run: SegmentRun, name: str) -> Found:
    return Found(
        target=f"{name}#{run.run_id}",
        request_id=run.request_id,
        run_id=run.run_id,
        tenant=run.tenant,
        stop_reason=run.stop_reason,
        deleted_at=run.deleted_at,
    )


def _opened(path: Path) -> Segment | None:
    """Open a segment; `None` if it cannot be read."""
    try:
        return read_segment(path)
    except CassetteError:
        return None


def _holds(path: Path, needle: bytes) -> bool:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            return view.find(needle) >= 0
    except (OSError, ValueError):
        return False


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], "big")
