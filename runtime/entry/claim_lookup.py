"""What a resumed run can know of a write that was in flight: the claim under its key, in the control store."""

from __future__ import annotations

from runtime.control.claims import Claim, EndState
from runtime.core.effects import ToolResult
from runtime.execution.governor import Governor


class ClaimLookup:
    """Looks up what became of a write by the key it was claimed under."""

    def __init__(self, governor: Governor) -> None:
        self._governor = governor

    async def result(self, key: str) -> ToolResult | None:
        """Return the stored result of a completed call; `None` if the claim is open or absent."""
        claim = await self._claim(key)
        return None if claim is None or claim.state not in {"done", "reconciled"} else claim.result

    async def never_happened(self, key: str) -> bool:
        """Return whether the call failed cleanly, or an operator found out that it did not happen."""
        claim = await self._claim(key)
        return claim is not None and claim.state == "failed"

    async def settle(self, key: str, result: ToolResult | None) -> None:
        """Store what was found out about an open claim: its result, or `None` if the call did not happen.

        The claim's owner cannot answer any more: its process is gone.
        """
        claim = await self._claim(key)
        if claim is not None:
            state: EndState = "failed" if result is None else "done"
            now = self._governor.now()
            await self._governor.store.end_claim(
                key, fencing=claim.fencing, state=state, now=now, result=result
            )

    async def _claim(self, key: str) -> Claim | None:
        return await self._governor.store.lookup_claim(key, now=self._governor.now())
