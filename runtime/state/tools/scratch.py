"""Scratch: the small typed values that one run keeps while it lasts.

A value is kept as its JSON form: what was put in cannot be changed from outside, what does not fit its type is
refused when it is put, and the size of the whole is known. A parked run takes the snapshot with it.

A call works on a draft that only the call itself can read. Once the call has returned a result, the draft takes effect
and is part of the recorded result, so that a resumed run has it again. A failed call leaves nothing behind.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from runtime.errors import DataError, UsageError
from runtime.ports.state import Scope, Slot

__all__ = ["LIMIT_BYTES", "Draft", "Scratch", "Slot"]

T = TypeVar("T")

LIMIT_BYTES = 64 * 1024
"""What all values of a run may take together, as JSON."""


class Scratch:
    """The scratch of one run.

    Attributes:
        scope: Whose run it is.
        request_id: Which run.
    """

    def __init__(
        self, scope: Scope, request_id: str, slots: Sequence[Slot[Any]], *, limit_bytes: int = LIMIT_BYTES
    ) -> None:
        """Make the empty scratch of a run.

        Args:
            scope: Whose run it is.
            request_id: Which run.
            slots: All slots of the run.
            limit_bytes: What names and values may take together.

        Raises:
            UsageError: If two slots have one name.
        """
        self.scope = scope
        self.request_id = request_id
        self._limit_bytes = limit_bytes
        self._slots = {slot.name: slot for slot in slots}
        if len(self._slots) < len(slots):
            raise UsageError(f"two slots of run {request_id!r} have one name")
        self._kept: dict[str, bytes] = {}
        self._drafted = 0
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """What names and values take now; what drafts hold counts with its growth."""
        return sum(_size(name, raw) for name, raw in self._kept.items()) + self._drafted

    def draft(self) -> Draft:
        """Return the scratch as one call sees it."""
        return Draft(self)

    def slot(self, name: str) -> Slot[Any]:
        """Return a slot by name.

        Raises:
            UsageError: If there is none.
        """
        found = self._slots.get(name)
        if found is None:
            raise UsageError(
                f"the run has no slot {name!r}", next_step=f"use one of {', '.join(sorted(self._slots))}"
            )
        return found

    def get(self, slot: Slot[T]) -> T | None:
        """Return a copy of a slot's value; `None` if nothing was put there."""
        raw = self._kept.get(self._known(slot).name)
        return None if raw is None else msgspec.json.decode(raw, type=slot.kind)

    def raw(self, slot: Slot[Any]) -> bytes | None:
        """Return the JSON form of a slot's value, if it has one."""
        return self._kept.get(self._known(slot).name)

    def put(self, slot: Slot[T], value: T) -> None:
        """Keep a value in place of the one before; nothing changes if it is refused.

        Raises:
            UsageError: If it is not of the slot's type, or does not fit.
        """
        name = self._known(slot).name
        raw = self.encoded(slot, value)
        with self._lock:
            self._check_growth(name, _size(name, raw) - _size(name, self._kept.get(name)))
            self._kept[name] = raw

    def remove(self, slot: Slot[Any]) -> None:
        """Empty a slot; emptying it twice is harmless."""
        with self._lock:
            self._kept.pop(self._known(slot).name, None)

    def encoded(self, slot: Slot[T], value: T) -> bytes:
        """Return a value's JSON form.

        Raises:
            UsageError: If it is not of the slot's type.
        """
        name = self._known(slot).name
        try:
            raw = msgspec.json.encode(value)
            msgspec.json.decode(raw, type=slot.kind)
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise UsageError(f"the value for slot {name!r} does not have its type: {error}") from error
        return raw

    def hold(self, name: str, growth: int) -> None:
        """Hold the bytes by which a draft's value is larger than what it replaces; fewer than 0 gives them back.

        Raises:
            UsageError: If they do not fit.
        """
        with self._lock:
            self._check_growth(name, growth)
            self._drafted += growth

    def take(self, changes: Mapping[str, bytes | None], held: int) -> None:
        """Make a draft's changes count, `None` for an emptied slot, and give back the bytes it held."""
        with self._lock:
            self._drafted -= held
            for name, raw in changes.items():
                if raw is None:
                    self._kept.pop(name, None)
                else:
                    self._kept[name] = raw

    def _check_growth(self, name: str, growth: int) -> None:
        size = self.size_bytes + growth
        if growth > 0 and size > self._limit_bytes:
            raise UsageError(
                f"slot {name!r} would bring the scratch to {size} bytes, above {self._limit_bytes}",
                next_step="put what is large into the artifacts and keep its digest",
            )

    def snapshot(self) -> bytes:
        """Return all values as one JSON document, for a run that is parked."""
        kept = {name: msgspec.Raw(self._kept[name]) for name in sorted(self._kept)}
        return msgspec.json.encode(
            {
                "tenant": self.scope.tenant,
                "environment": self.scope.environment,
                "request_id": self.request_id,
                "values": kept,
            }
        )

    def restore(self, snapshot: bytes) -> None:
        """Take the values of a snapshot of this run in place of all there are.

        Raises:
            DataError: If it is no snapshot, or one of another run or scope.
            UsageError: If a value does not fit its slot.
        """
        try:
            found = msgspec.json.decode(snapshot, type=_Snapshot)
        except msgspec.MsgspecError as error:
            raise DataError(f"this is no snapshot of a scratch: {error}") from error
        whose = Scope(tenant=found.tenant, environment=found.environment)
        if whose != self.scope or found.request_id != self.request_id:
            raise DataError(f"this snapshot belongs to another run than {self.request_id!r}")
        before, self._kept = self._kept, {}
        try:
            for name, raw in found.values.items():
                slot = self.slot(name)
                self.put(slot, msgspec.json.decode(raw, type=slot.kind))
        except (UsageError, msgspec.MsgspecError) as error:
            self._kept = before
            raise UsageError(f"the snapshot does not fit the slots of this run: {error}") from error

    def _known(self, slot: Slot[T]) -> Slot[T]:
        if self.slot(slot.name) != slot:
            raise UsageError(f"slot {slot.name!r} of this run has another type")
        return slot


class Draft:
    """The scratch as one call sees it; `runtime.ports.state.CallScratch`."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._changes: dict[str, bytes | None] = {}
        self._held: dict[str, int] = {}
        self._over = False

    def get(self, slot: Slot[T]) -> T | None:
        """Return a copy of a slot's value; `None` if nothing was put there."""
        kept = self._scratch.raw(slot)
        raw = self._changes.get(slot.name, kept)
        return None if raw is None else msgspec.json.decode(raw, type=slot.kind)

    def put(self, slot: Slot[T], value: T) -> None:
        """Keep a value in place of the one before; see `Scratch.put`.

        Values put after the call was abandoned are dropped.

        Raises:
            UsageError: If it is not of the slot's type or does not fit.
        """
        self._change(slot, self._scratch.encoded(slot, value))

    def remove(self, slot: Slot[Any]) -> None:
        """Empty a slot; emptying it twice is harmless."""
        self._change(slot, None)

    def end(self, *, keep: bool) -> dict[str, Any] | None:
        """Make the changes count or forget them; return those that count, `None` if there are none."""
        self._over = True
        changes, self._changes = self._changes if keep else {}, {}
        self._scratch.take(changes, sum(self._held.values()))
        self._held = {}
        return {n: None if raw is None else msgspec.json.decode(raw) for n, raw in changes.items()} or None

    def _change(self, slot: Slot[Any], raw: bytes | None) -> None:
        if self._over:
            return
        growth = max(_size(slot.name, raw) - _size(slot.name, self._scratch.raw(slot)), 0)
        self._scratch.hold(slot.name, growth - self._held.get(slot.name, 0))
        self._held[slot.name] = growth
        self._changes[slot.name] = raw


def _size(name: str, raw: bytes | None) -> int:
    return 0 if raw is None else len(name.encode()) + len(raw)


class _Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    tenant: str
    environment: str
    request_id: str
    values: dict[str, msgspec.Raw]
