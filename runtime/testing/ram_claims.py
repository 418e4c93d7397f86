"""Idempotency claims in memory."""

from __future__ import annotations

from runtime.control import claims
from runtime.control.claims import Claim, ClaimAnswer, ClaimChange, ClaimState, EndState
from runtime.core.effects import ToolResult
from runtime.ports.control_values import RunOwner
from runtime.testing.ram_guards import RamPart


class RamClaims(RamPart):
    """`ClaimStore` in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._claims: dict[str, Claim] = {}

    async def claim(
        self,
        key: str,
        *,
        args_hash: str,
        owner: str,
        now: float,
        lease_s: float,
        repeatable: bool = False,
        keep_s: float | None = None,
        run: RunOwner | None = None,
        epoch: int | None = None,
    ) -> ClaimAnswer:
        """Ask to carry out a write."""
        with self._lock:
            self._check_owner(run)
            self._check_epoch(epoch)
            answer = claims.take(
                self._claims.get(key),
                key=key,
                args_hash=args_hash,
                owner=owner,
                now=now,
                lease_s=lease_s,
                repeatable=repeatable,
                keep_s=keep_s,
            )
            self._claims[key] = answer.claim
        return answer

    async def renew_claim(self, key: str, *, fencing: int, now: float, lease_s: float) -> bool:
        """Extend a claim."""
        with self._lock:
            renewed = claims.renew(self._claims.get(key), fencing=fencing, now=now, lease_s=lease_s)
            if renewed is not None:
                self._claims[key] = renewed
        return renewed is not None

    async def end_claim(
        self,
        key: str,
        *,
        fencing: int,
        state: EndState,
        now: float,
        result: ToolResult | None = None,
        note: str | None = None,
    ) -> ClaimChange:
        """Say what became of the call."""
        with self._lock:
            change = claims.end(
                self._claims.get(key), fencing=fencing, state=state, result=result, note=note, now=now
            )
            return self._changed_claim(key, change)

    async def reconcile_claim(
        self, key: str, *, happened: bool, by: str, now: float, result: ToolResult | None = None
    ) -> ClaimChange:
        """Say what was found out about a call in doubt."""
        with self._lock:
            change = claims.reconcile(self._claims.get(key), happened=happened, by=by, result=result, now=now)
            return self._changed_claim(key, change)

    async def lookup_claim(self, key: str, *, now: float) -> Claim | None:
        """Return what is known of a key."""
        found = self._claims.get(key)
        return None if found is None else claims.as_of(found, now)

    async def list_claims(self, *, state: ClaimState, now: float, limit: int = 100) -> tuple[Claim, ...]:
        """Return the claims in a state, by key."""
        with self._lock:
            current = [claims.as_of(self._claims[key], now) for key in sorted(self._claims)]
        return tuple(claim for claim in current if claim.state == state)[:limit]

    def _changed_claim(self, key: str, change: ClaimChange) -> ClaimChange:
        if change.applied and change.claim is not None:
            self._claims[key] = change.claim
        return change
