"""Files of cassettes: replace them as a whole, unpack them within limits, say what is wrong with them."""

from __future__ import annotations

import filecmp
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from harness.errors import CassetteError, UsageError
from runtime.errors import JournalFault

MAX_CASSETTE_BYTES = 256 * 1024 * 1024
MAX_RUN_BYTES = 512 * 1024 * 1024
MAX_RATIO = 10_000
"""Decompressed bytes for one compressed byte; text of runs reaches some hundreds."""
_RATIO_FREE_BYTES = 1024 * 1024


@contextmanager
def guarded(where: str) -> Iterator[None]:
    """Turn the runtime's journal faults into errors about a cassette."""
    try:
        yield
    except JournalFault as fault:
        raise CassetteError(fault.what, where=fault.where or where, next_step=fault.next_step) from fault


@contextmanager
def replace_file(path: Path, *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its place, synced, when the block ends without an error.

    Raises:
        UsageError: If the file is there and `overwrite` is not set.
        CassetteError: If the folder cannot be written.
    """
    if path.exists() and not overwrite:
        raise UsageError(
            "the file is there already", where=str(path), next_step="ask for it to be overwritten, or move it"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise CassetteError(f"cannot be written: {error.strerror}", where=str(path)) from error
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


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
            _sync_folder(folder)
            return target
        if filecmp.cmp(temporary, target, shallow=False):
            return target
    raise CassetteError("no name is free for a new file", where=str(folder))


def unpack(frame: bytes, size: int, *, where: str) -> bytes:
    """Return the content of one zstd frame that is known to hold `size` bytes.

    Raises:
        CassetteError: If the size or ratio passes a limit, or the frame is damaged.
    """
    import zstandard

    if size > MAX_RUN_BYTES or (size > _RATIO_FREE_BYTES and size > MAX_RATIO * len(frame)):
        raise CassetteError(
            f"a frame of {len(frame)} bytes claims {size} bytes, beyond the limits of {MAX_RUN_BYTES} bytes "
            f"and {MAX_RATIO} times",
            where=where,
            next_step="do not trust this file",
        )
    try:
        if zstandard.frame_content_size(frame) != size:
            raise CassetteError("a frame's size is not the one the index states", where=where)
        return zstandard.ZstdDecompressor().decompress(frame, max_output_size=size)
    except zstandard.ZstdError as error:
        raise CassetteError(
            f"the compressed data is damaged: {error}", where=where, next_step="take the file from a backup"
        ) from error


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
