"""Cache of tool results: one tenant and environment each, keyed by tool, tool version and arguments.

The key is an HMAC, so that nobody who sees keys can guess arguments. Each scope has a cache of its own with its own
bounds: one tenant's flood evicts no other tenant's results, and their times tell nothing of one another.
"""

from __future__ import annotations

import hmac
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from runtime.core.canonical import canonical_bytes
from runtime.core.effects import ToolResult
from runtime.errors import UsageError
from runtime.ports.state import Scope

_MIN_KEY_BYTES = 16


def cache_key(secret: bytes, scope: Scope, tool: str, version: str, arguments: Any) -> str | None:
    """Return the key of a call, 64 hex characters; `None` if the arguments are not plain JSON.

    Different scopes, tools, versions or arguments have different keys, `1` and `1.0` and `true` too. What has no
    JSON form of its own (NaN, tuples, keys that are no text) has no key rather than another value's.
    """
    if not _is_json(arguments):
        return None
    body = canonical_bytes([scope.tenant, scope.environment, tool, version, arguments])
    return hmac.digest(secret, body, "sha256").hex()


class ToolCache:
    """Results of tools for one scope; the oldest use goes first when it is full.

    Attributes:
        scope: Whose results these are.
    """

    def __init__(
        self,
        scope: Scope,
        *,
        key: bytes,
        ttl_s: float,
        now: Callable[[], float],
        max_entries: int = 1_000,
        max_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        """Make an empty cache.

        Args:
            scope: Whose results these are.
            key: Secret behind the keys, at least 16 bytes.
            ttl_s: Seconds a result may be used.
            now: Gives seconds of a clock that never goes back.
            max_entries: How many results are kept.
            max_bytes: What their texts may take together.

        Raises:
            UsageError: If the secret is short or a limit is not above 0.
        """
        if len(key) < _MIN_KEY_BYTES:
            raise UsageError(f"the cache's secret has {len(key)} bytes, it needs {_MIN_KEY_BYTES}")
        if not ttl_s > 0 or max_entries < 1 or max_bytes < 1:
            raise UsageError("a cache needs a time to live and bounds above 0")
        self.scope = scope
        self._key = key
        self._ttl_s = ttl_s
        self._now = now
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, int, ToolResult]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size_bytes(self) -> int:
        """What the kept texts take."""
        return self._bytes

    def get(self, tool: str, version: str, arguments: Any) -> ToolResult | None:
        """Return the kept result of an equal call, if it is not too old."""
        key = cache_key(self._key, self.scope, tool, version, arguments)
        if key is None:
            return None
        with self._lock:
            entry = self._kept.get(key)
            if entry is None:
                return None
            if self._now() >= entry[0]:
                self._drop(key)
                return None
            self._kept.move_to_end(key)
            return entry[2]

    def put(
        self, tool: str, version: str, arguments: Any, result: ToolResult, *, ttl_s: float | None = None
    ) -> bool:
        """Keep a result for the tool's own time, or the cache's; return whether it was kept.

        Errors are not kept, nor are results above the cache's size, nor those of calls without a key.
        """
        key = cache_key(self._key, self.scope, tool, version, arguments)
        if key is None:
            return False
        size = len(result.content.encode("utf-8", "replace"))
        with self._lock:
            self._drop(key)  # also if the new one is not kept: the old one is no longer what the tool says
            if result.status != "ok" or size > self._max_bytes:
                return False
            self._kept[key] = (self._now() + (self._ttl_s if ttl_s is None else ttl_s), size, result)
            self._bytes += size
            while len(self._kept) > self._max_entries or self._bytes > self._max_bytes:
                self._drop(next(iter(self._kept)))
        return True

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def _drop(self, key: str) -> None:
        entry = self._kept.pop(key, None)
        if entry is not None:
            self._bytes -= entry[1]


def _is_json(value: Any) -> bool:
    kind = type(value)
    if value is None or kind in {str, int, bool}:
        return True
    if kind is float:
        return math.isfinite(value)
    if kind is list:
        return all(map(_is_json, value))
    return kind is dict and all(type(name) is str and _is_json(item) for name, item in value.items())
