"""AWS event streams (`application/vnd.amazon.eventstream`): parse bytes that arrive in arbitrary pieces.

Format: https://smithy.io/2.0/aws/amazon-eventstream.html. A message is

    total length (4) | headers length (4) | CRC-32 of these 8 bytes (4) | headers | payload | CRC-32 of all before (4)

all big-endian. A header is its name (1 byte of length), a type and a value. Both checksums are verified. After a wrong
one the next message cannot be found, so the parser stops there with an error.
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections.abc import Callable
from typing import Any

import msgspec

from runtime.dialects.errors import DialectError

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_OVERHEAD = _PRELUDE.size + _CRC.size
MAX_MESSAGE_BYTES = 24 * 1024 * 1024
"""Maximum size of a message; the format allows 16 MiB of payload and 128 KiB of headers."""

_FIXED: dict[int, tuple[int, Callable[[bytes], Any]]] = {
    0: (0, lambda raw: True),
    1: (0, lambda raw: False),
    2: (1, lambda raw: int.from_bytes(raw, "big", signed=True)),
    3: (2, lambda raw: int.from_bytes(raw, "big", signed=True)),
    4: (4, lambda raw: int.from_bytes(raw, "big", signed=True)),
    5: (8, lambda raw: int.from_bytes(raw, "big", signed=True)),
    8: (8, lambda raw: int.from_bytes(raw, "big", signed=True)),
    9: (16, bytes.hex),
}
"""Size and reader of each header type of fixed size; 6 (bytes) and 7 (text) have a length of two bytes."""
_BYTES, _TEXT = 6, 7


class EventMessage(msgspec.Struct, frozen=True):
    """One message: its headers by name, and its payload."""

    headers: dict[str, Any]
    payload: bytes

    def header(self, name: str) -> str:
        """Return a text header; empty if it is missing or of another type."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class EventStreamParser:
    """Collects messages from bytes as they arrive.

    Attributes:
        error: Why the stream cannot be read further; `None` if it can.
    """

    def __init__(self) -> None:
        self.error: DialectError | None = None
        self._buffer = bytearray()
        self._taken = 0

    def feed(self, chunk: bytes) -> list[EventMessage]:
        """Return the messages that this piece completes; none after an error."""
        if self.error is not None:
            return []
        self._buffer += chunk
        messages: list[EventMessage] = []
        start = 0
        try:
            while (size := self._next_size(start)) is not None:
                messages.append(_message(bytes(self._buffer[start : start + size]), self._taken + start))
                start += size
        except DialectError as error:
            self.error = error
        del self._buffer[:start]
        self._taken += start
        return messages

    def finish(self) -> None:
        """Set `error` if the stream ended inside a message."""
        if self._buffer and self.error is None:
            self.error = DialectError(
                f"the event stream ends inside a message: {len(self._buffer)} bytes at byte {self._taken}"
            )

    def _next_size(self, start: int) -> int | None:
        """Return the size of the message that begins here; `None` if it is not complete yet.

        Raises:
            DialectError: If the prelude's checksum is wrong, or its lengths are impossible.
        """
        if len(self._buffer) - start < _PRELUDE.size:
            return None
        size, headers, checksum = _PRELUDE.unpack_from(self._buffer, start)
        at = self._taken + start
        if crc32(self._buffer[start : start + 8]) != checksum:
            raise DialectError(f"no event stream: the prelude's checksum is wrong at byte {at}")
        if not _OVERHEAD + headers <= size <= MAX_MESSAGE_BYTES:
            raise DialectError(
                f"no event stream: a message of {size} bytes, {headers} of headers, at byte {at}"
            )
        return size if len(self._buffer) - start >= size else None


def parse_eventstream(body: bytes) -> tuple[list[EventMessage], DialectError | None]:
    """Return all messages of a body, and the error if the rest could not be read."""
    parser = EventStreamParser()
    messages = parser.feed(body)
    parser.finish()
    return messages, parser.error


def encode_message(headers: dict[str, str], payload: bytes) -> bytes:
    """Return a message with text headers."""
    block = b"".join(_encoded_header(name, value) for name, value in headers.items())
    size = _OVERHEAD + len(block) + len(payload)
    prelude = struct.pack(">II", size, len(block))
    whole = prelude + _CRC.pack(crc32(prelude)) + block + payload
    return whole + _CRC.pack(crc32(whole))


def _encoded_header(name: str, value: str) -> bytes:
    text = value.encode()
    return bytes([len(name)]) + name.encode() + bytes([_TEXT]) + struct.pack(">H", len(text)) + text


def _message(raw: bytes, at: int) -> EventMessage:
    size, headers, _ = _PRELUDE.unpack_from(raw)
    (checksum,) = _CRC.unpack_from(raw, size - _CRC.size)
    if crc32(raw[: size - _CRC.size]) != checksum:
        raise DialectError(f"no event stream: a message's checksum is wrong at byte {at}")
    start = _PRELUDE.size
    found = _headers(raw[start : start + headers], at)
    return EventMessage(found, raw[start + headers : size - _CRC.size])


def _headers(block: bytes, at: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    place = 0
    while place < len(block):
        name_end = place + 1 + block[place]
        name = block[place + 1 : name_end].decode("utf-8", "replace")
        kind = block[name_end] if name_end < len(block) else -1
        place = name_end + 1
        if kind in _FIXED:
            size, read = _FIXED[kind]
        elif kind in (_BYTES, _TEXT):
            size = int.from_bytes(block[place : place + 2], "big")
            place += 2
            read = bytes if kind == _BYTES else _text
        else:
            raise DialectError(
                f"no event stream: header {name!r} has type {kind} in the message at byte {at}"
            )
        if place + size > len(block):
            raise DialectError(f"no event stream: header {name!r} is cut in the message at byte {at}")
        found[name] = read(block[place : place + size])
        place += size
    return found


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
