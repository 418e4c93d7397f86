"""Find the files that lift reads, and read their bytes up to a limit."""

from __future__ import annotations

import glob
import stat
import zlib
from collections.abc import Iterable
from pathlib import Path

from harness.errors import ImportFailed

_GZIP_WINDOW = 31
MAX_FILE_BYTES = 256 * 1024 * 1024
SUFFIXES = frozenset({".yaml", ".yml", ".json", ".jsonl", ".har"})
"""Suffixes of the files taken from a folder, also with `.gz`. A file that the user names is always read."""


def expand(paths: Iterable[Path]) -> dict[Path, bool]:
    """Expand files, folders and globs to files, each once, in the given order.

    Args:
        paths: A folder expands to its recordings, sorted; a path that does not exist is kept as it is.

    Returns:
        For each file, whether the user named it. The others were found in a folder and may not be recordings.
    """
    files: dict[Path, bool] = {}
    for path in paths:
        if path.is_dir():
            files |= dict.fromkeys(_inside(path), False) | files
        elif not path.exists() and glob.has_magic(str(path)):
            matches = sorted(_matches(path))
            for found in matches:
                files |= dict.fromkeys(_inside(found) if found.is_dir() else [found], False) | files
            files |= {} if matches else {path: True}
        else:
            files[path] = True
    return files


def read_regular_file(path: Path) -> bytes:
    """Return the bytes of a file, decompressed if it is a gzip file.

    Raises:
        ImportFailed: If it is missing, damaged, not a regular file, or larger than `MAX_FILE_BYTES`. A pipe or a device
            is never opened: it could block, or never end.
    """
    where = path.as_posix()
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ImportFailed("not a regular file", where=where, next_step="name a file or a folder")
        if found.st_size > MAX_FILE_BYTES:
            raise ImportFailed(
                f"the file has {found.st_size} bytes, the limit is {MAX_FILE_BYTES}",
                where=where,
                next_step="split the recording",
            )
        return _unzipped(path.read_bytes(), where)
    except OSError as error:
        raise ImportFailed(
            f"the file cannot be read: {error.strerror}", where=where, next_step="check the path"
        ) from error


def _unzipped(data: bytes, where: str) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        return data
    unzip = zlib.decompressobj(_GZIP_WINDOW)
    try:
        content = unzip.decompress(data, MAX_FILE_BYTES + 1)
    except zlib.error as error:
        raise ImportFailed(f"damaged gzip file: {error}", where=where, next_step="record it again") from error
    if len(content) > MAX_FILE_BYTES or not unzip.eof:
        reason = "is cut off" if len(content) <= MAX_FILE_BYTES else f"holds more than {MAX_FILE_BYTES} bytes"
        raise ImportFailed(f"the gzip file {reason}", where=where, next_step="record it again, or split it")
    return content


def _inside(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if _suffix(p) in SUFFIXES and p.is_file())


def _suffix(path: Path) -> str:
    """Return the suffix of a file, or of a gzip file the suffix before `.gz`."""
    name = path.name.lower().removesuffix(".gz")
    return name[name.rfind(".") :] if "." in name else ""


def _matches(pattern: Path) -> list[Path]:
    """Return the paths that match a path with wildcards."""
    plain = next(i for i, part in enumerate(pattern.parts) if glob.has_magic(part))
    return list(Path(*pattern.parts[:plain]).glob(str(Path(*pattern.parts[plain:]))))
