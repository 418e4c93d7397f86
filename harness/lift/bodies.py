"""Decode the content encoding of recorded HTTP bodies, with a limit on the output size."""

from __future__ import annotations

import zlib
from importlib import import_module

import msgspec

MAX_BODY_BYTES = 64 * 1024 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_GZIP_WINDOW = 31
_ZLIB_WINDOW = 15
_RAW_WINDOW = -15


class Body(msgspec.Struct, frozen=True):
    """A body as the agent received it.

    Attributes:
        content: The decoded bytes. If `problem` is set, the part that could be decoded.
        problem: Why the body is incomplete or not decoded, if it is.
    """

    content: bytes
    problem: str | None = None


def decode_body(raw: bytes, encoding: str | None) -> Body:
    """Return a body without its content encoding.

    Recorders often decode the body and still keep the header. So the bytes decide: a body that does not begin like
    its encoding is returned unchanged. gzip is also decoded if the header is missing.

    Args:
        raw: The recorded bytes.
        encoding: The `content-encoding` header, if any.
    """
    body = Body(raw)
    stated = [word.strip().lower() for word in (encoding or "").split(",") if word.strip()]
    for name in reversed(stated or ["gzip"]):
        body = _undo(body, name)
        if body.problem is not None:
            break
    return body


def _undo(body: Body, name: str) -> Body:
    raw = body.content
    match name:
        case "gzip" | "x-gzip":
            return _inflate(raw, _GZIP_WINDOW, name) if raw.startswith(_GZIP_MAGIC) else body
        case "deflate":
            window = _ZLIB_WINDOW if raw[:1] == b"\x78" else _RAW_WINDOW
            inflated = _inflate(raw, window, name)
            return body if inflated.problem is not None and not inflated.content else inflated
        case "zstd":
            return _unzstd(raw) if raw.startswith(_ZSTD_MAGIC) else body
        case "br":
            return body if _is_text(raw) else _unbrotli(raw)
        case "identity":
            return body
        case _:
            return body if _is_text(raw) else Body(b"", f"content-encoding {name!r} is not read")


def _inflate(raw: bytes, window: int, name: str) -> Body:
    inflater = zlib.decompressobj(window)
    try:
        content = inflater.decompress(raw, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        return Body(_salvage(raw, window), f"damaged {name} body: {error}")
    if len(content) > MAX_BODY_BYTES:
        return Body(b"", f"the {name} body holds more than {MAX_BODY_BYTES} bytes")
    return Body(content, None if inflater.eof else f"the {name} body is cut off")


def _salvage(raw: bytes, window: int) -> bytes:
    """Return the bytes before the damage."""
    inflater = zlib.decompressobj(window)
    content = bytearray()
    try:
        for start in range(0, len(raw), 64):
            content += inflater.decompress(raw[start : start + 64], MAX_BODY_BYTES)
            if len(content) > MAX_BODY_BYTES:
                return b""
    except zlib.error:
        pass
    return bytes(content)


def _unzstd(raw: bytes) -> Body:
    import zstandard  # heavy

    try:
        content = zstandard.ZstdDecompressor().stream_reader(raw).read(MAX_BODY_BYTES + 1)
    except zstandard.ZstdError as error:
        return Body(b"", f"damaged zstd body: {error}")
    if len(content) > MAX_BODY_BYTES:
        return Body(b"", f"the zstd body holds more than {MAX_BODY_BYTES} bytes")
    return Body(content)


def _unbrotli(raw: bytes) -> Body:
    """Return a decoded Brotli body; it needs one of the decoders that HTTP clients use."""
    for name in ("brotli", "brotlicffi"):
        try:
            brotli = import_module(name)
        except ImportError:
            continue
        try:
            content: bytes = brotli.decompress(raw)
        except brotli.error as error:
            return Body(b"", f"damaged br body: {error}")
        if len(content) > MAX_BODY_BYTES:
            return Body(b"", f"the br body holds more than {MAX_BODY_BYTES} bytes")
        return Body(content)
    return Body(b"", "content-encoding 'br' is not read: install brotli")


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
