"""Files of cassettes: replace them as a whole, unpack them within limits, say what is wrong with them."""

from __future__ import annotations

import filecmp
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.cassette.limits import MAX_RUN_BYTES, check_expansion
from harness.errors import CassetteError
from runtime.errors import JournalError, UsageError

TEMPORARY = ".tmp"
"""End of the names of files that are being written."""
_BUFFER_BYTES = 256 * 1024


@contextmanager
def guarded(where: str) -> Iterator[None]:
    """Turn the runtime's journal faults, and nesting beyond what can be followed, into errors about a cassette."""
    try:
        yield
    except RecursionError as error:
        raise CassetteError("nested too deeply", where=where, next_step="do not trust this file") from error
    except JournalError as fault:
        raise CassetteError(fault.what, where=fault.where or where, next_step=fault.next_step) from fault


class FileOut:
    """Writes a new file; a write that does not fit is an error, not a shorter file."""

    def __init__(self, descriptor: int, where: str) -> None:
        self._descriptor = descriptor
        self._where = where
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._position = 0

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            CassetteError: If the disk does not take them.
        """
        self._pending.append(data)
        self._pending_bytes += len(data)
        self._position += len(data)
        if self._pending_bytes >= _BUFFER_BYTES:
            self.flush()

    def tell(self) -> int:
        """Return how many bytes were added."""
        return self._position

    def flush(self) -> None:
        """Hand what was added to the system.

        Raises:
            CassetteError: If the disk does not take it.
        """
        rest = memoryview(b"".join(self._pending))
        self._pending, self._pending_bytes = [], 0
        with _writing(self._where):
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]


def refuse_special(path: Path) -> None:
    """Refuse what is neither file nor folder: a pipe would be waited for, a device has no end.

    Raises:
        CassetteError: If the path leads to such a thing.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise CassetteError(
            "this is neither a file nor a folder, but a pipe, a socket or a device",
            where=str(path),
            next_step="copy what it holds to a file, and name that",
        )


@contextmanager
def _writing(where: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CassetteError(
            f"cannot be written: {reason}", where=where, next_step="check the path, rights and free space"
        ) from error


@contextmanager
def replace_file(path: Path, *, overwrite: bool = False, private: bool = False) -> Iterator[FileOut]:
    """Open a temporary file beside `path` that takes its place, synced, when the block ends without an error.

    Raises:
        UsageError: If the file is there and `overwrite` is not set.
        CassetteError: If it cannot be written.
    """
    where = str(path)
    with _writing(where):
        if path.exists() and not overwrite:
            raise UsageError(
                "the file is there already", where=where, next_step="ask for it to be overwritten, or move it"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=TEMPORARY, dir=path.parent)
    temporary = Path(name)
    try:
        try:
            file = FileOut(descriptor, where)
            yield file
            file.flush()
            with _writing(where):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        with _writing(where):
            temporary.chmod(0o600 if private else 0o644)
            temporary.replace(path)
            sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def temporary_file(folder: Path, suffix: str) -> Iterator[Path]:
    """Give a name in the folder for a file that is removed afterwards unless it was settled.

    Raises:
        CassetteError: If the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as inside:
            yield Path(inside) / f"new{suffix}"
    except OSError as error:
        raise CassetteError(f"cannot be written: {error.strerror}", where=str(folder)) from error


def settle_file(temporary: Path, folder: Path, names: Iterable[str]) -> Path:
    """Move a file to the first of the names that is free, or that holds the same bytes already.

    Returns:
        Where the content now stands.
    """
    for name in names:
        target = folder / name
        if not target.exists():
            temporary.replace(target)
            sync_folder(folder)
            return target
        if filecmp.cmp(temporary, target, shallow=False):
            return target
    raise CassetteError("no name is free for a new file", where=str(folder))


def unpack(
    frame: bytes, size: int, *, where: str, dictionary: bytes | None = None, limit: int = MAX_RUN_BYTES
) -> bytes:
    """Return the content of one zstd frame that is known to hold `size` bytes.

    Raises:
        CassetteError: If the size or ratio passes a limit, or the frame is damaged.
    """
    import zstandard

    check_expansion(len(frame), size, where=where, limit=limit)
    try:
        if zstandard.frame_content_size(frame) != size:
            raise CassetteError("a frame's size is not the one the index states", where=where)
        return _unpacker(dictionary).decompress(frame, max_output_size=size)  # type: ignore[no-any-return]
    except (zstandard.ZstdError, MemoryError) as error:
        raise CassetteError(
            f"the compressed data is damaged: {error}", where=where, next_step="take the file from a backup"
        ) from error


@lru_cache(maxsize=8)
def _unpacker(dictionary: bytes | None) -> Any:
    import zstandard

    if dictionary is None:
        return zstandard.ZstdDecompressor()
    shared = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdDecompressor(dict_data=shared)


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that a rename in it survives a power cut."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
