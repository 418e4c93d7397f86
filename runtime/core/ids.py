"""Ids and random values that derive from the request id, so that a replayed run makes the same ones."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from runtime.core.canonical import DIGEST_CHARS, canonical_bytes, digest

RESERVED_ARGUMENTS = frozenset({"tenant", "tenant_id", "environment", "request_id"})
"""Argument names no tool may have: they are bound at entry and never chosen by a model."""


_ATTEMPT = re.compile(r"/([^/]+)/\d+(?:~\d+)?(#\d+)?")
"""A call's lane in a child's request id: its place, its attempt and execution, and which of its children it is."""


def is_reserved(name: str) -> bool:
    """Return whether a name is a reserved one, in any case and style: `tenantId` and `TENANT-ID` are `tenant_id`."""
    return _plain(name) in _PLAIN_RESERVED


def _plain(name: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", name).casefold() if c.isalnum())


_PLAIN_RESERVED = frozenset(map(_plain, RESERVED_ARGUMENTS))


def run_id(request_id: str, *, deploy: str | None, source: str, repeat: int = 0) -> str:
    """Return the name of one execution of a request."""
    return "run_" + digest(canonical_bytes([request_id, deploy, source, repeat]))[:24]


def child_request_id(parent: str, lane: str) -> str:
    """Return the request id of a child run that the call at this lane starts."""
    return f"{parent}/{lane}"


def key_root(request_id: str, root: str | None) -> str:
    """Return what stands for a run in the idempotency keys of its writes.

    That is the request id of the outermost run. A child adds the calls that started it and its parents, without
    their attempts: equal writes of a run and of its children are several writes, those of a repeated call are one.

    Args:
        request_id: The run's.
        root: Request id of the outermost run; `None` for that run itself.
    """
    if root is None or not request_id.startswith(f"{root}/"):
        return request_id
    return root + _ATTEMPT.sub(r"/\1\2", request_id[len(root) :])


def idempotency_key(
    *, tenant: str, environment: str, root_request_id: str, tool: str, args_hash: str, occurrence: int
) -> str:
    """Return the key that makes a repeated write safe.

    Stable over retries, resume, fork and replay; independent of step and of the provider's call id.

    Args:
        tenant: Bound at entry.
        environment: Bound at entry.
        root_request_id: Request id of the outermost run.
        tool: Tool name.
        args_hash: Fingerprint of the canonical arguments.
        occurrence: 1 for the first such call of the run in declared order, 2 for the second, ...
    """
    parts = [tenant, environment, root_request_id, tool, args_hash, occurrence]
    return "idem_" + digest(canonical_bytes(parts))


def unit_random(seed: int, purpose: str, *parts: object) -> float:
    """Return a value in [0, 1) from the seed's stream for one purpose.

    Each purpose and position has its own value, so an added draw does not shift the others.
    """
    data = canonical_bytes([seed, purpose, [str(p) for p in parts]])
    return int.from_bytes(hashlib.sha256(data).digest()[:7], "big") / 2**56


def seed_of(request_id: str) -> int:
    """Return the seed of a run that was given none."""
    return int(digest(request_id.encode())[: DIGEST_CHARS // 4], 16)
