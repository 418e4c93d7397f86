"""What one run keeps and shares, bound to its scope: scratch, memory, artifacts, cache and credentials.

Each call of a tool gets one `BoundCall`. What it puts into the scratch takes effect once it has returned a result.
Credentials that it read are removed from its result, in every form in which secrets are written, before the model,
the log or a recording sees it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from runtime.core.canonical import fingerprint
from runtime.core.effects import ToolResult
from runtime.core.run import ToolDecl
from runtime.errors import UsageError
from runtime.ports.state import (
    Artifacts,
    CallScratch,
    CredentialProvider,
    Memory,
    MemoryEntry,
    RunMemory,
    Scope,
    Secret,
    Slot,
)
from runtime.state.secret_forms import literal_forms
from runtime.state.tools.cache import ToolCache
from runtime.state.tools.scratch import Draft, Scratch


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What a scope shares between its runs; what is `None` a run cannot use.

    Attributes:
        memory: Facts about subjects.
        artifacts: Large results and files.
        cache: Results of tools.
        credentials: Gives credentials by scope and name.
    """

    memory: Memory | None = None
    artifacts: Artifacts | None = None
    cache: ToolCache | None = None
    credentials: CredentialProvider | None = None


NO_STORES = Stores()
_REVEALING = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Revealed:
    """The credentials that a run has read: their names by text, and the forms they may be written in."""

    names: dict[str, str]
    forms: tuple[tuple[bytes, bytes], ...]


_NOTHING_REVEALED = _Revealed({}, ())


class BoundState:
    """What one run keeps and shares; `runtime.ports.state.RunState`."""

    __slots__ = ("_cached", "_revealed", "_scratch", "_slots", "request_id", "scope", "stores")

    def __init__(
        self,
        scope: Scope,
        request_id: str,
        *,
        slots: Sequence[Slot[Any]] = (),
        stores: Stores | None = None,
        tools: Sequence[ToolDecl] = (),
    ) -> None:
        """Begin with an empty scratch.

        Args:
            scope: Whose run it is.
            request_id: Which run.
            slots: All slots of its scratch.
            stores: What the scope shares.
            tools: The run's tools, some of which may be cached.
        """
        self.scope: Scope = scope
        self.request_id: str = request_id
        self.stores: Stores = stores or NO_STORES
        self._slots = slots
        self._scratch: Scratch | None = None
        self._cached = tuple(t for t in tools if t.cache_s is not None)
        self._revealed = _NOTHING_REVEALED

    @property
    def scratch(self) -> Scratch:
        """The values of this run."""
        if self._scratch is None:
            self._scratch = Scratch(self.scope, self.request_id, self._slots)
        return self._scratch

    @property
    def artifacts(self) -> Artifacts | None:
        """Where large results are kept."""
        return self.stores.artifacts

    def call(self, tool: str) -> BoundCall:
        """Return what one call of a tool may use."""
        decl = next((t for t in self._cached if t.schema.name == tool), None) if self._cached else None
        return BoundCall(self, decl)

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take over what a recorded call put into the scratch."""
        for name, value in saved.items():
            slot = self.scratch.slot(name)
            if value is None:
                self.scratch.remove(slot)
                continue
            try:
                self.scratch.put(slot, msgspec.convert(value, slot.kind))
            except msgspec.ValidationError as error:
                raise UsageError(
                    f"the recorded value of slot {name!r} does not have its type: {error}"
                ) from error

    def credential(self, name: str) -> Secret:
        """Return a credential of the scope, and remember it for `clean`."""
        provider = self.stores.credentials
        if provider is None:
            raise _absent("credentials")
        secret = provider.get(self.scope, name)
        with _REVEALING:  # replaced and not changed: other threads read it
            names = {**self._revealed.names, secret.reveal(): name}
            self._revealed = _Revealed(names, literal_forms(names))
        return secret

    def clean_value(self, value: Any) -> Any:
        """Return a JSON value without the credentials that the run has read; a number that is one becomes null."""
        revealed = self._revealed.names
        if not revealed:
            return value
        if isinstance(value, str):
            return self.clean(value)
        if isinstance(value, dict):
            return {self.clean(name): self.clean_value(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.clean_value(item) for item in value]
        return None if isinstance(value, int | float) and str(value) in revealed else value

    def clean(self, text: str) -> str:
        """Return a text without the credentials that the run has read, in any of their forms."""
        revealed = self._revealed
        if not revealed.names:
            return text
        raw = text.encode("utf-8", "surrogatepass")
        for form, value in revealed.forms:
            if form in raw:
                name = revealed.names[value.decode("utf-8", "surrogatepass")]
                raw = raw.replace(form, f"<credential {name}>".encode())
        return raw.decode("utf-8", "surrogatepass")


class BoundCall:
    """What one call may keep, share and use; `runtime.ports.state.CallState`."""

    __slots__ = ("_cached", "_draft", "_run")

    def __init__(self, run: BoundState, cached: ToolDecl | None) -> None:
        self._run = run
        self._cached = cached
        self._draft: Draft | None = None

    @property
    def scratch(self) -> CallScratch:
        """The values of this run."""
        if self._draft is None:
            self._draft = self._run.scratch.draft()
        return self._draft

    @property
    def memory(self) -> RunMemory:
        """What is remembered about subjects."""
        memory = self._run.stores.memory
        if memory is None:
            raise _absent("memory")
        return _NamedMemory(memory, self._run.request_id)

    @property
    def artifacts(self) -> Artifacts:
        """Large results and files."""
        artifacts = self._run.stores.artifacts
        if artifacts is None:
            raise _absent("artifacts")
        return artifacts

    def credential(self, name: str) -> Secret:
        """Return a credential; its text is taken out of the call's result and errors."""
        return self._run.credential(name)

    def cached(self, arguments: Any) -> ToolResult | None:
        """Return the kept result of an equal call of the tool, if it may be used."""
        cache, decl = self._run.stores.cache, self._cached
        if cache is None or decl is None:
            return None
        found = cache.get(decl.schema.name, _version(decl), arguments)
        return None if found is None else msgspec.structs.replace(found, status="cached")

    def ended(self, arguments: Any, result: ToolResult) -> ToolResult:
        """Return the result without credentials and with the call's scratch values, which take effect now."""
        saved = None if self._draft is None else self._draft.end(keep=True)
        content = self._run.clean(result.content)
        error = None if result.error is None else self._run.clean(result.error)
        if content is not result.content or error is not result.error:
            result = msgspec.structs.replace(result, content=content, error=error)
        cache, decl = self._run.stores.cache, self._cached
        if cache is not None and decl is not None and saved is None:
            # What changed the scratch is made again: a kept result could not change it.
            cache.put(decl.schema.name, _version(decl), arguments, result, ttl_s=decl.cache_s)
        return (
            result if saved is None else msgspec.structs.replace(result, saved=self._run.clean_value(saved))
        )

    def failed(self, message: str) -> str:
        """Return a failure's message without credentials, and drop the call's scratch values."""
        if self._draft is not None:
            self._draft.end(keep=False)
        return self._run.clean(message)


@dataclass(frozen=True, slots=True)
class _NamedMemory:
    """A memory whose changes carry one run's request id."""

    _memory: Memory
    _request_id: str

    def put(self, subject: str, name: str, value: Any, *, ttl_s: float) -> MemoryEntry:
        """Remember a JSON value for some seconds."""
        return self._memory.put(subject, name, value, ttl_s=ttl_s, request_id=self._request_id)

    def get(self, subject: str, name: str) -> MemoryEntry | None:
        """Return what is remembered; `None` if nothing is, or no longer."""
        return self._memory.get(subject, name)

    def entries(self, subject: str) -> tuple[MemoryEntry, ...]:
        """Return all that is remembered of a subject, by name."""
        return self._memory.entries(subject)

    def forget(self, subject: str, name: str | None = None) -> int:
        """Remove one fact, or all of a subject; return how many there were."""
        return self._memory.forget(subject, name, request_id=self._request_id)


def _version(decl: ToolDecl) -> str:
    """Return what tells the results of one tool from those of another: its declared form and its version."""
    return fingerprint([decl.schema, decl.version])


def _absent(what: str) -> UsageError:
    return UsageError(
        f"this run was given no {what}", next_step="pass state=State(...) where the run is started"
    )
