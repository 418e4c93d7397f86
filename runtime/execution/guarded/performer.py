"""The guarded performer: the live one under the control store.

For each call: switches before it starts -> slot -> idempotency claim -> call, cut off by switches -> claim ended ->
grant settled -> outcome. So a write is never carried out twice, and an outcome is known to the store before the flow
sees it. What cannot be read or written is refused (`control_unavailable`), never guessed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import assert_never

import msgspec

from runtime.control.claims import ClaimAnswer
from runtime.control.ledger import NO_CAPS
from runtime.control.switches import pulled
from runtime.core.effects import (
    Admission,
    Admit,
    AnyOutcome,
    AskApproval,
    Begin,
    CallModel,
    CallTool,
    Controls,
    End,
    Failure,
    FailureKind,
    Input,
    Outcome,
    ReadControls,
    Refuse,
    SingleEffect,
    Wait,
)
from runtime.execution.guarded.approvals import ask_through_store
from runtime.execution.guarded.in_doubt import Reconciler, doubt, was_lost
from runtime.execution.interruption import interruption, past_deadline, queue_refusal
from runtime.execution.live.abandoned import Listener
from runtime.execution.live.performer import LivePerformer
from runtime.execution.run_guard import RunGuard
from runtime.execution.time_limit import HaltedError
from runtime.ports.control_values import ControlUnavailable
from runtime.ports.tools import ApprovalDesk, Reconcile


class GuardedPerformer:
    """Carries out the effects of one run under the control store."""

    __slots__ = ("_claims", "_desk", "_grants", "_guard", "_inner", "_reconciler")

    def __init__(
        self,
        inner: LivePerformer,
        guard: RunGuard,
        *,
        desk: ApprovalDesk | None = None,
        reconcile: Mapping[str, Reconcile] | None = None,
    ) -> None:
        """Stand before a live performer that has the same guard.

        Args:
            inner: Carries effects out.
            guard: Guards the run.
            desk: Decides approvals in the inner performer; without one the store does.
            reconcile: How tools find out what became of a write, by tool name.
        """
        self._inner = inner
        self._guard = guard
        self._grants = guard.grants
        self._claims = guard.claims
        self._desk = desk
        self._reconciler = Reconciler(reconcile or {}, guard, inner.elapsed_s)

    async def perform(self, effect: SingleEffect) -> AnyOutcome:
        """Return an effect's outcome."""
        match effect:
            case CallModel():
                return await self._call(effect, model=effect.request.model)
            case CallTool():
                return await self._call(effect, tool=effect.name)
            case Admit():
                return await self._admit(effect)
            case ReadControls():
                return self._read(effect)
            case AskApproval():
                return await (self._ask(effect) if self._desk is None else self._inner.perform(effect))
            case End():
                outcome = await self._inner.perform(effect)
                await self._guard.close(effect.stop_reason)
                return outcome
            case Begin() | Refuse() | Wait() | Input():
                return await self._inner.perform(effect)
            case _:
                assert_never(effect)

    def on_late(self, listener: Listener) -> None:
        """Register a callback for calls that end after they were abandoned."""
        self._inner.on_late(listener)

    async def _admit(self, effect: Admit) -> AnyOutcome:
        started = self._inner.elapsed_s()
        tool = effect.name if effect.subject == "tool" else None
        model = effect.name if effect.subject == "model" else None
        await self._guard.yield_to_killed()
        while True:
            # Asked again each round: a switch may be pulled while the call waits for a slot.
            cause = self._guard.cause(tool=tool, model=model)
            late = effect.queued and past_deadline(effect, self._inner.elapsed_s())
            gone = queue_refusal(effect, late=late)
            if gone is not None:
                return self._timed(started, value=gone)
            if cause is not None:
                cause = "unavailable" if cause == "control_unavailable" else cause
                return self._timed(started, value=Admission(granted=False, cause=cause))
            try:
                admission, after_s = self._grants.admit(effect)
            except ControlUnavailable as error:
                needs_none = self._needs_no_grant(effect)
                refused = Admission(granted=False, cause="unavailable", detail=error.what)
                return self._timed(started, value=Admission() if needs_none else refused)
            if admission.granted or after_s is None:
                return self._timed(started, value=admission)
            deadline = effect.limits.deadline_s
            waits_until = started + self._guard.rules.max_wait_s
            left = min(waits_until, float("inf") if deadline is None else deadline) - self._inner.elapsed_s()
            if left <= 0:
                return self._timed(started, value=admission)
            # Polled: a slot that another process frees sends no word. Never longer than 50 ms, as the store's
            # estimate of the wait is a guess; never shorter than 5 ms, so that many waiters do not spin.
            await asyncio.sleep(min(max(after_s, 0.005), left, 0.05))

    def _needs_no_grant(self, effect: Admit) -> bool:
        """Return whether a call may start without the store, which `cause` permits for `stale_s` seconds.

        Reads, and replies that no cap across runs pays for: nothing is overspent and nothing is changed by them.
        """
        rules = self._guard.rules
        capped = rules.tenant_day != NO_CAPS or rules.everything != NO_CAPS
        if effect.subject == "model":
            return not capped and effect.name not in rules.model_rates
        decl = self._claims.decl(effect.name)
        guarded = effect.name in rules.tool_rates or effect.name in rules.tool_slots
        return decl is not None and not decl.write and not guarded and not capped

    def _read(self, effect: ReadControls) -> AnyOutcome:
        started = self._inner.elapsed_s()
        try:
            switches = pulled(self._guard.board(), self._guard.target, effect.tools)
        except ControlUnavailable:
            switches = ("unavailable",)
        return self._timed(started, value=Controls(pulled=switches))

    async def _ask(self, effect: AskApproval) -> AnyOutcome:
        started = self._inner.elapsed_s()
        answer = await ask_through_store(self._guard, effect, self._inner.elapsed_s)
        if isinstance(answer, str):
            return self._interrupted(answer, started)
        return self._timed(started, value=answer)

    async def _call(
        self, effect: CallModel | CallTool, *, tool: str | None = None, model: str | None = None
    ) -> AnyOutcome:
        """Return the outcome of a call; its grant is settled with it, whatever it is."""
        started = self._inner.elapsed_s()
        write = isinstance(effect, CallTool) and effect.write
        cause = self._guard.cause(tool=tool, model=model, fresh=write)
        if cause is not None:
            outcome = self._timed(started, failure=interruption(cause, begun=False))
        else:
            self._guard.calls[effect.lane] = (tool, model)
            try:
                if isinstance(effect, CallTool):
                    refused = await self._slot(effect) if self._grants.waits(effect.lane) else None
                    outcome = await self._claimed(effect) if refused is None else refused
                else:
                    outcome = await self._inner.perform(effect)
            except ControlUnavailable:
                outcome = self._interrupted("control_unavailable", started)
            except asyncio.CancelledError:
                # The caller went away; the other side may have done the work, and is paid for it.
                with contextlib.suppress(ControlUnavailable):
                    self._settle(effect.lane, self._interrupted("cancelled", started))
                raise
            finally:
                self._guard.calls.pop(effect.lane, None)
        # Where the store is away the hold expires to its estimate; the outcome is the truth all the same.
        with contextlib.suppress(ControlUnavailable):
            self._settle(effect.lane, outcome)
        return outcome

    def _settle(self, lane: str, outcome: AnyOutcome) -> None:
        self._grants.settle(lane, outcome, abandoned=self._inner.is_abandoned(lane))

    async def _slot(self, effect: CallTool) -> AnyOutcome | None:
        """Wait for a slot that other calls of the run have; return why the call cannot begin, if it cannot."""
        started = self._inner.elapsed_s()
        deadline = effect.limits.deadline_s
        while True:
            cause = self._guard.cause(tool=effect.name)
            if cause is None and deadline is not None and self._inner.elapsed_s() >= deadline:
                cause = "deadline"
            if cause is not None:
                return self._timed(started, failure=interruption(cause, begun=False))
            waiting = self._grants.take_slot(effect.lane, effect.name)
            if waiting is None:
                return None
            waited_s = self._inner.elapsed_s() - started
            # A slot that a call of this run has is waited for to the end: it comes free when that call ends.
            if not waiting.ours and waited_s > self._guard.rules.max_wait_s:
                message = f"no slot of '{effect.name}' was free"
                failure = Failure(
                    kind=FailureKind.UNAVAILABLE, message=message, retryable=True, phase="connect"
                )
                return self._timed(started, failure=failure)
            await asyncio.sleep(min(max(waiting.after_s, 0.005), 0.05))

    async def _claimed(self, effect: CallTool) -> AnyOutcome:
        """Carry out a call under a claim, if it needs one; the claim ends before the outcome is known to the flow."""
        claims = self._claims
        key = claims.key_of(effect)
        if key is None:
            return await self._inner.perform(effect)
        started = self._inner.elapsed_s()
        try:
            answer = claims.claim(key, effect)
        except ControlUnavailable:
            return self._timed(started, failure=interruption("control_unavailable", begun=False))
        if answer.verdict != "won":
            return await self._not_won(effect, answer, started)
        claims.won(key, effect.lane, fencing=answer.claim.fencing)
        try:
            outcome = await self._inner.perform(effect)
        except asyncio.CancelledError:
            with contextlib.suppress(ControlUnavailable):  # then it lapses into doubt
                # Kept open as of an abandoned call: one that ends in this turn has a result all the same.
                claims.end(effect, self._interrupted("cancelled", started), abandoned=True)
            raise
        abandoned = self._inner.is_abandoned(effect.lane)
        can_reconcile = effect.name in self._reconciler.tools and not claims.is_repeatable(effect.name)
        if can_reconcile and was_lost(outcome) and not abandoned:
            outcome = await self._reconciled(effect, answer.claim.key, outcome)
        try:
            claims.end(effect, outcome, abandoned=self._inner.is_abandoned(effect.lane))
        except ControlUnavailable:
            # The claim lapses into doubt. A call that never began is in none here.
            if outcome.failure is None or outcome.failure.phase != "connect":
                raise
        return outcome

    async def _not_won(self, effect: CallTool, answer: ClaimAnswer, started: float) -> AnyOutcome:
        match answer.verdict:
            case "done":
                result = answer.claim.result
                assert result is not None
                kept = msgspec.structs.replace(result, status="cached", saved=None)
                return self._timed(started, value=self._inner.capped(effect, kept))
            case "busy":
                message = f"the same call of '{effect.name}' is under way elsewhere"
                return self._timed(
                    started, failure=Failure(kind=FailureKind.UNAVAILABLE, message=message, retryable=True)
                )
            case "conflict":
                message = f"the key of this call of '{effect.name}' was used with other arguments"
                return self._timed(
                    started, failure=Failure(kind=FailureKind.ERROR, message=message, error_type="conflict")
                )
            case _:
                return await self._in_doubt(effect, answer, started)

    async def _in_doubt(self, effect: CallTool, answer: ClaimAnswer, started: float) -> AnyOutcome:
        """Return the outcome of a call whose key an earlier call left in doubt."""
        if effect.name not in self._reconciler.tools:
            return self._timed(started, failure=doubt(effect, "nobody knows"))
        try:
            finding = await self._reconciler.ask(effect, answer.claim.key)
        except HaltedError as halt:
            return self._interrupted(halt.cause, started)
        if isinstance(finding, str):
            return self._timed(started, failure=doubt(effect, finding))
        self._claims.settle_doubt(answer.claim.key, finding.result)
        if finding.result is not None:
            kept = msgspec.structs.replace(finding.result, status="cached")
            return self._timed(started, value=self._inner.capped(effect, kept))
        return await self._claimed(effect)

    async def _reconciled(self, effect: CallTool, key: str, outcome: AnyOutcome) -> AnyOutcome:
        """Return the outcome of a write whose answer was lost, once its tool has found out what became of it."""
        failure, started = outcome.failure, self._inner.elapsed_s() - (outcome.duration_s or 0.0)
        assert failure is not None
        try:
            finding = await self._reconciler.ask(effect, key)
        except HaltedError as halt:
            return self._interrupted(halt.cause, started)
        if isinstance(finding, str):
            return outcome
        if finding.result is not None:
            return self._timed(started, value=self._inner.capped(effect, finding.result))
        message = f"{failure.message}; it did not happen"
        return self._timed(
            started,
            failure=msgspec.structs.replace(failure, message=message, retryable=True, phase="connect"),
        )

    def _interrupted(self, cause: str, started: float) -> AnyOutcome:
        return self._timed(started, failure=interruption(cause, begun=True))

    def _timed(self, started: float, *, value: object = None, failure: Failure | None = None) -> AnyOutcome:
        now = self._inner.elapsed_s()
        return Outcome(value, failure, round(now, 6), round(now - started, 6))
