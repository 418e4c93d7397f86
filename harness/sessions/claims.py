"""What a resumed run can know of a write that was in flight: the claim under its idempotency key."""

from __future__ import annotations

from typing import Protocol

from runtime.control.claims import Claim, EndState
from runtime.core.effects import ToolResult
from runtime.execution.governor import Governor


class Claims(Protocol):
    """Looks up what became of a write by its idempotency key."""

    def result(self, idempotency_key: str) -> ToolResult | None:
        """Return the stored result of a completed call; `None` if the claim is open or absent."""
        ...

    def never_happened(self, idempotency_key: str) -> bool:
        """Return whether it is known that the call did not happen, so that it may be made."""
        ...

    def settle(self, idempotency_key: str, result: ToolResult | None) -> None:
        """Store what was found out about an open claim: its result, or that the call did not happen."""
        ...


class StoreClaims:
    """The claims of a control store."""

    def __init__(self, governor: Governor) -> None:
        self._governor = governor

    def result(self, idempotency_key: str) -> ToolResult | None:
        """Return the stored result of a completed call."""
        found = self._claim(idempotency_key)
        return None if found is None or found.state not in {"done", "reconciled"} else found.result

    def never_happened(self, idempotency_key: str) -> bool:
        """Return whether the call failed cleanly, or an operator found out that it did not happen."""
        found = self._claim(idempotency_key)
        return found is not None and found.state == "failed"

    def settle(self, idempotency_key: str, result: ToolResult | None) -> None:
        """Store what was found out about an open claim; its owner's process is gone."""
        found = self._claim(idempotency_key)
        if found is not None:
            state: EndState = "failed" if result is None else "done"
            now = self._governor.now()
            self._governor.store.end_claim(
                idempotency_key, fencing=found.fencing, state=state, now=now, result=result
            )

    def _claim(self, key: str) -> Claim | None:
        return self._governor.store.lookup_claim(key, now=self._governor.now())
