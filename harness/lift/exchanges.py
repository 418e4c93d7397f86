"""Recording layouts: a file becomes HTTP exchanges in recorded order.

Read so far: vcrpy's (YAML or JSON) with bodies as text, null, `!!binary` or an older `base64_string`, and the
variant with `parsed_body` in place of a body. Header values are lists or bare strings. Our own HTTP recordings,
told by their first line.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import ImportFailed
from harness.lift import own_layout
from harness.lift.bodies import decode_body
from harness.lift.safe_yaml import read_yaml
from runtime.dialects.errors import DialectError
from runtime.dialects.jsontext import parse_json

LAYOUT_VCR = "vcrpy"
LAYOUT_PARSED = "vcrpy+parsed_body"
_SSE = "text/event-stream"
_SSE_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its answer.

    Attributes:
        idx: Position in the file, from 0.
        method: Request method.
        url: Request URL.
        request_json: The request's body as a value; `None` where it is none.
        status: HTTP status; `None` where none was recorded.
        headers: Response headers, names in lower case; the last value of a repeated one.
        content: Response body without its content encoding; empty where only `reply_json` was recorded.
        reply_json: The response's body as a value; `None` where it is none.
        is_streamed: Whether the answer is a stream of server-sent events.
        problem: Why the response body is not whole, if so.
    """

    idx: int
    method: str
    url: str
    request_json: Any = None
    status: int | None = None
    headers: dict[str, str] = {}
    content: bytes = b""
    reply_json: Any = None
    is_streamed: bool = False
    problem: str | None = None


class HttpRecording(msgspec.Struct, frozen=True, kw_only=True):
    """The exchanges of one file and the layout they were kept in."""

    layout: str
    exchanges: tuple[Exchange, ...]


def read_exchanges(path: Path) -> HttpRecording:
    """Return the exchanges of a recording.

    Raises:
        ImportFailed: If the file is missing, damaged, past a limit, or of no known layout.
    """
    if own_layout.is_own(path):
        own = enumerate(own_layout.read_own(path))
        return HttpRecording(layout=own_layout.LAYOUT, exchanges=tuple(_own(each, idx) for idx, each in own))
    document = read_yaml(path)
    where = path.as_posix()
    interactions = document.get("interactions") if isinstance(document, dict) else None
    if not isinstance(interactions, list):
        raise ImportFailed(
            "not a recording of a known layout: no list `interactions`",
            where=where,
            next_step="known layouts: vcrpy YAML, also with `parsed_body`, and our HTTP recordings",
        )
    exchanges = tuple(_exchange(raw, idx, where) for idx, raw in enumerate(interactions))
    parsed = any("parsed_body" in side for raw in interactions for side in (raw["request"], raw["response"]))
    return HttpRecording(layout=LAYOUT_PARSED if parsed else LAYOUT_VCR, exchanges=exchanges)


def _exchange(raw: Any, idx: int, where: str) -> Exchange:
    request = raw.get("request") if isinstance(raw, dict) else None
    response = raw.get("response") if isinstance(raw, dict) else None
    if not isinstance(request, dict) or not isinstance(response, dict):
        raise ImportFailed(
            f"interactions[{idx}] lacks a request or a response", where=where, next_step="record it again"
        )
    headers = _headers(response.get("headers"))
    request_headers = _headers(request.get("headers"))
    asked = request.get("parsed_body")
    if asked is None:
        sent = decode_body(_bytes(request.get("body")), request_headers.get("content-encoding"))
        asked = _json(sent.content)
    body = decode_body(_bytes(response.get("body")), headers.get("content-encoding"))
    streamed = _is_stream(headers, body.content)
    answer = response.get("parsed_body")
    if answer is None and not streamed:
        answer = _json(body.content)
    return Exchange(
        idx=idx,
        method=str(request.get("method") or "").upper(),
        url=str(request.get("uri") or ""),
        request_json=asked,
        status=_status(response.get("status")),
        headers=headers,
        content=body.content,
        reply_json=answer,
        is_streamed=streamed,
        problem=body.problem,
    )


def _own(own: own_layout.OwnExchange, idx: int) -> Exchange:
    sent = decode_body(own.request_body, own.request_headers.get("content-encoding"))
    body = decode_body(own.body, own.headers.get("content-encoding"))
    streamed = _is_stream(own.headers, body.content)
    return Exchange(
        idx=idx,
        method=own.method,
        url=own.url,
        request_json=_json(sent.content),
        status=own.status,
        headers=own.headers,
        content=body.content,
        reply_json=None if streamed else _json(body.content),
        is_streamed=streamed,
        problem=own.problem or body.problem,
    )


def _bytes(body: Any) -> bytes:
    """Return the bytes of a body in any of the forms recorders write."""
    match body:
        case bytes():
            return body
        case str():
            return body.encode("utf-8", "surrogatepass")
        case {"string": inner}:
            return _bytes(inner)
        case {"base64_string": str(text)}:
            try:
                return base64.b64decode(text)
            except (binascii.Error, ValueError):
                return b""
        case dict() | list() if body:
            return msgspec.json.encode(body)
        case _:
            return b""


def _json(content: bytes) -> Any:
    if not content.strip():
        return None
    try:
        return parse_json(content)
    except DialectError:
        return None


def _headers(raw: Any) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in raw.items() if isinstance(raw, dict) else ():
        last = value[-1] if isinstance(value, list) and value else value
        if isinstance(last, bytes):
            last = last.decode("latin-1")
        if isinstance(last, (str, int, float)):
            headers[str(name).lower()] = str(last)
    return headers


def _status(raw: Any) -> int | None:
    code = raw.get("code") if isinstance(raw, dict) else raw
    if isinstance(code, str) and code.isascii() and code.isdigit():
        return int(code[:6])
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def _is_stream(headers: dict[str, str], content: bytes) -> bool:
    begin = content[:64].lstrip()
    if _SSE in headers.get("content-type", "").lower():
        return not begin.startswith((b"{", b"["))
    # Recorders that drop headers keep the body's form.
    return begin.startswith(_SSE_FIELDS)
