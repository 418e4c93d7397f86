"""The stratum of a run: runs without a task are grouped by the kind of their request.

The stratum is a keyed hash of agent, entry label and the normalised first user message: "Where is parcel 8812?" and
"where is parcel 17 ?" are of one kind. System prompt, tools, version and model are not part of it, because they change
with the deploy. The key belongs to the history. It prevents guessing a message from its hash.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

KEY_FILE = "stratum.key"

_LEVELS = (
    (re.compile(r"\b(?:https?://|www\.)\S+"), "<url>"),
    (re.compile(r"\S+@\S+\.\w+"), "<id>"),
    (re.compile(r"\b\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[t ]\d{1,2}:\d{2}(?::\d{2})?\S*)?"), "<date>"),
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"), "<id>"),
    (re.compile(r"\b(?=\w*\d)(?=\w*[a-z_])[\w-]{4,}\b"), "<id>"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "<n>"),
)
_BLANKS = re.compile(r"\s+")
_EDGES = re.compile(r"\s*([?!.,;:#])\s*")


def level(text: str) -> str:
    """Return a message with numbers, dates, ids, URLs and blanks replaced by placeholders."""
    text = text.lower()
    for pattern, mark in _LEVELS:
        text = pattern.sub(mark, text)
    return _BLANKS.sub(" ", _EDGES.sub(r"\1 ", text)).strip()


def stratum_of(key: bytes, *, agent: str, entry: str | None, message: str | None) -> str:
    """Return the stratum of a run, 24 hex digits."""
    parts = "\x00".join((agent, entry or "", "" if message is None else level(message)))
    return hmac.new(key, parts.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:24]


def stratum_key(history: Path) -> bytes:
    """Return the history's key; the first call creates it, under the history's lock."""
    path = history / KEY_FILE
    try:
        return bytes.fromhex(path.read_text(encoding="ascii").strip())
    except FileNotFoundError:
        key = secrets.token_bytes(32)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(key.hex())
        return key
