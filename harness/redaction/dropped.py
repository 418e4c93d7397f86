"""The placeholder of a body that could not be scanned: a mark with the body's hash."""

from __future__ import annotations

import hashlib
import re
from typing import Any

DROPPED = re.compile(rb"<dropped:sha256:[0-9a-f]{64}>")


def dropped_bytes(data: bytes) -> bytes:
    """Return the mark of a text."""
    return b"<dropped:sha256:%s>" % hashlib.sha256(data).hexdigest().encode()


def dropped_value(value: Any) -> str:
    """Return the mark of a JSON value nested too deep for any encoder, so it is hashed without recursion."""
    digest = hashlib.sha256()
    stack = [value]
    while stack:
        item = stack.pop()
        match item:
            case dict():
                digest.update(b"{%d" % len(item))
                for key, inner in item.items():
                    stack += (inner, key)
            case list() | tuple():
                digest.update(b"[%d" % len(item))
                stack += item
            case _:
                digest.update(repr(item).encode("utf-8", "surrogatepass") + b"\0")
    return f"<dropped:sha256:{digest.hexdigest()}>"
