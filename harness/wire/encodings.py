"""Content encodings of bodies undone under a cap, so that redaction can read what they hold."""

from __future__ import annotations

import zlib

MAX_PLAIN_BYTES = 64 * 1024 * 1024
_GZIP_WINDOW, _ZLIB_WINDOW, _RAW_WINDOW = 31, 15, -15


def decode_content(raw: bytes, encoding: str | None) -> bytes | None:
    """Return a body without its content encoding; a body that breaks off gives what came before.

    Args:
        raw: The bytes on the wire.
        encoding: Value of the `content-encoding` header.

    Returns:
        The bytes; `None` where the encoding is not read, the data damaged, or the cap passed.
    """
    for name in reversed([word.strip().lower() for word in (encoding or "").split(",") if word.strip()]):
        plain = _undo(raw, name)
        if plain is None:
            return None
        raw = plain
    return raw


def _undo(raw: bytes, name: str) -> bytes | None:
    match name:
        case "identity":
            return raw
        case "gzip" | "x-gzip":
            return _inflate(raw, _GZIP_WINDOW)
        case "deflate":
            return _inflate(raw, _ZLIB_WINDOW if raw[:1] == b"\x78" else _RAW_WINDOW)
        case "zstd":
            return _unzstd(raw)
        case _:
            return None


def _inflate(raw: bytes, window: int) -> bytes | None:
    if not raw:
        return b""
    inflater = zlib.decompressobj(window)
    try:
        plain = inflater.decompress(raw, MAX_PLAIN_BYTES + 1)
    except zlib.error:
        return None
    return plain if len(plain) <= MAX_PLAIN_BYTES and not inflater.unused_data else None


def _unzstd(raw: bytes) -> bytes | None:
    import zstandard

    if not raw:
        return b""
    try:
        plain = zstandard.ZstdDecompressor().stream_reader(raw).read(MAX_PLAIN_BYTES + 1)
    except zstandard.ZstdError:
        return None
    return plain if len(plain) <= MAX_PLAIN_BYTES else None
