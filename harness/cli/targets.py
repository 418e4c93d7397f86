"""Resolve a command's target: a file with traces, or the request id of a recorded run."""

from __future__ import annotations

import json
from pathlib import Path

from harness.cassette.index import find_run
from harness.cassette.store import split_target
from harness.errors import CassetteError
from harness.lift.http_runs import find_http
from harness.sessions.recordings import iter_recordings
from runtime.core.trace import Trace, parse_trace
from runtime.errors import DataError, UsageError

FILE_ENDINGS = (".json", ".jsonl", ".seg")
"""A target with one of these endings is a file, not a request id, even if it does not exist."""


def load_traces(target: str) -> list[Trace]:
    """Return the traces of a target: one trace of a JSON file, or each recording in a file or folder.

    Raises:
        CassetteError: If a recording cannot be read.
        DataError: If the file is not a trace.
    """
    path, _ = split_target(target)
    if path.is_file() and path.suffix == ".json" and not path.name.endswith(".cassette.json"):
        return [_trace_file(path)]
    return [recording.trace() for recording in iter_recordings(target)]


def load_trace(target: str) -> Trace:
    """Return the only trace of a target.

    Raises:
        UsageError: If the target holds several traces.
    """
    traces = load_traces(target)
    if len(traces) != 1:
        raise UsageError(
            f"{target!r} holds {len(traces)} runs", next_step="name one of them as FILE#REQUEST_ID"
        )
    return traces[0]


def resolve_target(target: str, root: str) -> str:
    """Return the target itself, or for a request id the recording found below a root.

    Raises:
        CassetteError: If neither such a file nor such a run exists.
        UsageError: If the request id names several runs.
    """
    path, request_id = split_target(target)
    if request_id is not None or path.exists() or len(path.parts) != 1 or path.suffix in FILE_ENDINGS:
        return target
    targets = sorted(
        {one.target for one in find_run(root, target, other=find_http) if one.deleted_at is None}
    )
    if not targets:
        raise no_such_run(target, root)
    if len(targets) > 1:
        raise UsageError(
            f"{target!r} names {len(targets)} runs", where=root, next_step=f"use {', '.join(targets[:5])}"
        )
    return targets[0]


def no_such_run(request_id: str, root: str) -> CassetteError:
    """Return the error for a request id that has no recording below a root."""
    return CassetteError(
        f"no run {request_id!r} is recorded there",
        where=root,
        next_step="check the request id, or name the folder or store with `--root`",
    )


def _trace_file(path: Path) -> Trace:
    try:
        return parse_trace(json.loads(path.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"this is not a trace: {error}",
            where=str(path),
            next_step="name a cassette, a segment, or a trace made by `goldrun show --json`",
        ) from error
