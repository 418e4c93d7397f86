"""Read goldrun's own HTTP recordings as exchanges."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from harness.errors import CassetteError, ImportFailed
from harness.wire.exchange import HttpAnswer, header_value, unpack
from harness.wire.http_recording import HttpFile, StoredExchange, is_http_recording, read_http

LAYOUT = "goldrun.http/1"
_ENDS = {
    "client_closed": "the client stopped reading",
    "reset": "the connection broke off",
    "timeout": "a time limit passed",
}


class OwnExchange(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange with its bodies as they were on the wire.

    Attributes:
        method: Request method.
        url: Request URL.
        request_headers: Names in lower case.
        request_body: The bytes.
        status: HTTP status; `None` if no response began.
        headers: Response headers, names in lower case.
        body: The bytes.
        problem: Why the response is incomplete, if it is.
        at: Seconds since the recording began, at the sending; `None` if unknown.
        duration_s: Seconds until it ended; `None` if unknown.
    """

    method: str
    url: str
    request_headers: dict[str, str]
    request_body: bytes
    status: int | None
    headers: dict[str, str]
    body: bytes
    problem: str | None
    at: float | None = None
    duration_s: float | None = None


def is_own(path: Path) -> bool:
    """Return whether a file is an HTTP recording of goldrun."""
    return is_http_recording(path)


def read_own(file: HttpFile) -> Iterator[OwnExchange]:
    """Yield the exchanges of an HTTP recording of goldrun, in sending order.

    Raises:
        ImportFailed: If it is damaged.
    """
    try:
        for exchange in file.exchanges:
            yield _exchange(exchange)
    except CassetteError as error:
        raise ImportFailed(error.what, where=error.where, next_step=error.next_step) from error


def open_own(path: Path) -> HttpFile:
    """Return one of our recordings, its answers not decoded yet.

    Raises:
        ImportFailed: If it is damaged.
    """
    try:
        return read_http(path)
    except CassetteError as error:
        raise ImportFailed(error.what, where=error.where, next_step=error.next_step) from error


def _exchange(exchange: StoredExchange) -> OwnExchange:
    request, answer = exchange.request, exchange.answer
    known = answer or HttpAnswer(end="reset")
    return OwnExchange(
        method=request.method,
        url=request.url,
        request_headers={name.lower(): value for name, value in request.headers},
        request_body=unpack(request.body),
        status=known.status,
        headers={name.lower(): value for name, value in known.headers},
        body=known.content,
        problem=_problem(answer, header_value(known.headers, "content-type")),
        at=exchange.at,
        duration_s=exchange.duration_s,
    )


def _problem(answer: HttpAnswer | None, content_type: str | None) -> str | None:
    if answer is None:
        return "the recording was cut off while this exchange was in flight"
    if answer.dropped is not None:
        return f"its body was not kept: {answer.dropped}"
    words = _ENDS.get(answer.end)
    # Clients of server-sent events disconnect after the last event, so a missing end of the body loses nothing.
    if words is None or (answer.end == "client_closed" and "event-stream" in (content_type or "")):
        return None
    return (
        words
        if answer.error is None
        else f"{words}: {answer.error.type}: {answer.error.message}".rstrip(": ")
    )
