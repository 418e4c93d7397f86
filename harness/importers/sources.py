"""Documents of foreign files: JSON, JSONL, each plain or gzip, read as a stream within limits."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from harness.errors import ImportFailed

SINGLE, MANY = (".json", ".json.gz"), (".jsonl", ".jsonl.gz")
MAX_DOCUMENT_BYTES = 256 * 1024 * 1024
_RETRY = "get the file again from where it came; nothing of it was imported"


class Document(msgspec.Struct, frozen=True):
    """One JSON value of a foreign file and where it stands."""

    value: Any
    where: str


def source_files(paths: list[Path]) -> Iterator[Path]:
    """Yield the files of the paths: files as they are, folders recursively and sorted.

    Raises:
        ImportFailed: If a path is not there, or a folder holds no file of a known ending.
    """
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.name.endswith((*SINGLE, *MANY)) and p.is_file())
            if not found:
                raise ImportFailed(
                    f"no file below this folder ends in {', '.join((*SINGLE, *MANY))}", where=str(path)
                )
            yield from found
        elif path.exists():
            yield path
        else:
            raise ImportFailed("there is no such file or folder", where=str(path), next_step="check the path")


def is_many(path: Path) -> bool:
    """Return whether a file holds one document a line."""
    return path.name.endswith(MANY)


def plain_stem(path: Path) -> str:
    """Return a file's name without the endings it is known by."""
    for suffix in sorted((*SINGLE, *MANY), key=len, reverse=True):
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.stem


def documents(path: Path) -> Iterator[Document]:
    """Yield the JSON values of a file; one line or the whole file is in memory at a time.

    Raises:
        ImportFailed: If the file is empty, cut off, too large, no gzip where its name says so, or no JSON.
    """
    try:
        with _open(path) as file:
            found = 0
            for document in _lines(file, path) if is_many(path) else _whole(file, path):
                found += 1
                yield document
            if not found:
                raise ImportFailed("the file is empty", where=str(path), next_step=_RETRY)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ImportFailed(f"damaged gzip: {error}", where=str(path), next_step=_RETRY) from error
    except OSError as error:
        raise ImportFailed(f"cannot be read: {error.strerror or error}", where=str(path)) from error


def _open(path: Path) -> BinaryIO:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rb")  # type: ignore[return-value]  # GzipFile is a BinaryIO in all but name
    return path.open("rb")


def _whole(file: BinaryIO, path: Path) -> Iterator[Document]:
    data = file.read(MAX_DOCUMENT_BYTES + 1)
    if data.strip():
        yield Document(_decode(data, str(path)), str(path))


def _lines(file: BinaryIO, path: Path) -> Iterator[Document]:
    number = 0
    while line := file.readline(MAX_DOCUMENT_BYTES + 1):
        number += 1
        if line.strip():
            where = f"{path}, line {number}"
            yield Document(_decode(line, where), where)


def _decode(data: bytes, where: str) -> Any:
    if len(data) > MAX_DOCUMENT_BYTES:
        raise ImportFailed(f"a document passes the limit of {MAX_DOCUMENT_BYTES} bytes", where=where)
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ImportFailed(f"damaged JSON: {error}", where=where, next_step=_RETRY) from error
