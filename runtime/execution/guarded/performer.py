"""The guarded performer: the live one under the control store.

For each call: switches before it starts -> slot -> idempotency claim -> call, cut off by switches -> claim ended ->
grant settled -> outcome. So a write is never carried out twice, and its outcome is known to the store before the flow
sees it. Admissions and claims name the epoch of the switches that were looked at; the store refuses those that are
under others. What cannot be read or written is refused (`control_unavailable`), never guessed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Literal, assert_never

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
from runtime.core.lanes import admission_lane, call_lane
from runtime.execution.guarded.approvals import ask_through_store
from runtime.execution.guarded.claimed_calls import ClaimedCalls
from runtime.execution.guarded.in_doubt import Reconciler
from runtime.execution.guarded.refusals import refused_late
from runtime.execution.interruption import interruption
from runtime.execution.live.abandoned import Listener
from runtime.execution.live.performer import LivePerformer
from runtime.execution.run_guard import RunGuard
from runtime.ports.control_values import ControlUnavailable, RunTakenOver, SwitchesChanged
from runtime.ports.tools import ApprovalDesk, Reconcile


class GuardedPerformer:
    """Carries out the effects of one run under the control store."""

    __slots__ = ("_calls", "_claims", "_desk", "_free", "_grants", "_guard", "_inner")

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
        self._free: set[str] = set()
        reconciler = Reconciler(reconcile or {}, guard, inner.elapsed_s)
        self._calls = ClaimedCalls(inner, guard, reconciler, self._begin)

    async def perform(self, effect: SingleEffect) -> AnyOutcome:
        """Return an effect's outcome."""
        match effect:
            case CallModel():
                return await self._call(effect, model=effect.request.model)
            case CallTool():
                return await self._call(effect, tool=effect.name)
            case Admit():
                return await self._calls.admit(effect, self._admit)
            case ReadControls():
                return self._read(effect)
            case AskApproval():
                return await (self._ask(effect) if self._desk is None else self._inner.perform(effect))
            case End():
                outcome = await self._inner.perform(effect)
                await self._guard.close(effect.stop_reason)
                return outcome
            case Begin():
                await self._guard.ready()
                return await self._inner.perform(effect)
            case Refuse() | Wait() | Input():
                return await self._inner.perform(effect)
            case _:
                assert_never(effect)

    def on_late(self, listener: Listener) -> None:
        """Register a callback for calls that end after they were abandoned."""
        self._inner.on_late(listener)

    async def _admit(self, effect: Admit) -> Outcome[Admission]:
        started = self._inner.elapsed_s()
        tool = effect.name if effect.subject == "tool" else None
        model = effect.name if effect.subject == "model" else None
        await self._guard.yield_to_killed()
        while True:
            # Asked again each round: a switch may be pulled while the call waits for a slot.
            cause = self._guard.cause(tool=tool, model=model)
            if cause is not None:
                cause = "unavailable" if cause == "control_unavailable" else cause
                return self._timed(started, value=Admission(granted=False, cause=cause))
            try:
                admission, after_s = await self._grants.admit(effect, epoch=self._guard.epoch)
            except SwitchesChanged:
                with contextlib.suppress(ControlUnavailable):  # then the board's lease lapses
                    await self._guard.refresh()
                continue
            except RunTakenOver as error:
                refused = Admission(granted=False, cause="unavailable", detail=error.what)
                return self._timed(started, value=refused)
            except ControlUnavailable as error:
                refused = Admission(granted=False, cause="unavailable", detail=error.what)
                if not self._needs_no_grant(effect):
                    return self._timed(started, value=refused)
                self._free.add(call_lane(effect.lane))
                return self._timed(started, value=Admission())
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
        """Return whether a call may start without the store, which `cause` permits while the switches are known.

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
        cause = self._guard.cause(tool=tool, model=model)
        if cause is not None:
            outcome = self._never_began(cause, started)
        else:
            self._guard.calls[effect.lane] = (tool, model)
            try:
                if isinstance(effect, CallTool):
                    outcome = await self._calls.call(effect)
                else:
                    refused = await self._begin(effect)
                    outcome = await self._inner.perform(effect) if refused is None else refused
            except ControlUnavailable:
                outcome = self._interrupted("control_unavailable", started)
            except asyncio.CancelledError:
                # The caller went away; the other side may have done the work, and is paid for it.
                self._settle(effect.lane, self._interrupted("cancelled", started))
                raise
            finally:
                self._guard.calls.pop(effect.lane, None)
        self._settle(effect.lane, outcome)
        return outcome

    async def _begin(self, effect: CallModel | CallTool) -> AnyOutcome | None:
        """Have a call admitted if it is not, and wait for its slot; return its outcome if it may not begin.

        A call comes without a grant if its claim has fallen free since, or if what stands before this performer
        answered its admission: a resumed run takes it as passed where the call was begun.
        """
        lane = effect.lane
        if lane in self._free:
            return None
        if not self._grants.holds(lane):
            started = self._inner.elapsed_s()
            name = effect.name if isinstance(effect, CallTool) else effect.request.model
            subject: Literal["tool", "model"] = "tool" if isinstance(effect, CallTool) else "model"
            ask = Admit(lane=admission_lane(lane), subject=subject, name=name, limits=effect.limits)
            admission = (await self._admit(ask)).value
            if admission is not None and not admission.granted:
                return self._timed(started, failure=refused_late(admission, name))
        if isinstance(effect, CallTool) and self._grants.waits(lane):
            return await self._slot(effect)
        return None

    def _settle(self, lane: str, outcome: AnyOutcome) -> None:
        self._guard.settle(lane, outcome, abandoned=self._inner.is_abandoned(lane))

    async def _slot(self, effect: CallTool) -> AnyOutcome | None:
        """Wait for a slot that other calls of the run have; return why the call cannot begin, if it cannot."""
        started = self._inner.elapsed_s()
        deadline = effect.limits.deadline_s
        while True:
            cause = self._guard.cause(tool=effect.name)
            if cause is None and deadline is not None and self._inner.elapsed_s() >= deadline:
                cause = "deadline"
            if cause is not None:
                return self._never_began(cause, started)
            waiting = await self._grants.take_slot(effect.lane, effect.name)
            if waiting is None:
                return None
            waited_s = self._inner.elapsed_s() - started
            # A slot that a call of this run has is waited for to the end: it comes free when that call ends.
            if not waiting.ours and waited_s > self._guard.rules.max_wait_s:
                message = f"no slot of '{effect.name}' was free"
                failure = Failure(
                    kind=FailureKind.UNAVAILABLE,
                    message=message,
                    retryable=True,
                    phase="connect",
                    cause="concurrency",
                )
                return self._timed(started, failure=failure)
            await asyncio.sleep(min(max(waiting.after_s, 0.005), 0.05))

    def _never_began(self, cause: str, started: float) -> AnyOutcome:
        return self._timed(started, failure=interruption(cause, begun=False))

    def _interrupted(self, cause: str, started: float) -> AnyOutcome:
        return self._timed(started, failure=interruption(cause, begun=True))

    def _timed(self, started: float, *, value: Any = None, failure: Failure | None = None) -> AnyOutcome:
        now = self._inner.elapsed_s()
        return Outcome(value, failure, round(now, 6), round(now - started, 6))
