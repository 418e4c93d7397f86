"""HTTP recordings of ours as recorded runs: a view, made anew on each reading; the file keeps the exchanges."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.cassette.index import Found
from harness.lift.decoding import decode_exchange
from harness.lift.exchanges import own_exchanges
from harness.lift.lift import runs_of
from harness.lift.traces import LiftedRun
from harness.wire.http_recording import HttpFile, is_http_recording, read_http
from harness.wire.run_identity import RunIdentity
from runtime.journal.recording import Recording


def http_runs(path: Path, *, identity: RunIdentity | None = None) -> Iterator[Recording] | None:
    """Return the runs of an HTTP recording of ours, one for each conversation; `None` if the file is none.

    Args:
        path: The file.
        identity: What the runs are called where the recording does not say so.

    Raises:
        CassetteError: While iterating: if the recording is damaged.
    """
    return _runs(path, identity) if is_http_recording(path) else None


def find_http(path: Path, request_id: str) -> list[Found] | None:
    """Return the runs of an HTTP recording that a request id names; `None` if the file is no such recording.

    The recording's own request id names all its conversations.

    Raises:
        CassetteError: If the recording is damaged.
    """
    if not is_http_recording(path):
        return None
    stated = read_http(path).head.request_id
    if stated is not None and request_id != stated and not request_id.startswith(("run_", f"{stated}.")):
        return []
    return [
        Found(
            target=f"{path}#{run.header.request_id}",
            request_id=run.header.request_id,
            run_id=run.header.run_id,
            tenant=run.header.tenant,
            stop_reason=run.stop_reason,
        )
        for run in _runs(path, None)
        if request_id in {stated, run.header.request_id, run.header.run_id}
    ]


def lifted_runs(file: HttpFile, *, identity: RunIdentity | None = None) -> Iterator[LiftedRun]:
    """Yield the conversations of an HTTP recording; arguments as of `http_runs`.

    Raises:
        ImportFailed: If an answer is damaged.
    """
    recording = own_exchanges(file)
    exchanges = tuple(decode_exchange(exchange) for exchange in recording.exchanges)
    yield from runs_of(recording, exchanges, name=file.path.name, identity=identity)


def _runs(path: Path, identity: RunIdentity | None) -> Iterator[Recording]:
    for run in lifted_runs(read_http(path), identity=identity):
        yield run.recording(f"{path}#{run.header.request_id}")
