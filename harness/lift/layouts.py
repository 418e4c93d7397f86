"""Recording layouts: recognise a file's layout by its content, not by its name, and read its exchanges.

| layout | recognised by | written by |
| --- | --- | --- |
| `vcrpy` | `interactions` with `request.uri` | vcrpy, pytest-recording, also as JSON |
| `vcrpy+parsed_body` | the same, with `parsed_body` instead of a body | Pydantic AI |
| `vcrpy+requests` | `requests` and `responses` of equal length | LangChain |
| `go-vcr/1`, `go-vcr/2` | `interactions` with `request.url`, `version` | go-vcr: https://github.com/dnaeon/go-vcr |
| `ruby-vcr` | `http_interactions` | VCR: https://benoittgt.github.io/vcr, also its ports to other languages |
| `har` | `log.entries` | HTTP Archive 1.2: http://www.softwareishard.com/blog/har-12-spec; also Polly.JS |
| `exchange` | `request` and `response`: one pair, a list, or one pair a line | hand-made fixtures |
| `bare` | nothing; the user must state the dialect | a file with one body |

Bodies are text, bytes (`!!binary`, Ruby's `!binary`), base64 (`base64_string`, `encoding: base64`) or JSON values.
Header values are lists or bare strings.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from harness.errors import ImportFailed
from harness.lift.safe_yaml import parse_yaml
from runtime.dialects.errors import DialectError
from runtime.dialects.jsontext import parse_document

NOT_A_RECORDING = "not a recording of a known layout"
"""The problem of a readable file that holds something else."""

_NEXT = (
    "known layouts: vcrpy, go-vcr, Ruby VCR, HAR, {request, response}, our HTTP recordings; "
    "a body by itself needs --dialect"
)


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange as a recorder wrote it.

    Attributes:
        method: Request method.
        url: Request URL.
        request_headers: Names in lower case.
        request_body: The bytes.
        request_json: The body as a JSON value, if the recorder wrote it so.
        status: HTTP status; `None` if none was recorded.
        headers: Response headers, names in lower case.
        body: The bytes.
        reply_json: The body as a JSON value, if the recorder wrote it so.
        problem: Why the response is incomplete, if it is.
        at: Seconds since the recording began, at the sending; `None` if unknown.
        duration_s: Seconds until it ended; `None` if unknown.
    """

    method: str = "POST"
    url: str = ""
    request_headers: dict[str, str] = {}
    request_body: bytes = b""
    request_json: Any = None
    status: int | None = None
    headers: dict[str, str] = {}
    body: bytes = b""
    reply_json: Any = None
    problem: str | None = None
    at: float | None = None
    duration_s: float | None = None


def sent_exchanges(data: bytes, *, where: str, bare: bool) -> tuple[str, list[Sent]]:
    """Return the name of a file's layout and its exchanges.

    Args:
        data: The file's bytes.
        where: The file's path, for messages.
        bare: Whether a file without a known layout is a bare body.

    Raises:
        ImportFailed: If it is damaged or has no known layout.
    """
    try:
        document = _document(data, where)
        found = _by_form(document, where)
    except ImportFailed:
        if not bare:
            raise
        return "bare", [Sent(body=data)]
    if found is not None:
        return found
    if bare:
        return "bare", [Sent(body=data)]
    raise ImportFailed(NOT_A_RECORDING, where=where, next_step=_NEXT)


def _document(data: bytes, where: str) -> Any:
    """Parse a file: JSON, one JSON value a line, or YAML."""
    begin = data[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not begin.startswith((b"{", b"[")):
        return parse_yaml(data, where=where)
    text = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return parse_document(text)
    except DialectError as error:
        reason = error
    first, newline, rest = text.partition(b"\n")
    if newline and rest.strip() and begin.startswith(b"{"):
        try:
            parse_document(first)
        except DialectError:
            pass
        else:
            return _lines(text, where)
    try:
        return parse_yaml(data, where=where)  # flow style, or JSON with comments
    except ImportFailed:
        raise ImportFailed(
            f"damaged JSON: {reason.what}", where=where, next_step="check the file, or record it again"
        ) from reason


def _lines(text: bytes, where: str) -> list[Any]:
    values: list[Any] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values.append(parse_document(line))
        except DialectError as error:
            raise ImportFailed(
                f"damaged JSON: {error.what}", where=f"{where}:{number}", next_step="record it again"
            ) from error
    return values


def _by_form(document: Any, where: str) -> tuple[str, list[Sent]] | None:
    match document:
        case {"interactions": list(raws)}:
            return _interactions(document, raws, where)
        case {"interactions": None, "version": _}:
            return "vcrpy", []
        case {"requests": list(sent), "responses": list(answered)} if len(sent) == len(answered):
            pairs = [{"request": a, "response": b} for a, b in zip(sent, answered, strict=True)]
            return "vcrpy+requests", [_vcr(raw, f"requests[{i}]", where) for i, raw in enumerate(pairs)]
        case {"http_interactions": list(raws)}:
            return "ruby-vcr", [_vcr(raw, f"http_interactions[{i}]", where) for i, raw in enumerate(raws)]
        case {"log": {"entries": list(raws)}}:
            return "har", [_har(raw, f"log.entries[{i}]", where) for i, raw in enumerate(raws)]
        case {"request": _, "response": _}:
            return "exchange", [_plain(document, "the exchange", where)]
        case [{"request": _, "response": _}, *_]:
            return "exchange", [_plain(raw, f"[{i}]", where) for i, raw in enumerate(document)]
        case _:
            return None


def _interactions(document: dict[str, Any], raws: list[Any], where: str) -> tuple[str, list[Sent]]:
    sides = [_sides(raw, f"interactions[{i}]", where) for i, raw in enumerate(raws)]
    sent = [_vcr(raw, f"interactions[{i}]", where) for i, raw in enumerate(raws)]
    if sides and all("url" in request and "uri" not in request for request, _ in sides):
        return f"go-vcr/{document.get('version', 1)}", sent
    parsed = any("parsed_body" in side for pair in sides for side in pair)
    return "vcrpy+parsed_body" if parsed else "vcrpy", sent


def _sides(raw: Any, place: str, where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    request = raw.get("request") if isinstance(raw, dict) else None
    response = raw.get("response") if isinstance(raw, dict) else None
    if not isinstance(request, dict) or not isinstance(response, dict):
        raise ImportFailed(f"{place} lacks a request or a response", where=where, next_step="record it again")
    return request, response


def _vcr(raw: Any, place: str, where: str) -> Sent:
    """Return an interaction of vcrpy, go-vcr or Ruby VCR."""
    request, response = _sides(raw, place, where)
    return Sent(
        method=_method(request),
        url=str(request.get("uri") or request.get("url") or ""),
        request_headers=headers_of(request.get("headers")),
        request_body=body_bytes(request.get("body")),
        request_json=request.get("parsed_body"),
        status=_status(response),
        headers=headers_of(response.get("headers")),
        body=body_bytes(response.get("body")),
        reply_json=response.get("parsed_body"),
    )


def _har(raw: Any, place: str, where: str) -> Sent:
    request, response = _sides(raw, place, where)
    posted, content = _mapping(request.get("postData")), _mapping(response.get("content"))
    headers = headers_of(response.get("headers"))
    if "mimeType" in content:
        headers.setdefault("content-type", str(content["mimeType"]))
    status = _status(response)
    return Sent(
        method=_method(request),
        url=str(request.get("url") or ""),
        request_headers=headers_of(request.get("headers")),
        request_body=_har_bytes(posted),
        status=status or None,
        headers=headers,
        body=_har_bytes(content),
        problem=None if status else f"no answer was recorded: {response.get('_error') or 'status 0'}",
    )


def _har_bytes(content: dict[str, Any]) -> bytes:
    """Return a body of a HAR file. It may be base64, or a JSON list of pieces (compressed bodies of Polly.JS)."""
    text = content.get("text")
    if not isinstance(text, str):
        return b""
    if content.get("encoding") != "base64":
        return text.encode("utf-8", "surrogatepass")
    if text.startswith("["):
        try:
            pieces = parse_document(text)
        except DialectError:
            return b""
        return b"".join(_unbase64(piece) for piece in pieces if isinstance(piece, str))
    return _unbase64(text)


def _plain(raw: Any, place: str, where: str) -> Sent:
    """Return an exchange with plain fields for request and response, or one that consists of the two bodies."""
    request, response = _sides(raw, place, where)
    if not any(name in request for name in ("url", "uri")):
        return Sent(request_json=request, reply_json=response, status=_status(response))
    sent, answered = _plain_body(request), _plain_body(response)
    return Sent(
        method=_method(request),
        url=str(request.get("url") or request.get("uri") or ""),
        request_headers=headers_of(request.get("headers")),
        request_body=body_bytes(sent) if not isinstance(sent, (dict, list)) else b"",
        request_json=sent if isinstance(sent, (dict, list)) else None,
        status=_status(response),
        headers=headers_of(response.get("headers")),
        body=b"" if isinstance(answered, (dict, list)) else body_bytes(answered),
        reply_json=answered if isinstance(answered, (dict, list)) else None,
    )


def _plain_body(side: dict[str, Any]) -> Any:
    names = ("json", "parsed_body", "body", "content", "data", "text")
    found = next((side[name] for name in names if side.get(name) is not None), None)
    match found:
        case {"string": _} | {"base64_string": _}:
            return body_bytes(found)
        case [str(), *_] if all(isinstance(each, str) for each in found):
            # A stream in pieces: its chunks with their line ends, or its lines without them.
            return ("" if any("\n" in each for each in found) else "\n").join(found)
        case _:
            return found


def body_bytes(body: Any) -> bytes:
    """Return the bytes of a body in any form that recorders write."""
    match body:
        case bytes():
            return body
        case str():
            return body.encode("utf-8", "surrogatepass")
        case {"string": inner}:
            return body_bytes(inner)
        case {"base64_string": str(text)}:
            return _unbase64(text)
        case dict() | list() if body:
            return msgspec.json.encode(body)
        case _:
            return b""


def headers_of(raw: Any) -> dict[str, str]:
    """Return headers with names in lower case, from a mapping, pairs, or `{name, value}` objects."""
    headers: dict[str, str] = {}
    for name, value in raw.items() if isinstance(raw, dict) else _header_pairs(raw):
        last = value[-1] if isinstance(value, list) and value else value
        if type(last) is str:
            headers[str(name).lower()] = last
            continue
        if isinstance(last, bytes):
            last = last.decode("latin-1")
        if isinstance(last, (str, int, float)):
            headers[str(name).lower()] = str(last)
    return headers


def _header_pairs(raw: Any) -> list[tuple[Any, Any]]:
    pairs: list[tuple[Any, Any]] = []
    for each in raw if isinstance(raw, list) else ():
        match each:
            case {"name": name, "value": value} | [name, value]:
                pairs.append((name, value))
            case _:
                pass
    return pairs


def _method(request: dict[str, Any]) -> str:
    """Return the method; Ruby writes it as a symbol (`:post`)."""
    return str(request.get("method") or "POST").lstrip(":").upper()


def _status(response: dict[str, Any]) -> int | None:
    """Return the status: a number, text (`200 OK`), or an object with a code."""
    for name in ("code", "status_code", "statusCode", "status"):
        code = response.get(name)
        if isinstance(code, dict):
            code = code.get("code")
        if isinstance(code, str):
            digits = code.split(" ", 1)[0]
            code = int(digits[:6]) if digits.isascii() and digits.isdigit() else None
        if isinstance(code, int) and not isinstance(code, bool):
            return code
    return None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        return b""
