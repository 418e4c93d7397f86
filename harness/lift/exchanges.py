"""Read recorded HTTP exchanges of any layout, in recorded order.

`harness.lift.layouts` finds method, address, headers and bodies in a file. This module decodes the bodies, parses
JSON, and recognises streams by their form.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from harness.lift import own_layout
from harness.lift.bodies import decode_body
from harness.lift.files import read_regular_file
from harness.lift.layouts import Sent, sent_exchanges
from harness.wire.http_recording import HttpFile
from runtime.dialects.errors import DialectError
from runtime.dialects.jsontext import parse_document

_SSE_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
_LINES = ("x-ndjson", "jsonlines", "x-jsonl", "stream+json")
_PROBE = 65_536


class Framing(StrEnum):
    """How a stream is divided into events."""

    SSE = "sse"
    EVENT_STREAM = "event-stream"
    JSON_ARRAY = "json-array"
    JSON_LINES = "json-lines"


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its response.

    Attributes:
        idx: Position in the file, from 0.
        method: Request method.
        url: Request URL.
        request_json: The request's body as a JSON value; `None` if it is not JSON.
        status: HTTP status; `None` if none was recorded.
        headers: Response headers, names in lower case; the last value of a repeated one.
        content: Response body without its content encoding; empty if only `reply_json` was recorded.
        reply_json: The response's body as a JSON value; `None` if it is not JSON.
        framing: How the response is streamed; `None` if it is not.
        problem: Why the response body is incomplete, if it is.
        at: Seconds since the recording began, at the sending; `None` if unknown.
        duration_s: Seconds until it ended; `None` if unknown.
    """

    idx: int
    method: str
    url: str
    request_json: Any = None
    status: int | None = None
    headers: dict[str, str] = {}
    content: bytes = b""
    reply_json: Any = None
    framing: Framing | None = None
    problem: str | None = None
    at: float | None = None
    duration_s: float | None = None


class HttpRecording(msgspec.Struct, frozen=True, kw_only=True):
    """The exchanges of one file and the file's layout.

    Attributes:
        layout: Name of the layout.
        exchanges: In recorded order.
        own: The parsed file, if it is a recording of goldrun.
    """

    layout: str
    exchanges: tuple[Exchange, ...]
    own: HttpFile | None = None


def read_exchanges(path: Path, *, bare: bool = False) -> HttpRecording:
    """Return the exchanges of a recording.

    Args:
        path: The file.
        bare: Whether a file without a known layout is a bare body, because the user stated its dialect.

    Raises:
        ImportFailed: If the file is missing, damaged, over a limit, or has no known layout.
    """
    data = read_regular_file(path)
    if data.startswith(b"{") and own_layout.is_own(path):
        return own_exchanges(own_layout.open_own(path))
    layout, sent = sent_exchanges(data, where=path.as_posix(), bare=bare)
    return HttpRecording(
        layout=layout, exchanges=tuple(_exchange(each, idx) for idx, each in enumerate(sent))
    )


def own_exchanges(file: HttpFile) -> HttpRecording:
    """Return the exchanges of one of our recordings, each under the number it has there.

    Raises:
        ImportFailed: If an answer is damaged.
    """
    sent = zip(file.exchanges, own_layout.read_own(file), strict=True)
    exchanges = tuple(_exchange(_own(own), stored.number) for stored, own in sent)
    return HttpRecording(layout=own_layout.LAYOUT, exchanges=exchanges, own=file)


def _own(own: own_layout.OwnExchange) -> Sent:
    return Sent(
        method=own.method,
        url=own.url,
        request_headers=own.request_headers,
        request_body=own.request_body,
        status=own.status,
        headers=own.headers,
        body=own.body,
        problem=own.problem,
        at=own.at,
        duration_s=own.duration_s,
    )


def _exchange(sent: Sent, idx: int) -> Exchange:
    request = sent.request_json
    if request is None and sent.request_body:
        body = decode_body(sent.request_body, sent.request_headers.get("content-encoding"))
        request = _json(body.content)
    body = decode_body(sent.body, sent.headers.get("content-encoding"))
    answer = sent.reply_json
    framing = _framing(sent.headers.get("content-type", "").lower(), body.content)
    if answer is None and framing in (None, Framing.JSON_ARRAY):
        answer = _json(body.content)
        if answer is None and _is_lines(body.content):
            framing = Framing.JSON_LINES
    elif isinstance(answer, list):
        framing = Framing.JSON_ARRAY
    return Exchange(
        idx=idx,
        method=sent.method.upper(),
        url=sent.url,
        request_json=request,
        status=sent.status,
        headers=sent.headers,
        content=body.content,
        reply_json=answer,
        framing=framing,
        problem=sent.problem or body.problem,
        at=sent.at,
        duration_s=sent.duration_s,
    )


def _json(content: bytes) -> Any:
    if not content.strip():
        return None
    try:
        return parse_document(content)
    except DialectError:
        return None


def _framing(content_type: str, content: bytes) -> Framing | None:
    """Return how a body is streamed, by its type, or by its form: recorders drop or invent types."""
    begin = content[:64].lstrip()
    if "event-stream" in content_type and "amazon" not in content_type:
        return None if begin.startswith((b"{", b"[")) else Framing.SSE
    if "amazon.eventstream" in content_type:
        return None if begin.startswith(b"{") else Framing.EVENT_STREAM
    if begin.startswith(_SSE_FIELDS):
        return Framing.SSE
    if begin.startswith(b"["):
        return Framing.JSON_ARRAY
    if content[:2] == b"\x00\x00" and b":message-type" in content[:512]:
        return Framing.EVENT_STREAM
    if any(word in content_type for word in _LINES) and content.strip():
        return Framing.JSON_LINES
    return None


def _is_lines(content: bytes) -> bool:
    """Return whether the first line of a body is JSON, for a body that is not JSON as a whole."""
    first, newline, _ = content[:_PROBE].lstrip().partition(b"\n")
    return bool(newline) and isinstance(_json(first), dict)
