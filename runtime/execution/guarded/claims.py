"""Claims: a write is carried out once, by the owner of its key.

Theory of operation. Before a write is carried out its key is claimed in the store, with a lease and a fencing number.
The claim ends with what is known of the call, before the outcome is returned:

    won -> carried out -> done        the result is stored; later calls of the key are answered with it
                       -> failed      nothing was done; a later call may try
                       -> in_doubt    nobody knows; a later call asks the tool, or stops
        -> abandoned   -> done        once the call ends late, with its result
                       -> in_doubt    once it ends without one, as it was stored
    not won            -> the first call's result, busy, in doubt, or a conflict of arguments

A claim whose process died lapses into doubt by itself. An owner whose claim was taken over says nothing more: its
fencing number is too low.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from runtime.control.budgets import never_reached
from runtime.control.claims import ClaimAnswer
from runtime.control.scopes import scope_key
from runtime.core.effects import AnyOutcome, CallTool, FailureKind, Outcome, ToolResult
from runtime.core.run import Header, ToolDecl
from runtime.execution.guarded.business_keys import business_hash, claim_hash, has_business_key
from runtime.ports.control_store import ControlStore
from runtime.ports.control_values import ControlUnavailable, RunKey, RunOwner

DEDUPE_S = 7 * 86_400.0
"""For how long calls with equal business keys are one, where their tool does not say."""

_LEASE_MARGIN_S = 30.0
"""How much longer than a call's timeout its claim is held without a word."""


@dataclass(frozen=True, slots=True)
class _OpenClaim:
    """A claim that this run won and has not ended."""

    key: str
    fencing: int
    begun: bool = False


class RunClaims:
    """The claims of one run."""

    __slots__ = ("_decls", "_header", "_now", "_open", "_owner", "_run_owner", "_store")

    def __init__(
        self, store: ControlStore, now: Callable[[], float], header: Header, *, owner: str, fencing: int = 1
    ) -> None:
        """Begin with none.

        Args:
            store: Where claims are kept.
            now: Gives epoch seconds.
            header: The run's header.
            owner: Names this execution of the run; a lane is added to it for each claim.
            fencing: The number under which this process has the run.
        """
        self._store = store
        self._now = now
        self._header = header
        self._owner = owner
        key = RunKey(tenant=header.tenant, environment=header.environment, request_id=header.request_id)
        self._run_owner = RunOwner(key=key, fencing=fencing)
        tools = header.tools
        self._decls: dict[str, ToolDecl] = {} if tools == "opaque" else {t.schema.name: t for t in tools}
        self._open: dict[str, _OpenClaim] = {}

    def decl(self, tool: str) -> ToolDecl | None:
        """Return a tool's declaration."""
        return self._decls.get(tool)

    def is_repeatable(self, tool: str) -> bool:
        """Return whether repeating a write of the tool does no harm."""
        decl = self._decls.get(tool)
        return decl is not None and decl.repeatable

    def key_of(self, call: CallTool) -> str | None:
        """Return the key under which a call is claimed: its business key, else a write's idempotency key."""
        decl = self._decls.get(call.name)
        if decl is not None and has_business_key(decl, call):
            # By default for the tenant, not for one run: two runs that pay one invoice are one payment.
            header = self._header
            of_run = (header.root or header.request_id,) if decl.dedupe_scope == "run" else ()
            return scope_key(
                header.tenant, header.environment, "dedupe", *of_run, call.name, business_hash(decl, call)
            )
        return call.limits.idempotency_key if call.write else None

    def claims_first(self, call: CallTool) -> bool:
        """Return whether a call is claimed before it is admitted: other runs may be at the same one."""
        decl = self._decls.get(call.name)
        return decl is not None and has_business_key(decl, call)

    def is_won(self, lane: str) -> bool:
        """Return whether the call of a lane has its claim."""
        return lane in self._open

    def has_begun(self, lane: str) -> bool:
        """Return whether the call of a lane has its claim and has begun."""
        claim = self._open.get(lane)
        return claim is not None and claim.begun

    async def is_busy(self, key: str) -> bool:
        """Return whether the call that has a claim is under way.

        Raises:
            ControlUnavailable: If the store cannot be read.
        """
        found = await self._store.lookup_claim(key, now=self._now())
        return found is not None and found.state == "claimed"

    async def claim(self, call: CallTool, *, epoch: int | None = None) -> ClaimAnswer:
        """Ask to carry out a call that has a key.

        Args:
            call: The call.
            epoch: Of the switches that were looked at.

        Raises:
            SwitchesChanged: If the switches are of another epoch; nothing is claimed then.
            ControlUnavailable: If the store cannot be used; nothing is claimed then.
        """
        key = self.key_of(call)
        assert key is not None
        return await self._store.claim(
            key,
            args_hash=claim_hash(self._decls.get(call.name), call),
            owner=self._owner + call.lane,
            now=self._now(),
            lease_s=(call.limits.timeout_s or 600.0) + _LEASE_MARGIN_S,
            repeatable=self.is_repeatable(call.name),
            keep_s=self._keep_s(call),
            run=self._run_owner,
            epoch=epoch,
        )

    def _keep_s(self, call: CallTool) -> float | None:
        decl = self._decls.get(call.name)
        if decl is None or not has_business_key(decl, call):
            return None  # of one run alone, which may be resumed at any time
        return DEDUPE_S if decl.dedupe_s is None else decl.dedupe_s

    def won(self, key: str, lane: str, *, fencing: int) -> None:
        """Keep a claim that was won, so that the call's end finds it."""
        self._open[lane] = _OpenClaim(key, fencing)

    async def free_unbegun(self) -> None:
        """End the claims of calls that were admitted and never began; those of abandoned calls stay.

        Raises:
            ControlUnavailable: If the store cannot be used; they lapse into doubt then.
        """
        for lane, claim in list(self._open.items()):
            if not claim.begun:
                del self._open[lane]
                await self._store.end_claim(
                    claim.key, fencing=claim.fencing, state="failed", now=self._now(), note="it never began"
                )

    def began(self, lane: str) -> None:
        """Say that the call of a lane begins: what becomes of it is not known until it ends."""
        claim = self._open.get(lane)
        if claim is not None:
            self._open[lane] = _OpenClaim(claim.key, claim.fencing, begun=True)

    async def end(self, call: CallTool, outcome: AnyOutcome, *, abandoned: bool = False) -> None:
        """Store what became of a claimed write, before its outcome is returned.

        An error of the tool's own domain is the tool's word that nothing was done. Any other failure leaves that
        open, unless the call never reached the other side.

        Args:
            call: The call.
            outcome: What it came to.
            abandoned: Whether it still runs, so that its late end is stored too.

        Raises:
            ControlUnavailable: If the store cannot be used; the claim lapses into doubt then.
        """
        claim = self._open.get(call.lane)
        if claim is None:
            return  # an abandoned call ended in the meantime, and its result is stored
        await self._end(claim, call.name, outcome)
        if not abandoned:
            self._open.pop(call.lane, None)

    async def end_late(self, call: CallTool, result: ToolResult | None) -> None:
        """Store the result of an abandoned call that has ended; without one it stays in doubt, as it is stored."""
        claim = self._open.get(call.lane)
        if claim is not None and result is not None:
            with contextlib.suppress(ControlUnavailable):  # then it stays in doubt
                await self._end(claim, call.name, Outcome(result))
                self._open.pop(call.lane, None)

    async def settle_doubt(self, key: str, result: ToolResult | None) -> None:
        """Store what a tool found out about a claim in doubt: its result, or `None` if the call did not happen."""
        await self._store.reconcile_claim(
            key, happened=result is not None, by="reconcile", now=self._now(), result=result
        )

    async def _end(self, claim: _OpenClaim, tool: str, outcome: AnyOutcome) -> None:
        result, failure = outcome.value, outcome.failure
        if isinstance(result, ToolResult) and result.status != "error":
            await self._store.end_claim(
                claim.key, fencing=claim.fencing, state="done", now=self._now(), result=result
            )
            return
        nothing_done = failure is None or (failure.phase != "rejected" and never_reached(failure))
        if failure is not None and self.is_repeatable(tool):
            # A second call does no harm, so a failure that came back keeps nobody from it.
            came_back = failure.kind not in {FailureKind.TIMEOUT, FailureKind.INTERRUPTED}
            nothing_done = nothing_done or came_back
        await self._store.end_claim(
            claim.key,
            fencing=claim.fencing,
            state="failed" if nothing_done else "in_doubt",
            now=self._now(),
            note=None if failure is None else failure.message,
        )
