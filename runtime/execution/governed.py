"""The governed performer: the live one under the control store.

For each call: switches before it starts and while it runs -> idempotency claim -> call -> claim ended -> grant
settled -> outcome. So a write is never carried out twice, and an outcome is known to the store before the flow
sees it. What cannot be read or written is refused (`control_unavailable`), never guessed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
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
    ToolResult,
    Wait,
)
from runtime.core.run import ToolDecl
from runtime.execution.asking import ask_through_store
from runtime.execution.bounded import HaltedError
from runtime.execution.business_keys import business_hash, claim_hash, has_business_key
from runtime.execution.governor import RunGovernor
from runtime.execution.live import LivePerformer
from runtime.execution.reconciling import Reconciler, was_lost
from runtime.ports.control_store import ControlStore
from runtime.ports.control_values import ControlUnavailable
from runtime.ports.tools import ApprovalDesk, Reconcile

_CLAIM_MARGIN_S = 30.0


class GovernedPerformer:
    """Carries out the effects of one run under the control store."""

    __slots__ = ("_claims", "_decls", "_desk", "_governor", "_grants", "_inner", "_reconciler", "_store")

    def __init__(
        self,
        inner: LivePerformer,
        governor: RunGovernor,
        store: ControlStore,
        *,
        desk: ApprovalDesk | None = None,
        reconcile: Mapping[str, Reconcile] | None = None,
    ) -> None:
        self._inner = inner
        self._governor = governor
        self._grants = governor.grants
        self._store = store
        self._desk = desk
        self._reconciler = Reconciler(reconcile or {}, governor, inner.elapsed_s)
        tools = governor.header.tools
        self._decls: dict[str, ToolDecl] = {} if tools == "opaque" else {t.schema.name: t for t in tools}
        self._claims: dict[str, tuple[str, int]] = {}

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
                return await (self._ask(effect) if self._desk is None else self._watched(effect))
            case Wait() | Input():
                return await self._watched(effect)
            case End():
                outcome = await self._inner.perform(effect)
                await self._governor.close(effect.stop_reason)
                return outcome
            case Begin() | Refuse():
                return await self._inner.perform(effect)
            case _:
                assert_never(effect)

    def on_late(self, listener: Callable[[CallTool, ToolResult | None], None]) -> None:
        """Tell somebody of calls that were given up and ended after all."""
        self._inner.on_late(listener)

    def ended(self, call: CallTool, result: ToolResult | None) -> None:
        """Take note of a call that was given up and ended after all: its result, its slot."""
        with contextlib.suppress(ControlUnavailable):  # then the slot lapses by itself
            self._grants.ended_after_all(call.lane)
        claim = self._claims.pop(call.lane, None)
        if claim is None or result is None:
            return
        with contextlib.suppress(ControlUnavailable):  # then it stays in doubt, as it is stored
            self._grants.end_claim(*claim, Outcome(result), repeatable=self._is_repeatable(call.name))

    def before(self, call: CallTool) -> Failure | None:
        """Return why a call may not begin now; a switch may have been pulled since it was claimed."""
        cause = self._governor.cause(tool=call.name, fresh=call.write)
        return None if cause is None else _interruption(cause, begun=False)

    async def _admit(self, effect: Admit) -> AnyOutcome:
        started = self._inner.elapsed_s()
        tool = effect.name if effect.subject == "tool" else None
        model = effect.name if effect.subject == "model" else None
        await self._governor.give_way()
        while True:
            cause = self._governor.cause(tool=tool, model=model)
            if cause is not None:
                cause = "unavailable" if cause == "control_unavailable" else cause
                return self._timed(started, value=Admission(granted=False, cause=cause))
            try:
                admission, after_s = self._grants.admit(effect)
            except ControlUnavailable as error:
                unseen = self._needs_no_grant(effect)
                refused = Admission(granted=False, cause="unavailable", detail=error.what)
                return self._timed(started, value=Admission() if unseen else refused)
            if admission.granted or after_s is None:
                return self._timed(started, value=admission)
            deadline = effect.limits.deadline_s
            waits_until = started + self._governor.grants_rules.max_wait_s
            left = min(waits_until, float("inf") if deadline is None else deadline) - self._inner.elapsed_s()
            if left <= 0:
                return self._timed(started, value=admission)
            await asyncio.sleep(min(max(after_s, 0.005), left, 0.05))

    def _needs_no_grant(self, effect: Admit) -> bool:
        """Return whether a call may start unseen by the store, which `cause` permits for `stale_s` seconds.

        Reads, and replies that no cap across runs pays for: nothing is overspent and nothing is changed by them.
        """
        rules = self._governor.grants_rules
        if effect.subject == "model":
            capped = rules.tenant_day != NO_CAPS or rules.everything != NO_CAPS
            return not capped and effect.name not in rules.model_rates
        decl = self._decls.get(effect.name)
        guarded = effect.name in rules.tool_rates or effect.name in rules.tool_slots
        capped = rules.tenant_day != NO_CAPS or rules.everything != NO_CAPS
        return decl is not None and not decl.write and not guarded and not capped

    def _read(self, effect: ReadControls) -> AnyOutcome:
        started = self._inner.elapsed_s()
        try:
            found = pulled(self._governor.board(), self._governor.target, effect.tools)
        except ControlUnavailable:
            found = ("unavailable",)
        return self._timed(started, value=Controls(pulled=found))

    async def _ask(self, effect: AskApproval) -> AnyOutcome:
        started = self._inner.elapsed_s()
        found = await ask_through_store(self._store, self._governor, effect, self._inner.elapsed_s)
        if isinstance(found, str):
            return self._interrupted(found, started)
        return self._timed(started, value=found)

    async def _call(
        self, effect: CallModel | CallTool, *, tool: str | None = None, model: str | None = None
    ) -> AnyOutcome:
        started = self._inner.elapsed_s()
        write = isinstance(effect, CallTool) and effect.write
        cause = self._governor.cause(tool=tool, model=model, fresh=write)
        if cause is not None:
            outcome = self._timed(started, failure=_interruption(cause, begun=False))
        else:
            self._governor.calls[effect.lane] = (tool, model)
            try:
                if isinstance(effect, CallTool):
                    refused = await self._slot(effect) if self._grants.waits(effect.lane) else None
                    outcome = await self._claimed(effect) if refused is None else refused
                else:
                    outcome = await self._watched(effect)
            except ControlUnavailable:
                outcome = self._interrupted("control_unavailable", started)
            except asyncio.CancelledError:
                # The caller went away; the other side may have done the work, and is paid for it.
                with contextlib.suppress(ControlUnavailable):
                    gone = self._interrupted("cancelled", started)
                    self._grants.settle(effect.lane, gone, lingers=self._inner.goes_on(effect.lane))
                raise
            finally:
                self._governor.calls.pop(effect.lane, None)
        try:
            self._grants.settle(effect.lane, outcome, lingers=self._inner.goes_on(effect.lane))
        except ControlUnavailable:
            # The hold expires to its estimate; the outcome is the truth all the same.
            return outcome
        return outcome

    async def _slot(self, effect: CallTool) -> AnyOutcome | None:
        """Wait for a slot that other calls of the run have; return why the call cannot begin, if it cannot."""
        started = self._inner.elapsed_s()
        deadline = effect.limits.deadline_s
        while True:
            cause = self._governor.cause(tool=effect.name)
            if cause is None and deadline is not None and self._inner.elapsed_s() >= deadline:
                cause = "deadline"
            if cause is not None:
                return self._timed(started, failure=_interruption(cause, begun=False))
            taken = self._grants.take_slot(effect.lane, effect.name)
            if taken is None:
                return None
            after_s, ours = taken
            waited = self._inner.elapsed_s() - started
            if not ours and waited > self._governor.grants_rules.max_wait_s:
                message = f"no slot of '{effect.name}' was free"
                return self._timed(
                    started,
                    failure=Failure(
                        kind=FailureKind.UNAVAILABLE, message=message, retryable=True, phase="connect"
                    ),
                )
            await asyncio.sleep(min(max(after_s, 0.005), 0.05))

    async def _claimed(self, effect: CallTool) -> AnyOutcome:
        key = self.claim_key(effect)
        if key is None:
            return await self._watched(effect)
        started = self._inner.elapsed_s()
        lease_s = (effect.limits.timeout_s or 600.0) + _CLAIM_MARGIN_S
        repeatable = self._is_repeatable(effect.name)
        compared = claim_hash(self._decls.get(effect.name), effect)
        try:
            answer = self._grants.claim(
                key, args_hash=compared, lane=effect.lane, lease_s=lease_s, repeatable=repeatable
            )
        except ControlUnavailable:
            return self._timed(started, failure=_interruption("control_unavailable", begun=False))
        if answer.verdict != "won":
            return await self._not_won(effect, answer, started)
        self._claims[effect.lane] = (key, answer.claim.fencing)
        try:
            outcome = await self._watched(effect)
        except asyncio.CancelledError:
            with contextlib.suppress(ControlUnavailable):  # then it lapses into doubt
                gone = self._interrupted("cancelled", started)
                self._grants.end_claim(key, answer.claim.fencing, gone)
            raise
        asked = not repeatable and effect.name in self._reconciler.tools
        if asked and was_lost(outcome) and not self._inner.goes_on(effect.lane):
            outcome = await self._found_out(effect, answer.claim.key, outcome)
        try:
            self._grants.end_claim(key, answer.claim.fencing, outcome, repeatable=repeatable)
        except ControlUnavailable:
            # The claim lapses into doubt. A call that never began is in none here.
            if outcome.failure is None or outcome.failure.phase != "connect":
                raise
        if not self._inner.goes_on(effect.lane):
            self._claims.pop(effect.lane, None)
        return outcome

    def claim_key(self, effect: CallTool) -> str | None:
        """Return the key under which a call is claimed: its business key, else a write's idempotency key."""
        decl = self._decls.get(effect.name)
        if decl is not None and has_business_key(decl, effect):
            return self._grants.business_key(effect.name, business_hash(decl, effect))
        return effect.limits.idempotency_key if effect.write else None

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
        if effect.name not in self._reconciler.tools:
            return self._timed(started, failure=_doubt(effect, "nobody knows"))
        try:
            found = await self._reconciler.ask(effect, answer.claim.key)
        except HaltedError as halt:
            return self._interrupted(halt.cause, started)
        if isinstance(found, str):
            return self._timed(started, failure=_doubt(effect, found))
        result = found.result
        self._store.reconcile_claim(
            answer.claim.key,
            happened=result is not None,
            by="reconcile",
            now=self._governor.now(),
            result=result,
        )
        if result is not None:
            kept = msgspec.structs.replace(result, status="cached")
            return self._timed(started, value=self._inner.capped(effect, kept))
        return await self._claimed(effect)

    async def _found_out(self, effect: CallTool, key: str, outcome: AnyOutcome) -> AnyOutcome:
        """Return the outcome of a write whose answer was lost, once its tool has found out what became of it."""
        failure, started = outcome.failure, self._inner.elapsed_s() - (outcome.duration_s or 0.0)
        assert failure is not None
        try:
            found = await self._reconciler.ask(effect, key)
        except HaltedError as halt:
            return self._interrupted(halt.cause, started)
        if isinstance(found, str):
            return outcome
        if found.result is not None:
            return self._timed(started, value=self._inner.capped(effect, found.result))
        words = f"{failure.message}; it did not happen"
        return self._timed(
            started,
            failure=msgspec.structs.replace(failure, message=words, retryable=True, phase="connect"),
        )

    def _is_repeatable(self, tool: str) -> bool:
        decl = self._decls.get(tool)
        return decl is not None and decl.repeatable

    async def _watched(self, effect: SingleEffect) -> AnyOutcome:
        """Carry out an effect; a pulled switch cancels it, and the cancellation is its outcome."""
        started = self._inner.elapsed_s()
        try:
            return await self._inner.perform(effect)
        except HaltedError as halted:
            return self._interrupted(halted.cause, started)

    def _interrupted(self, cause: str, started: float) -> AnyOutcome:
        return self._timed(started, failure=_interruption(cause, begun=True))

    def _timed(self, started: float, *, value: object = None, failure: Failure | None = None) -> AnyOutcome:
        now = self._inner.elapsed_s()
        return Outcome(value, failure, round(now, 6), round(now - started, 6))


def _interruption(cause: str, *, begun: bool) -> Failure:
    """Return the failure of a call that a switch or the store stopped; one that never began is not in doubt."""
    words = {
        "kill": "an operator stopped it",
        "tenant": "the tenant is disabled",
        "disabled": "it is disabled",
        "deadline": "the run's time is over",
        "cancelled": "the caller went away",
    }
    message = words.get(cause, "the control state cannot be read")
    phase = "run" if begun else "connect"
    return Failure(kind=FailureKind.INTERRUPTED, message=message, phase=phase, cause=cause)


def _doubt(effect: CallTool, why: str) -> Failure:
    message = f"an earlier call of '{effect.name}' may have happened; {why}"
    return Failure(kind=FailureKind.IN_DOUBT, message=message)
