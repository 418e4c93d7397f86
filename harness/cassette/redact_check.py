"""Looks for secrets in files that were written: recordings, reports, JSON and text, also compressed.

A finding names file, record and rule, never the secret. Files are read piece by piece; what cannot be scanned is a
finding too.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from harness.cassette.file_io import refuse_special
from harness.cassette.segment import read_segment
from harness.errors import CassetteError
from harness.redaction.redactor import Redactor
from runtime.journal.records import encode_payload

_PIECE_BYTES = 8 << 20
_OVERLAP_BYTES = 64 << 10
"""A secret on the border of two pieces is whole in one of them."""
_MAX_LINE_BYTES = 64 << 20
_MAX_UNPACKED_BYTES = 4 << 30
_LINES = (".jsonl", ".ndjson")
_SKIPPED = frozenset({".git", ".venv", "__pycache__", "node_modules"})


class SecretFinding(msgspec.Struct, frozen=True, kw_only=True):
    """Secrets of one kind in one record.

    Attributes:
        file: The file.
        record: The place in it: a line, a row, a run and record, or a field.
        rule: What found it; `dropped` for what could not be scanned.
        count: How many.
    """

    file: str
    record: str
    rule: str
    count: int


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found.

    Attributes:
        files: Files that were read.
        findings: In order of files.
    """

    files: int
    findings: tuple[SecretFinding, ...]


def check_secrets(
    path: str | Path, *, make: Callable[[], Redactor] = Redactor, most: int = 10_000
) -> CheckReport:
    """Look for secrets in a file or in all files below a folder.

    Args:
        path: The file or folder.
        make: Makes the redactor that says what a secret is, one for each record.
        most: Findings after which the check ends.

    Raises:
        CassetteError: If the path is missing, or a recording or compressed file is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise CassetteError("there is no such file or folder", where=str(path), next_step="check the path")
    refuse_special(path)
    files = (
        [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if _is_searched(file, path)]
    )
    findings: list[SecretFinding] = []
    for file in files:
        for record, item in _records(file):
            counts = _counts(item, make())
            findings += [
                SecretFinding(file=str(file), record=record, rule=rule, count=count)
                for rule, count in sorted(counts.items())
            ]
            if len(findings) >= most:
                return CheckReport(files=len(files), findings=tuple(findings))
    return CheckReport(files=len(files), findings=tuple(findings))


def _is_searched(file: Path, root: Path) -> bool:
    return file.is_file() and not file.is_symlink() and not _SKIPPED & set(file.relative_to(root).parts)


def _counts(item: Any, redactor: Redactor) -> dict[str, int]:
    if isinstance(item, bytes):
        redactor.text(item.decode("utf-8", "replace"))
    else:
        redactor.value(item)
        _read_lists(item, redactor)
    return redactor.counts


def _read_lists(item: Any, redactor: Redactor) -> None:
    """Look at lists of lines as the text they are: a cassette keeps long texts so."""
    stack = [item]
    while stack:
        inner = stack.pop()
        if isinstance(inner, dict):
            stack += inner.values()
        elif isinstance(inner, list):
            if len(inner) > 1 and all(isinstance(line, str) for line in inner):
                redactor.text("\n".join(line.rstrip("\n") for line in inner))
            else:
                stack += inner


def _records(file: Path) -> Iterator[tuple[str, Any]]:
    """Yield the records of a file with their places."""
    name = file.name
    try:
        if name.endswith(".seg"):
            yield from _segment(file)
        elif name.endswith(".parquet"):
            yield from _parquet(file)
        else:
            kind = name.removesuffix(".gz").removesuffix(".zst")
            with _opened(file) as stream:
                if kind.endswith(_LINES):
                    yield from _lines(stream, str(file))
                elif kind.endswith(".json"):
                    yield from _json(stream)
                else:
                    yield from _text(stream)
    except (OSError, EOFError, zlib.error) as error:
        raise CassetteError(f"cannot be read: {error}", where=str(file)) from error


def _opened(file: Path) -> BinaryIO:
    if file.name.endswith(".gz"):
        return gzip.open(file, "rb")  # type: ignore[return-value]  # typed as GzipFile, which reads as one
    if file.name.endswith(".zst"):
        import zstandard

        return zstandard.open(file, "rb")  # type: ignore[no-any-return]  # zstandard has no types
    return file.open("rb")


def _segment(file: Path) -> Iterator[tuple[str, Any]]:
    segment = read_segment(file)
    yield "footer", msgspec.to_builtins([*segment.runs, *segment.tombstones])
    for run in segment.runs:
        for record in segment.records(run):
            yield f"{run.request_id}, record {record.seq}", msgspec.json.decode(encode_payload(record))


def _parquet(file: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        opened = pyarrow.parquet.ParquetFile(file)
        yield "metadata", _plain_metadata(opened.schema_arrow.metadata)
        number = 0
        for batch in opened.iter_batches(batch_size=1024):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", row
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise CassetteError(f"the Parquet file is damaged: {error}", where=str(file)) from error


def _plain_metadata(metadata: dict[bytes, bytes] | None) -> dict[str, str]:
    return {
        key.decode("utf-8", "replace"): value.decode("utf-8", "replace")
        for key, value in (metadata or {}).items()
    }


def _lines(stream: BinaryIO, where: str) -> Iterator[tuple[str, Any]]:
    number = total = 0
    while line := stream.readline(_MAX_LINE_BYTES):
        number += 1
        total += len(line)
        if total > _MAX_UNPACKED_BYTES:
            raise CassetteError(f"it unpacks to more than {_MAX_UNPACKED_BYTES} bytes", where=where)
        yield f"line {number}", _parsed(line)


def _json(stream: BinaryIO) -> Iterator[tuple[str, Any]]:
    data = stream.read(_MAX_LINE_BYTES + 1)
    value = _parsed(data) if len(data) <= _MAX_LINE_BYTES else data
    if isinstance(value, bytes):
        yield "text", data
        rest = stream
        yield from _text(rest)
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, list) and item and all(isinstance(entry, dict | list) for entry in item):
                yield from ((f"{key}[{at}]", entry) for at, entry in enumerate(item))
            else:
                yield key, {key: item}
    else:
        yield "document", value


def _parsed(data: bytes) -> Any:
    """Return the value of JSON, or the bytes where they are none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data


def _text(stream: BinaryIO) -> Iterator[tuple[str, Any]]:
    at = total = 0
    rest = b""
    while piece := stream.read(_PIECE_BYTES):
        total += len(piece)
        if total > _MAX_UNPACKED_BYTES:
            raise CassetteError(f"it unpacks to more than {_MAX_UNPACKED_BYTES} bytes")
        yield f"byte {at - len(rest)} and on", rest + piece
        at += len(piece)
        rest = piece[-_OVERLAP_BYTES:]
