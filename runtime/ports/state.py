"""What a run keeps and shares: scope, scratch, memory, artifacts and credentials. Protocols and their values only.

Nothing here takes an unscoped key: each store belongs to one scope, and scopes are made at entry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec

from runtime.core.canonical import canonical_bytes, digest, valid_text
from runtime.core.effects import ToolResult
from runtime.core.run import Header
from runtime.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Who, and in which world; bound at entry, never chosen by a model.

    Attributes:
        tenant: Whose data it is.
        environment: `prod`, `staging`, ...

    Raises:
        UsageError: If one is empty or no valid text.
    """

    tenant: str
    environment: str

    def __post_init__(self) -> None:
        for name, value in (("tenant", self.tenant), ("environment", self.environment)):
            if not _is_text(value):
                raise UsageError(f"a scope needs a {name}, not {value!r}")

    @property
    def digest(self) -> str:
        """Hex fingerprint that names the scope in files and tables; different scopes have different ones."""
        return digest(canonical_bytes([self.tenant, self.environment]))


def _is_text(value: object) -> bool:
    """Return whether this is text that files, tables and wires have a form for; types alone do not tell."""
    return isinstance(value, str) and value != "" and valid_text(value) == value


class MemoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Something remembered about a subject.

    Attributes:
        subject: Whom or what it is about, within the scope.
        name: Which fact.
        value: JSON value.
        written_at: Epoch seconds.
        expires_at: Epoch seconds; from then on it is as if it had never been.
        request_id: Run that wrote it.
    """

    subject: str
    name: str
    value: Any
    written_at: float
    expires_at: float
    request_id: str


class MemoryChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of memory, as the audit records it: never the value.

    Attributes:
        scope_tenant: Whose memory.
        scope_environment: Which world.
        action: `put`, `forget`, or `expire` for what a sweep removed.
        subject: Whom it is about.
        name: Which fact; `None` where all of a subject was forgotten.
        size_bytes: Of the value written; of a removal the number of entries is in `entries`.
        entries: Entries concerned.
        at: Epoch seconds.
        expires_at: Of what was written.
        request_id: Run that did it; `None` for a sweep.
    """

    scope_tenant: str
    scope_environment: str
    action: Literal["put", "forget", "expire"]
    subject: str
    name: str | None = None
    size_bytes: int = 0
    entries: int = 1
    at: float
    expires_at: float | None = None
    request_id: str | None = None


class MemoryAudit(Protocol):
    """Called with each change before it takes effect; an exception undoes the change."""

    def __call__(self, change: MemoryChange, /) -> None:
        """Keep one change."""
        ...


class Memory(Protocol):
    """Facts about subjects of one scope, each with an end."""

    @property
    def scope(self) -> Scope:
        """Whose memory this is."""
        ...

    def put(self, subject: str, name: str, value: Any, *, ttl_s: float, request_id: str) -> MemoryEntry:
        """Remember a JSON value for some seconds, in place of the one before.

        Raises:
            UsageError: If the value is no JSON or too large, or the time is not above 0 and finite.
        """
        ...

    def get(self, subject: str, name: str) -> MemoryEntry | None:
        """Return what is remembered; `None` if nothing is, or no longer."""
        ...

    def entries(self, subject: str) -> tuple[MemoryEntry, ...]:
        """Return all that is remembered of a subject, by name."""
        ...

    def forget(self, subject: str, name: str | None = None, *, request_id: str) -> int:
        """Remove one fact, or all of a subject; return how many there were."""
        ...

    def sweep(self) -> int:
        """Remove what has expired; return how many there were."""
        ...


class Artifacts(Protocol):
    """Bytes of one scope, found by their SHA-256; a digest of another scope finds nothing."""

    @property
    def scope(self) -> Scope:
        """Whose artifacts these are."""
        ...

    def put(self, data: bytes) -> str:
        """Keep some bytes and return their digest; keeping them twice is harmless.

        Raises:
            UsageError: If they are more than an artifact may have.
            DataError: If they could not be written.
        """
        ...

    def get(self, digest: str) -> bytes | None:
        """Return the bytes of a digest; `None` if this scope has none.

        Raises:
            DataError: If they are damaged.
            UsageError: If this is no digest.
        """
        ...

    def delete(self, digest: str) -> bool:
        """Remove an artifact; return whether there was one."""
        ...


class Secret:
    """A credential that does not print, log, compare in public, or cross a pickle by accident."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text; call it where the request is built, and keep it nowhere."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a secret is not serialised")


class CredentialProvider(Protocol):
    """Gives credentials by scope and name."""

    def get(self, scope: Scope, name: str) -> Secret:
        """Return a credential of a scope.

        Raises:
            UsageError: If that scope has none of this name; never one of another scope.
        """
        ...


@dataclass(frozen=True, slots=True)
class Slot(Generic[T]):
    """A named place for values of one type.

    Attributes:
        name: Names the value within its run.
        kind: Its type: built-in types, dataclasses, msgspec structs, typed dictionaries.
    """

    name: str
    kind: type[T]


class CallScratch(Protocol):
    """The scratch of a run as one call sees it; what it puts counts once the call has given a result."""

    def get(self, slot: Slot[T]) -> T | None:
        """Return a copy of a slot's value; `None` if nothing was put there."""
        ...

    def put(self, slot: Slot[T], value: T) -> None:
        """Keep a value in place of the one before.

        Raises:
            UsageError: If the agent has no such slot, or the value is not of its type or does not fit.
        """
        ...

    def remove(self, slot: Slot[Any]) -> None:
        """Empty a slot; emptying it twice is harmless."""
        ...


class RunMemory(Protocol):
    """The memory of a run's scope; what it changes carries the run's request id."""

    def put(self, subject: str, name: str, value: Any, *, ttl_s: float) -> MemoryEntry:
        """Remember a JSON value for some seconds; see `Memory.put`."""
        ...

    def get(self, subject: str, name: str) -> MemoryEntry | None:
        """Return what is remembered; `None` if nothing is, or no longer."""
        ...

    def entries(self, subject: str) -> tuple[MemoryEntry, ...]:
        """Return all that is remembered of a subject, by name."""
        ...

    def forget(self, subject: str, name: str | None = None) -> int:
        """Remove one fact, or all of a subject; return how many there were."""
        ...


class CallState(Protocol):
    """What one call may keep, share and use; all of it is of the run's tenant and environment."""

    @property
    def scratch(self) -> CallScratch:
        """The values of this run."""
        ...

    @property
    def memory(self) -> RunMemory:
        """What is remembered about subjects.

        Raises:
            UsageError: If the run was given no memory.
        """
        ...

    @property
    def artifacts(self) -> Artifacts:
        """Large results and files.

        Raises:
            UsageError: If the run was given no artifacts.
        """
        ...

    def credential(self, name: str) -> Secret:
        """Return a credential; its text is taken out of the call's result and errors.

        Raises:
            UsageError: If the run was given no credentials, or there is none of this name.
        """
        ...

    def cached(self, arguments: Any) -> ToolResult | None:
        """Return the kept result of an equal call of the tool, if it may be used."""
        ...

    def ended(self, arguments: Any, result: ToolResult) -> ToolResult:
        """Return the result without credentials and with the call's scratch values, which take effect now."""
        ...

    def failed(self, message: str) -> str:
        """Return a failure's message without credentials, and drop the call's scratch values."""
        ...


class RunState(Protocol):
    """What one run keeps and shares."""

    def call(self, tool: str) -> CallState:
        """Return what one call of a tool may use."""
        ...

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take over what a recorded call put into the scratch.

        Raises:
            UsageError: If it does not fit the agent's slots.
        """
        ...

    @property
    def artifacts(self) -> Artifacts | None:
        """Where large results are kept; `None` if the run was given no artifacts."""
        ...


class SharedState(Protocol):
    """What the runs of a process keep and share."""

    def bind(
        self,
        header: Header,
        *,
        slots: Sequence[Slot[Any]],
        artifacts: Artifacts | None,
        audit: MemoryAudit | None,
    ) -> RunState:
        """Return what one run keeps and shares.

        Args:
            header: The run's header: its tenant and environment are the scope.
            slots: The slots of its scratch.
            artifacts: In place of the shared ones.
            audit: Called with each change of memory before it counts.
        """
        ...
