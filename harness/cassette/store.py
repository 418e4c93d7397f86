"""The one way to recordings on disk: cassettes, journals, segments and folders of them, streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from harness.cassette.file_io import guarded
from harness.cassette.golden_cassette import read_cassette
from harness.cassette.remote import is_url, read_remote_segment
from harness.cassette.segment import Segment, read_segment
from harness.errors import CassetteError
from runtime.errors import UsageError
from runtime.journal.files import read_journal
from runtime.journal.recording import Recording, recording_of

CASSETTE, JOURNAL, SEGMENT = ".cassette.json", ".jsonl", ".seg"
SUFFIXES = (CASSETTE, JOURNAL, SEGMENT)
REJECTED = ".rejected"
"""Ends the name of a recording put beside an accepted one: read where it is named, never found in a folder."""
JournalView = Callable[[Path], Iterator[Recording] | None]
"""Reads a file that is named like a journal as runs; `None` if it is an ordinary journal."""


def iter_recordings(
    target: str | Path, *, allow_edited: bool = False, view: JournalView | None = None
) -> Iterator[Recording]:
    """Yield the recordings of a target one after the other; memory does not grow with their number.

    Args:
        target: A `*.cassette.json`, a journal `*.jsonl`, a segment `*.seg`, a folder (recursive, sorted by
            path), `FILE#REQUEST_ID` for one run of a file, or either for a segment in an object store.
        allow_edited: Read golden documents that were edited by hand, marked as such.
        view: Reads journals that hold no runs of ours as runs.

    Raises:
        CassetteError: If the target is missing, empty, damaged or foreign, or a folder holds no recording.
        UsageError: If a request id names several runs.
    """
    if isinstance(target, str) and is_url(target):
        yield from _remote(target)
        return
    path, name = split_target(target)
    if name is not None:
        yield _one(path, name, view)
    elif _is_folder(path):
        for file in recording_files(path):
            yield from _of_file(file, allow_edited=allow_edited, view=view)
    else:
        yield from _of_file(path, allow_edited=allow_edited, view=view)


def read_recording(target: str | Path, *, view: JournalView | None = None) -> Recording:
    """Return the one recording of a target; `view` as of `iter_recordings`.

    Raises:
        CassetteError: If it cannot be read.
        UsageError: If the target holds several.
    """
    found = iter_recordings(target, view=view)
    first = next(found, None)
    if first is None:
        raise CassetteError(
            "this file holds no run",
            where=str(target),
            next_step=f"see what it holds with `goldrun lift {target}`",
        )
    if next(found, None) is not None:
        raise UsageError(
            "the target holds several runs", where=str(target), next_step="name one as FILE#REQUEST_ID"
        )
    return first


def count_recordings(target: str | Path, *, view: JournalView | None = None) -> int:
    """Return how many recordings a target holds, from the index where there is one; `view` as of `iter_recordings`.

    Raises:
        CassetteError: As `iter_recordings`, as far as counting sees it.
    """
    if isinstance(target, str) and is_url(target):
        return sum(1 for _ in _remote(target))
    path, name = split_target(target)
    if name is not None:
        _one(path, name, view)
        return 1
    files = recording_files(path) if _is_folder(path) else [path]
    return sum(_count(file, view) for file in files)


def recording_files(folder: Path) -> list[Path]:
    """Return the recordings below a folder, sorted by path.

    Raises:
        CassetteError: If there are none.
    """
    files = sorted(p for p in folder.rglob("*") if p.name.endswith(SUFFIXES) and p.is_file())
    if not files:
        raise CassetteError(
            f"no recording below this folder (looked for {', '.join('*' + s for s in SUFFIXES)})",
            where=str(folder),
            next_step="record runs with `goldrun record`, or bring them in with `goldrun import`",
        )
    return files


def split_target(target: str | Path) -> tuple[Path, str | None]:
    """Return file and request id of `FILE#REQUEST_ID`; a file whose own name has a `#` is taken as it is."""
    path = Path(target)
    if _exists(path):
        return path, None
    file, mark, name = str(target).rpartition("#")
    # A request id may hold `#` itself only where the file before the first `#` exists.
    head, first_mark, rest = str(target).partition("#")
    if first_mark and _exists(Path(head)):
        return Path(head), rest
    return (Path(file), name) if mark else (path, None)


def _remote(address: str) -> Iterator[Recording]:
    file, _, name = address.partition("#")
    segment = read_remote_segment(file)
    if name:
        yield segment.open(name)
    else:
        yield from segment


def _of_file(
    path: Path, *, allow_edited: bool = False, view: JournalView | None = None
) -> Iterator[Recording]:
    _check_there(path)
    match kind_of(path):
        case "cassette":
            yield read_cassette(path, allow_edited=allow_edited)
        case "segment":
            yield from read_segment(path)
        case _ if view is not None and (runs := view(path)) is not None:
            yield from runs
        case _:
            with guarded(str(path)):
                for run in read_journal(path):
                    yield recording_of(run.records, source=f"{path}#{run.run}", torn=run.torn)


def _one(path: Path, name: str, view: JournalView | None) -> Recording:
    _check_there(path)
    if _is_folder(path):
        raise UsageError("a folder has no runs of its own", where=str(path), next_step="name a file of it")
    if kind_of(path) == "segment":
        return read_segment(path).open(name)
    for outermost in _of_file(path, view=view):
        for recording in (outermost, *outermost.children):
            if name in {recording.header.request_id, recording.header.run_id}:
                return recording
    raise CassetteError(
        f"no run {name!r} in this file",
        where=str(path),
        next_step=f"list its runs with `goldrun show {path}`",
    )


def _count(path: Path, view: JournalView | None) -> int:
    _check_there(path)
    match kind_of(path):
        case "cassette":
            read_cassette(path)
            return 1
        case "segment":
            segment: Segment = read_segment(path)
            return len(segment)
        case _ if view is not None and (runs := view(path)) is not None:
            return sum(1 for _ in runs)
        case _:
            with guarded(str(path)):
                return sum(1 for _ in read_journal(path))


def kind_of(path: Path) -> str:
    """Return which recording a file is by its name: cassette, segment or journal.

    Raises:
        CassetteError: If the name says neither.
    """
    name = path.name.removesuffix(REJECTED)
    if name.endswith(SEGMENT):
        return "segment"
    if name.endswith(JOURNAL):
        return "journal"
    if name.endswith(".json"):
        return "cassette"
    raise CassetteError(
        f"{path.name!r} is no recording by its name",
        where=str(path),
        next_step=f"recordings end in {', '.join(SUFFIXES)}; others come in with `goldrun import`",
    )


def _check_there(path: Path) -> None:
    if not _exists(path):
        raise CassetteError("there is no such file or folder", where=str(path), next_step="check the path")


def _exists(path: Path) -> bool:
    """Return whether a path is there; a name that no file can have is not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _is_folder(path: Path) -> bool:
    return _exists(path) and path.is_dir()
