"""Scratch: the small typed values that one run keeps while it lasts.

A value is kept as its JSON form: what was put in cannot be changed from outside, what does not fit its type is
refused when it is put, and the size of the whole is known. A parked run takes the snapshot with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from runtime.errors import DataFault, UsageFault
from runtime.ports.state import Scope

T = TypeVar("T")

LIMIT_BYTES = 64 * 1024
"""What all values of a run may take together, as JSON."""


@dataclass(frozen=True, slots=True)
class Slot(Generic[T]):
    """A named place for values of one type.

    Attributes:
        name: Names the value within its run.
        kind: Its type: built-in types, dataclasses, msgspec structs, typed dictionaries.
    """

    name: str
    kind: type[T]


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
            slots: All the places there are.
            limit_bytes: What names and values may take together.

        Raises:
            UsageFault: If two slots have one name.
        """
        self.scope = scope
        self.request_id = request_id
        self._limit_bytes = limit_bytes
        self._slots = {slot.name: slot for slot in slots}
        if len(self._slots) < len(slots):
            raise UsageFault(f"two slots of run {request_id!r} have one name")
        self._kept: dict[str, bytes] = {}

    @property
    def size_bytes(self) -> int:
        """What names and values take now."""
        return sum(len(name.encode()) + len(raw) for name, raw in self._kept.items())

    def slot(self, name: str) -> Slot[Any]:
        """Return a slot by name.

        Raises:
            UsageFault: If there is none.
        """
        found = self._slots.get(name)
        if found is None:
            raise UsageFault(
                f"the run has no slot {name!r}", next_step=f"use one of {', '.join(sorted(self._slots))}"
            )
        return found

    def get(self, slot: Slot[T]) -> T | None:
        """Return a copy of a slot's value; `None` if nothing was put there."""
        raw = self._kept.get(self._known(slot).name)
        return None if raw is None else msgspec.json.decode(raw, type=slot.kind)

    def put(self, slot: Slot[T], value: T) -> None:
        """Keep a value in place of the one before; nothing changes if it is refused.

        Raises:
            UsageFault: If it is not of the slot's type, or does not fit.
        """
        name = self._known(slot).name
        try:
            raw = msgspec.json.encode(value)
            msgspec.json.decode(raw, type=slot.kind)
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise UsageFault(f"the value for slot {name!r} does not have its type: {error}") from error
        before = self._kept.get(name)
        size = self.size_bytes + len(raw) - (len(name.encode()) + len(before) if before is not None else 0)
        size += len(name.encode())
        if size > self._limit_bytes:
            raise UsageFault(
                f"slot {name!r} would bring the scratch to {size} bytes, above {self._limit_bytes}",
                next_step="put what is large into the artifacts and keep its digest",
            )
        self._kept[name] = raw

    def remove(self, slot: Slot[Any]) -> None:
        """Empty a slot; emptying it twice is harmless."""
        self._kept.pop(self._known(slot).name, None)

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
            DataFault: If it is no snapshot, or one of another run or scope.
            UsageFault: If a value does not fit its slot.
        """
        try:
            found = msgspec.json.decode(snapshot, type=_Snapshot)
        except msgspec.MsgspecError as error:
            raise DataFault(f"this is no snapshot of a scratch: {error}") from error
        whose = Scope(tenant=found.tenant, environment=found.environment)
        if whose != self.scope or found.request_id != self.request_id:
            raise DataFault(f"this snapshot belongs to another run than {self.request_id!r}")
        before, self._kept = self._kept, {}
        try:
            for name, raw in found.values.items():
                slot = self.slot(name)
                self.put(slot, msgspec.json.decode(raw, type=slot.kind))
        except (UsageFault, msgspec.MsgspecError) as error:
            self._kept = before
            raise UsageFault(f"the snapshot does not fit the slots of this run: {error}") from error

    def _known(self, slot: Slot[T]) -> Slot[T]:
        if self.slot(slot.name) != slot:
            raise UsageFault(f"slot {slot.name!r} of this run has another type")
        return slot


class _Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    tenant: str
    environment: str
    request_id: str
    values: dict[str, msgspec.Raw]
