"""HTTP exchanges as values: what was sent, what came back chunk by chunk, and how it ended.

None of them can be part of a reference cycle, so the garbage collector skips them (`gc=False`): a recording holds many.
"""

from __future__ import annotations

import base64
import binascii
from typing import Literal

import msgspec

End = Literal["done", "client_closed", "reset", "timeout"]
"""How an exchange ended: whole, by its client, by a broken connection, by a time limit."""
ErrorPhase = Literal["connect", "send", "read", "other"]
Headers = tuple[tuple[str, str], ...]


class Encoded(msgspec.Struct, frozen=True, gc=False):
    """Bytes that are no UTF-8 text."""

    base64: str


Stored = str | Encoded | None
"""Bytes as they stand in a file: text where they are UTF-8, else base64; `None` for none."""


def pack(data: bytes) -> Stored:
    """Return the stored form of some bytes."""
    if not data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Encoded(base64.b64encode(data).decode())


def unpack(stored: Stored) -> bytes:
    """Return the bytes of a stored form.

    Raises:
        ValueError: If the base64 is damaged.
    """
    match stored:
        case None:
            return b""
        case str():
            return stored.encode()
        case Encoded():
            try:
                return base64.b64decode(stored.base64, validate=True)
            except binascii.Error as error:
                raise ValueError(f"damaged base64: {error}") from error


class SentRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request as a client is about to send it.

    Attributes:
        stack: Client library, for example `httpx`.
        method: Upper-case method.
        url: Absolute URL.
        headers: Names as sent, in order.
        body: The bytes.
    """

    stack: str
    method: str
    url: str
    headers: Headers = ()
    body: bytes = b""


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A request as it stands in a file.

    Attributes:
        method: Upper-case method.
        url: Absolute URL.
        headers: In order; a repeated name stands repeatedly.
        body: The body.
        dropped: Why the body was left out, if it was.
        identity: Tags of the headers that tell users apart, by name in lower case; see `match_form.identity_tag`.
    """

    method: str
    url: str
    headers: Headers = ()
    body: Stored = None
    dropped: str | None = None
    identity: dict[str, str] = {}


class HttpError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a client raised.

    Attributes:
        type: Name of its class.
        phase: What the client was doing.
        message: Its text.
    """

    type: str
    phase: ErrorPhase = "other"
    message: str = ""


class HttpAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What came back, as it stands in a file.

    Attributes:
        status: HTTP status; `None` if no answer began.
        reason: Reason phrase.
        headers: In order; a repeated name stands repeatedly.
        chunks: Seconds since the request was sent, and the bytes, for each piece the client was given.
        end: How it ended.
        error: What the client raised, if it did.
        dropped: Why the body was left out, if it was.
    """

    status: int | None = None
    reason: str = ""
    headers: Headers = ()
    chunks: tuple[tuple[float, Stored], ...] = ()
    end: End
    error: HttpError | None = None
    dropped: str | None = None

    @property
    def content(self) -> bytes:
        """The body as it came over the wire."""
        return b"".join(unpack(stored) for _, stored in self.chunks)


def header_value(headers: Headers, name: str) -> str | None:
    """Return the last value of a header, by its lower-case name."""
    found = None
    for key, value in headers:
        if key.lower() == name:
            found = value
    return found
