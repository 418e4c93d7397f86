"""The bytes of a provider's answer, decompressed under a limit.

Rules.
1. At most `MAX_ANSWER_BYTES` after decompression: half a megabyte of gzip can say five hundred.
2. Only encodings that unpack piece by piece are requested, so that no single piece passes the limit either.
   An answer in another encoding is refused, because it cannot be bounded.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator

from runtime.dialects.errors import DialectError

MAX_ANSWER_BYTES = 16 << 20
ACCEPT_ENCODING = "gzip, deflate"
_PIECE_BYTES = 1 << 18
_HEADER_BYTES = 2
"""A zlib header: method and flags, divisible by 31 together (RFC 1950)."""
_GZIP_OR_ZLIB, _RAW_DEFLATE = zlib.MAX_WBITS | 32, -zlib.MAX_WBITS


class AnswerTooLarge(DialectError):
    """An answer that passes the limit of bytes."""


async def bounded(
    raw: AsyncIterator[bytes], encoding: str | None, *, limit: int = MAX_ANSWER_BYTES
) -> AsyncIterator[bytes]:
    """Yield the decompressed bytes of an answer, in pieces of at most 256 KiB where it was compressed.

    Args:
        raw: The body as it came over the wire.
        encoding: Its `Content-Encoding`; `None` and `identity` for none.
        limit: Most decompressed bytes.

    Raises:
        AnswerTooLarge: At the first byte past the limit.
        DialectError: If the encoding was not requested, or the body is not in it.
    """
    unpack = _unpacker(encoding)
    total = 0
    async for chunk in raw:
        for piece in (chunk,) if unpack is None else unpack.pieces(chunk):
            total += len(piece)
            if total > limit:
                raise AnswerTooLarge(f"the answer passes the limit of {limit} bytes")
            if piece:
                yield piece
    if unpack is not None and not unpack.ended:
        raise DialectError(f"the answer's {encoding} body is cut off")


def _unpacker(encoding: str | None) -> _Unpacker | None:
    name = (encoding or "identity").strip().lower()
    if name == "identity":
        return None
    if name not in ("gzip", "x-gzip", "deflate"):
        raise DialectError(
            f"the answer has the content encoding {name!r}, but only {ACCEPT_ENCODING} was requested"
        )
    return _Unpacker(name)


class _Unpacker:
    """One compressed body; gzip may have several members, and `deflate` is sent with and without a zlib header."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._head = b""

    @property
    def ended(self) -> bool:
        """Whether the body is whole; an empty one is."""
        return self._inflate.eof or not self._head

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Yield what some bytes unpack to, piece by piece."""
        if len(self._head) < _HEADER_BYTES:
            data = self._begin(data)
        full = False
        while data or (full and not self._inflate.eof):
            piece = self._piece(data)
            yield piece
            # After a full piece zlib may hold back output though it has taken all input.
            full = len(piece) == _PIECE_BYTES
            data = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail

    def _begin(self, data: bytes) -> bytes:
        """Return what can be unpacked of the first bytes: nothing until the two of a zlib header are there."""
        self._head += data
        if len(self._head) < _HEADER_BYTES:
            return b""
        method, flags = self._head[:_HEADER_BYTES]
        if self._name == "deflate" and (method & 0x0F != zlib.DEFLATED or (method << 8 | flags) % 31):
            self._inflate = zlib.decompressobj(_RAW_DEFLATE)
        return self._head

    def _piece(self, data: bytes) -> bytes:
        try:
            if self._inflate.eof:
                self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
            return self._inflate.decompress(data, _PIECE_BYTES)
        except zlib.error as error:
            raise DialectError(f"the answer's {self._name} body is damaged") from error
