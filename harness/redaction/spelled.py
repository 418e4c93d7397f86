"""Text that spells a secret: base64 (also of base64, also wrapped), hex, escapes of URLs and of HTML."""

from __future__ import annotations

import binascii
import html
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from harness.redaction.rules import Ruleset

MAX_RUN = 1 << 20
_HEX = re.compile(rb"(?:[0-9a-f]{2})+|(?:[0-9A-F]{2})+")
_BASE64 = re.compile(rb"[A-Za-z0-9+/\r\n]{27,}={0,2}\s*")
_LEAST_WRAPPED, _MOST_LINES = 56, 4096
_BREAK = re.compile(rb"[ \t]*(?:\\r)?(?:\\n|\r?\n)[ \t]*")
"""Between two lines of wrapped base64, in text and in a string of JSON."""


def encoded_runs(data: bytes, rules: Ruleset) -> Iterator[tuple[int, int, list[bytes]]]:
    """Yield runs of encoded text with what each may say."""
    at = 0
    while (found := rules.runs.first(data, at)) is not None:
        start, at = found[0]
        pieces, end = _wrapped(data, rules, start, at)
        at = max(at, end)
        run = b"".join(pieces)
        if len(run) <= MAX_RUN:
            yield start, end, decodings(run)
    at = 0
    while (found := rules.spelled.first(data, at)) is not None:
        start, at = found[0]
        if at - start <= MAX_RUN:
            yield start, at, _spellings(data[start:at])


def _wrapped(data: bytes, rules: Ruleset, start: int, end: int) -> tuple[list[bytes], int]:
    """Return the lines of base64 that go on below, and where the last one ends."""
    pieces = [data[start:end]]
    width = end - start
    for _ in range(_MOST_LINES):
        if width < _LEAST_WRAPPED or pieces[-1].endswith(b"=") or (gap := _BREAK.match(data, end)) is None:
            break
        line = re.compile(rb"[A-Za-z0-9+/]{1,%d}={0,2}" % min(width, 1000)).match(data, gap.end())
        if line is None:
            break
        pieces.append(line[0])
        end = line.end()
        if len(line[0]) < width:
            break
    return pieces, end


def decodings(run: bytes) -> list[bytes]:
    """Return what a run may say: base64 that begins at one of its first four characters, or hex."""
    if _HEX.fullmatch(run):
        return [binascii.unhexlify(run)]
    candidates = []
    if run[:2] in {b"0x", b"0X"} and _HEX.fullmatch(run[2:]):
        candidates.append(binascii.unhexlify(run[2:]))
    plain = run.rstrip(b"=")
    if b"=" in plain:
        return candidates
    for offset in range(4):
        body = plain[offset:]
        body = body[: len(body) - 1] if len(body) % 4 == 1 else body
        text = binascii.a2b_base64(body + b"=" * (-len(body) % 4))
        candidates.append(text)
        if _BASE64.fullmatch(text):
            inner = bytes(text).translate(None, b"\r\n \t")
            candidates += decodings(inner)
    return candidates


def _spellings(run: bytes) -> list[bytes]:
    if b"%" in run:
        return [unquote_to_bytes(run)]
    if b"&#" in run:
        return [html.unescape(run.decode("latin-1")).encode("utf-8", "replace")]
    return [binascii.unhexlify(run.translate(None, b" :"))]
