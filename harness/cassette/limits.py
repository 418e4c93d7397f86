"""Limits of what is read and written: sizes and expansion; and JSON that means one thing only."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from harness.errors import CassetteError

MAX_CASSETTE_BYTES = 256 * 1024 * 1024
MAX_RUN_BYTES = 512 * 1024 * 1024
MAX_FOOTER_BYTES = 1 << 30
MAX_DICTIONARY_BYTES = 1024 * 1024
MAX_RATIO = 10_000
"""Decompressed bytes for one compressed byte; text of runs reaches some hundreds."""
RATIO_FREE_BYTES = 1024 * 1024


def check_expansion(packed: int, size: int, *, where: str, limit: int = MAX_RUN_BYTES) -> None:
    """Check what compressed bytes claim to hold, before anything is unpacked.

    Raises:
        CassetteError: If the size or the ratio passes its limit.
    """
    if size < 0 or size > limit or (size > RATIO_FREE_BYTES and size > MAX_RATIO * packed):
        raise CassetteError(
            f"a frame of {packed} bytes claims {size} bytes, beyond the limits of {limit} bytes "
            f"and {MAX_RATIO} times",
            where=where,
            next_step="do not trust this file",
        )


def decode_strict(data: bytes, *, where: str, next_step: str | None = None) -> Any:
    """Return the value of JSON that says each thing once.

    Raises:
        CassetteError: If it is no JSON, names a key twice, holds NaN, or is nested deeper than the interpreter
            can follow (about 1,000 levels).
    """
    try:
        value = msgspec.json.decode(data)
        compact = msgspec.json.format(data, indent=-1)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CassetteError(f"not JSON, or cut off: {error}", where=where, next_step=next_step) from error
    # A document that says each key once encodes to itself; only one that does not is looked at closely.
    if len(msgspec.json.encode(value)) != len(compact):
        repeated = _repeated_key(data)
        if repeated is not None:
            raise CassetteError(
                f"the key {repeated!r} stands twice in one object", where=where, next_step=next_step
            )
    return value


class _Repeated(Exception):
    """Carries the key that stands twice."""


def _repeated_key(data: bytes) -> str | None:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in items:
            if key in found:
                raise _Repeated(key)
            found[key] = item
        return found

    try:
        json.loads(data, object_pairs_hook=pairs)
    except _Repeated as repeated:
        return str(repeated)
    return None
