"""The entry point of lift: turn recordings into exchanges and traces (`goldrun.lift/1`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import ImportFailed
from harness.lift.codecs import DIALECTS
from harness.lift.decoding import LiftedExchange, decode_exchange, exchange_json
from harness.lift.exchanges import HttpRecording, read_exchanges
from harness.lift.files import expand
from harness.lift.layouts import NOT_A_RECORDING
from harness.lift.threading import thread
from harness.lift.traces import LiftedRun, RunNames, conversation_run
from harness.wire.run_identity import RunIdentity
from runtime.core.canonical import fingerprint
from runtime.core.messages import ModelReply
from runtime.core.trace import Trace, trace_json
from runtime.errors import UsageError

SCHEMA = "goldrun.lift/1"

Progress = Callable[[int, int, str], None]
"""Progress callback, called before each file with the files done, all files, and the path."""


class LiftedFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of one recording.

    Attributes:
        path: The path as it was given.
        layout: The recording's layout; `None` if it could not be read.
        error: Why it could not be read, if it could not.
        skipped: Why it was skipped: it was found in a folder, is readable, and is not a recording.
        exchanges: All exchanges, including those that are not model calls.
        traces: One trace for each conversation.
    """

    path: str
    layout: str | None = None
    error: str | None = None
    skipped: str | None = None
    exchanges: tuple[LiftedExchange, ...] = ()
    traces: tuple[Trace, ...] = ()


def lift_file(path: Path, *, dialect: str | None = None) -> LiftedFile:
    """Lift one recording.

    Args:
        path: The recording.
        dialect: A name of `DIALECTS`, for endpoints whose URL does not reveal it, and for bare bodies.

    Raises:
        ImportFailed: If the file is missing, damaged, over a limit, or has no known layout.
        UsageError: If there is no such dialect.
    """
    check_dialect(dialect)
    recording = read_exchanges(path, bare=dialect is not None)
    exchanges = tuple(decode_exchange(exchange, dialect) for exchange in recording.exchanges)
    traces = tuple(run.trace() for run in runs_of(recording, exchanges, name=path.name))
    return LiftedFile(path=path.as_posix(), layout=recording.layout, exchanges=exchanges, traces=traces)


def runs_of(
    recording: HttpRecording,
    exchanges: tuple[LiftedExchange, ...],
    *,
    name: str,
    identity: RunIdentity | None = None,
) -> Iterator[LiftedRun]:
    """Yield the conversations of a recording as runs.

    Those of one of our recordings are `<request id>.<number of the first exchange>`, whatever else a later version
    reads in it; a recording that was not given a request id has one of its content.

    Args:
        recording: The recording.
        exchanges: What its exchanges mean.
        name: Name of the file.
        identity: What the runs are called where the recording does not say so.
    """
    conversations = thread(exchanges)
    said = _identity(exchanges) if conversations else []
    if recording.own is None:
        for number, conversation in enumerate(conversations):
            request_id = f"req_{fingerprint([name, *said, number])[:24]}"
            yield conversation_run(
                conversation, RunNames(request_id=request_id, identity=identity or RunIdentity())
            )
        return
    head = recording.own.head
    root = head.request_id or f"req_{fingerprint(said)[:24]}"
    for conversation in conversations:
        first = conversation.turns[0].attempts[0].exchange.idx
        names = RunNames(
            request_id=f"{root}.{first}",
            identity=head.filled(identity),
            started_at=head.started_at,
            redaction="none" if head.redaction == "none" else "default",
        )
        yield conversation_run(conversation, names)


def check_dialect(dialect: str | None) -> None:
    """Check a stated dialect.

    Raises:
        UsageError: If there is no such dialect.
    """
    if dialect is not None and dialect not in DIALECTS:
        raise UsageError(
            f"{dialect!r} is no dialect",
            where="--dialect",
            next_step=f"name one of {', '.join(sorted(DIALECTS))}",
        )


def iter_lifted(
    paths: Iterable[Path], *, dialect: str | None = None, progress: Progress | None = None
) -> Iterator[LiftedFile]:
    """Lift files, folders and globs, one file at a time, so that memory stays flat.

    A file that cannot be read does not stop the others: its `error` says why. A file of a folder that is not a
    recording is yielded with the reason in `skipped`.

    Args:
        paths: The paths to read, in this order; a folder expands to its recordings, sorted.
        dialect: As in `lift_file`.
        progress: Called before each file.
    """
    files = expand(paths)
    for done, (path, is_named) in enumerate(files.items()):
        if progress is not None:
            progress(done, len(files), path.as_posix())
        try:
            yield lift_file(path, dialect=dialect)
        except ImportFailed as error:
            if error.what == NOT_A_RECORDING and not is_named:
                yield LiftedFile(path=path.as_posix(), skipped=error.what)
            else:
                yield LiftedFile(path=path.as_posix(), error=error.what)


def lift_paths(
    paths: Iterable[Path], *, dialect: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Return the `goldrun.lift/1` document of files, folders and globs; the arguments are those of `iter_lifted`."""
    lifted = iter_lifted(paths, dialect=dialect, progress=progress)
    return {"schema": SCHEMA, "files": [file_json(each) for each in lifted]}


def file_json(lifted: LiftedFile) -> dict[str, Any]:
    """Return the entry of a file in a `goldrun.lift/1` document."""
    return {
        "path": lifted.path,
        "dialect": lifted.layout,
        "error": lifted.error,
        "skipped": lifted.skipped,
        "ignored": sum(exchange.is_ignored for exchange in lifted.exchanges),
        "unknown": unknown_endpoints(lifted),
        "exchanges": [exchange_json(exchange) for exchange in lifted.exchanges],
        "traces": [trace_json(trace) for trace in lifted.traces],
    }


def unknown_endpoints(lifted: LiftedFile) -> list[str]:
    """Return the endpoints that may be a model's but could not be decoded, each once."""
    return sorted(
        {
            f"{exchange.endpoint.provider} {exchange.endpoint.name}"
            for exchange in lifted.exchanges
            if not exchange.is_ignored
            and exchange.request is None
            and exchange.reply is None
            and exchange.failure is None
        }
    )


def _identity(exchanges: tuple[LiftedExchange, ...]) -> list[str]:
    """Return the input of the request ids. It is the content only, so that lifting twice gives the same ids."""
    return [fingerprint([e.idx, e.status, e.request, _as_stated(e)]) for e in exchanges]


def _as_stated(exchange: LiftedExchange) -> ModelReply | None:
    """Return a reply without a computed price, because price tables change and recordings do not."""
    if exchange.reply is None or exchange.is_cost_stated:
        return exchange.reply
    return msgspec.structs.replace(exchange.reply, cost_nanousd=None)
