"""Merkle roots: one hash over the roots of many runs, so that a deleted run's root still holds its place."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def merkle_root(roots: Sequence[str]) -> str:
    """Return the Merkle root over runs' roots: leaves and nodes are hashed with different prefixes.

    A leaf is SHA-256(0x00 + root in hex), a node SHA-256(0x01 + its one or two children).
    """
    level = [hashlib.sha256(b"\0" + root.encode()).digest() for root in roots]
    if not level:
        return hashlib.sha256(b"goldrun.segment/empty").hexdigest()
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [hashlib.sha256(b"\1" + b"".join(pair)).digest() for pair in pairs]
    return level[0].hex()
