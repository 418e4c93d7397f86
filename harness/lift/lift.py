"""The door of lift: recordings become exchanges and traces (`goldrun.lift/1`)."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import ImportFailed
from harness.lift.decoding import LiftedExchange, decode_exchange, exchange_json
from harness.lift.exchanges import read_exchanges
from harness.lift.threading import thread
from harness.lift.traces import conversation_trace
from runtime.core.canonical import fingerprint
from runtime.core.trace import Trace, trace_json

SCHEMA = "goldrun.lift/1"
SUFFIXES = frozenset({".yaml", ".yml"})
"""Names of files that are taken from a folder; a file named by itself is always read."""

Progress = Callable[[int, int, str], None]
"""Told before each file: files done, files in all, and the path."""


class LiftedFile(msgspec.Struct, frozen=True, kw_only=True):
    """What one recording holds.

    Attributes:
        path: The path as it was given.
        layout: Form the recording was kept in; `None` where it could not be read.
        error: Why it could not be read, if so.
        exchanges: All exchanges, also those of other traffic.
        traces: One for each conversation.
    """

    path: str
    layout: str | None = None
    error: str | None = None
    exchanges: tuple[LiftedExchange, ...] = ()
    traces: tuple[Trace, ...] = ()


def lift_file(path: Path) -> LiftedFile:
    """Return what one recording holds.

    Raises:
        ImportFailed: If the file is missing, damaged, past a limit, or of no known layout.
    """
    recording = read_exchanges(path)
    exchanges = tuple(decode_exchange(exchange) for exchange in recording.exchanges)
    traces = tuple(
        conversation_trace(
            conversation, source_id=fingerprint([path.name, *_identity(exchanges), number])[:24]
        )
        for number, conversation in enumerate(thread(exchanges))
    )
    return LiftedFile(path=path.as_posix(), layout=recording.layout, exchanges=exchanges, traces=traces)


def lift_paths(paths: Iterable[Path], *, progress: Progress | None = None) -> dict[str, Any]:
    """Return the `goldrun.lift/1` document of files, folders and globs.

    A file that cannot be read does not stop the others; its entry says why in `error`.

    Args:
        paths: What to read, in this order; a folder stands for its YAML files, sorted.
        progress: Told before each file.
    """
    files = _expand(paths)
    entries: list[dict[str, Any]] = []
    for done, path in enumerate(files):
        if progress is not None:
            progress(done, len(files), path.as_posix())
        try:
            lifted = lift_file(path)
        except ImportFailed as error:
            lifted = LiftedFile(path=path.as_posix(), error=error.what)
        entries.append(file_json(lifted))
    return {"schema": SCHEMA, "files": entries}


def file_json(lifted: LiftedFile) -> dict[str, Any]:
    """Return the entry of a file in a `goldrun.lift/1` document."""
    return {
        "path": lifted.path,
        "dialect": lifted.layout,
        "error": lifted.error,
        "exchanges": [exchange_json(exchange) for exchange in lifted.exchanges],
        "traces": [trace_json(trace) for trace in lifted.traces],
    }


def _expand(paths: Iterable[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        elif not path.exists() and glob.has_magic(str(path)):
            files += [p for p in sorted(_matches(path)) if p.is_file()] or [path]
        else:
            files.append(path)
    return list(dict.fromkeys(files))


def _matches(pattern: Path) -> list[Path]:
    """Return what a path with wildcards stands for."""
    plain = next(i for i, part in enumerate(pattern.parts) if glob.has_magic(part))
    return list(Path(*pattern.parts[:plain]).glob(str(Path(*pattern.parts[plain:]))))


def _identity(exchanges: tuple[LiftedExchange, ...]) -> list[str]:
    """Return what the request ids are made of: the content, so that lifting twice gives the same ids."""
    return [fingerprint([e.idx, e.status, e.request, e.reply]) for e in exchanges]
