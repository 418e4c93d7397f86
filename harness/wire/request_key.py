"""What makes two requests the same: method, URL and body, after redaction, whatever the order of JSON fields.

A key is the fingerprint of `[method, url, body]`. Pseudonyms count as one word: which number a secret got depends
on what else was recorded. Headers are never part of it; they hold versions, retries, dates and ids.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import orjson

from harness.wire.exchange import Encoded, HttpRequest, header_value
from runtime.core.canonical import fingerprint

PSEUDONYM = re.compile(r"<secret[#:][0-9A-Za-z_-]{1,64}>")
"""What stands for a secret in a recording, in either form."""
_BOUNDARY = re.compile(r"multipart/[^;]+;.*?boundary=\"?(?P<text>[^\";,]+)", re.IGNORECASE)
_MARK = "<secret>"


def request_key(request: HttpRequest) -> str:
    """Return the fingerprint of what a request asks."""
    return fingerprint([request.method, level(request.url), body_form(request)])


def raw_digest(method: str, url: str, body: bytes) -> bytes:
    """Return the digest of a request's own bytes, which needs no reading of the body."""
    return hashlib.sha256(
        b"%b %b\n%b" % (method.encode(), url.encode("utf-8", "surrogatepass"), body)
    ).digest()


def body_form(request: HttpRequest) -> list[Any]:
    """Return a body as what is compared: its JSON value, else its text, else its bytes in base64."""
    body = request.body
    if body is None or body == "":
        return ["none"]
    if isinstance(body, Encoded):
        return ["bytes", body.base64]
    text = level(body)
    if text.lstrip()[:1] in {"{", "["}:
        try:
            return ["json", orjson.loads(text)]
        except orjson.JSONDecodeError:
            pass
    boundary = _BOUNDARY.search(header_value(request.headers, "content-type") or "")
    return ["text", text.replace(boundary["text"], "boundary") if boundary else text]


def level(text: str) -> str:
    """Return a text with every pseudonym as the same word."""
    return PSEUDONYM.sub(_MARK, text) if "<secret" in text else text
