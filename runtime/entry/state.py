"""What runs of a process keep and share: artifacts, memory, cached results and credentials, each by scope."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from runtime.core.run import Header, ToolDecl
from runtime.core.signatures import checks_arguments
from runtime.errors import DataError
from runtime.execution.clock import Clock, SystemClock
from runtime.ports.state import (
    Artifacts,
    CredentialProvider,
    MemoryAudit,
    MemoryChange,
    RunState,
    Scope,
    SharedState,
    Slot,
)
from runtime.state.tools.artifacts import FolderArtifacts, MemoryArtifacts
from runtime.state.tools.cache import ToolCache
from runtime.state.tools.memory import SqliteMemory, VolatileMemory
from runtime.state.tools.run_state import NO_STORES, BoundState, Stores

_CACHE_S = 300.0
_MOST_SCOPES = 1_000


class State:
    """What runs keep and share; one for a process, given to `run_agent_async`, `Service` or a resumed run.

    Usage: `State("state", credentials=FolderCredentials("/run/secrets"))`. A tool reaches it through its `ctx`:
    `ctx.scratch`, `ctx.memory`, `ctx.artifacts`, `ctx.credential("api")`.

    Attributes:
        folder: Where it is kept; `None` for in memory, which ends with the process.
        credentials: Gives credentials by scope and name.
    """

    @checks_arguments
    def __init__(
        self,
        folder: Path | str | None = None,
        *,
        credentials: CredentialProvider | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Open or make the folder.

        Args:
            folder: Many processes of one machine may share it.
            credentials: Gives credentials; without it tools have none.
            clock: Time; the system's by default.

        Raises:
            DataError: If the memory in the folder cannot be used.
        """
        self.folder: Path | None = None if folder is None else Path(folder)
        self.credentials = credentials
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._artifacts: dict[Scope, Artifacts] = {}
        self._caches: dict[Scope, ToolCache] = {}
        self._cache_key = os.urandom(32)
        self._memory = self._open()

    def of(self, scope: Scope, *, audit: MemoryAudit) -> Stores:
        """Return what a scope shares; the audit sees each change of memory before it counts. Internal to goldrun."""
        with self._lock:
            if scope not in self._artifacts:
                self._artifacts[scope] = self._artifacts_of(scope)
            cache = self._caches.pop(scope, None)  # an empty one is false
            if cache is None:
                cache = self._cache_of(scope)
            self._caches[scope] = cache
            if len(self._caches) > _MOST_SCOPES:  # the scope that was used least lately
                self._caches.pop(next(iter(self._caches)))
            artifacts = self._artifacts[scope]
        return Stores(
            memory=self._memory.of(scope, audit=audit),
            artifacts=artifacts,
            cache=cache,
            credentials=self.credentials,
        )

    def bind(
        self,
        header: Header,
        *,
        slots: Sequence[Slot[Any]] = (),
        artifacts: Artifacts | None = None,
        audit: MemoryAudit | None = None,
    ) -> RunState:
        """Return what one run keeps and shares; see `SharedState.bind`."""
        scope = _scope_of(header)
        stores = self.of(scope, audit=audit or no_audit)
        if artifacts is not None:
            stores = replace(stores, artifacts=artifacts)
        return _bound(header, scope, slots, stores)

    def sweep(self, scope: Scope, *, audit: MemoryAudit) -> int:
        """Remove what a scope's memory no longer shows; return how many facts there were."""
        return self._memory.of(scope, audit=audit).sweep()

    def close(self) -> None:
        """Close the memory's file; closing it twice is harmless."""
        self._memory.close()

    def _open(self) -> SqliteMemory:
        nobody = Scope(
            tenant="goldrun", environment="none"
        )  # a view is made for each scope; this one is not used
        now = self._wall_s
        if self.folder is None:
            return VolatileMemory(nobody, audit=no_audit, now=now)
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise DataError(
                f"the folder cannot be made: {error.strerror}",
                where=str(self.folder),
                next_step="name another folder",
            ) from error
        return SqliteMemory(self.folder / "memory.db", nobody, audit=no_audit, now=now)

    def _artifacts_of(self, scope: Scope) -> Artifacts:
        if self.folder is None:
            return MemoryArtifacts(scope)
        return FolderArtifacts(self.folder / "artifacts", scope)

    def _cache_of(self, scope: Scope) -> ToolCache:
        return ToolCache(scope, key=self._cache_key, ttl_s=_CACHE_S, now=self._clock.monotonic_s)

    def _wall_s(self) -> float:
        return self._clock.now().timestamp()


def no_audit(change: MemoryChange) -> None:
    """Accept each change: the no-op audit of runs that have no event sinks."""


def bind_state(
    header: Header,
    state: SharedState | None,
    *,
    slots: Sequence[Slot[Any]] = (),
    artifacts: Artifacts | None = None,
    audit: MemoryAudit | None = None,
) -> RunState:
    """Return what a run keeps and shares; where there is no state, its scratch and the given artifacts."""
    if state is not None:
        return state.bind(header, slots=slots, artifacts=artifacts, audit=audit)
    stores = NO_STORES if artifacts is None else Stores(artifacts=artifacts)
    return _bound(header, _scope_of(header), slots, stores)


def _bound(header: Header, scope: Scope, slots: Sequence[Slot[Any]], stores: Stores) -> BoundState:
    tools: tuple[ToolDecl, ...] = () if header.tools == "opaque" else header.tools
    return BoundState(scope, header.request_id, slots=slots, stores=stores, tools=tools)


def _scope_of(header: Header) -> Scope:
    return Scope(tenant=header.tenant, environment=header.environment)
