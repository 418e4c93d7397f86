"""Calls under a claim: one is carried out, equal ones wait for its result and hold nothing meanwhile.

Theory of operation. A call with a business key is claimed before it is admitted. A duplicate then never asks for the
slot, the token, the probe or the money of the call that it repeats, and a breaker hears nothing of it:

    admission: won  -> admitted, else the claim is free again
               else -> nothing is held; the call itself finds out what becomes of the claim

    call:      won at its admission -> carried out
               done                 -> answered with the stored result (`cached`)
               busy                 -> waited for, within the call's timeout and the run's deadline
               free again           -> claimed and admitted anew
               in doubt             -> its tool is asked, or the run stops
               conflict             -> failed: the same key, other arguments

A write without a business key is claimed when it begins: nobody but an earlier execution of its own run can have its
key. If that one is still at it, the whole admission is given back before the wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import msgspec

from runtime.control.claims import ClaimAnswer
from runtime.core.effects import Admission, Admit, AnyOutcome, CallTool, Failure, FailureKind, Outcome
from runtime.execution.guarded.in_doubt import Reconciler, doubt, was_lost
from runtime.execution.interruption import interruption
from runtime.execution.live.performer import LivePerformer
from runtime.execution.run_guard import RunGuard
from runtime.execution.time_limit import HaltedError, finish, is_cancelled
from runtime.ports.control_values import ControlUnavailable, SwitchesChanged

_POLL_S = 0.02
"""How often a claim of another call is looked at; a store sends no word."""


class ClaimedCalls:
    """Carries out the calls of one run that need a claim."""

    __slots__ = ("_begin", "_claims", "_guard", "_inner", "_reconciler")

    def __init__(
        self,
        inner: LivePerformer,
        guard: RunGuard,
        reconciler: Reconciler,
        begin: Callable[[CallTool], Awaitable[AnyOutcome | None]],
    ) -> None:
        """Stand before a live performer that has the same guard.

        Args:
            inner: Carries calls out.
            guard: Guards the run.
            reconciler: Asks tools about writes in doubt.
            begin: Has a call admitted, and waits for its slot; gives its outcome if it may not begin.
        """
        self._inner = inner
        self._guard = guard
        self._claims = guard.claims
        self._reconciler = reconciler
        self._begin = begin

    async def admit(
        self, effect: Admit, admit: Callable[[Admit], Awaitable[Outcome[Admission]]]
    ) -> AnyOutcome:
        """Return a call's admission; a call with a business key is claimed first."""
        call = effect.call
        if not isinstance(call, CallTool) or not self._claims.claims_first(call):
            return await admit(effect)
        started = self._inner.elapsed_s()
        answer = await self._try_claim(call)
        if isinstance(answer, str):
            cause = "unavailable" if answer == "control_unavailable" else answer
            return self._timed(started, value=Admission(granted=False, cause=cause))
        if answer.verdict != "won":
            return self._timed(started, value=Admission())
        granted = False
        try:
            outcome = await admit(effect)
            granted = outcome.value is not None and outcome.value.granted
        finally:
            if not granted:
                await self._free(call)
        return outcome

    async def call(self, effect: CallTool) -> AnyOutcome:
        """Return a call's outcome; its claim, if it needs one, ends before that is known to the flow."""
        started = self._inner.elapsed_s()
        outcome = await self._claim(effect, started)
        if outcome is not None:
            return outcome
        claims = self._claims
        try:
            outcome = await self._begin(effect)
            if outcome is None:
                claims.began(effect.lane)
                outcome = await self._inner.perform(effect)
        except asyncio.CancelledError:
            # Kept open as of an abandoned call: one that ends in this turn has a result all the same.
            begun = claims.has_begun(effect.lane)
            cut = (
                self._interrupted("cancelled", started) if begun else self._never_began("cancelled", started)
            )
            with contextlib.suppress(ControlUnavailable):  # then it lapses into doubt
                await finish(claims.end(effect, cut, abandoned=begun))
            raise
        abandoned = self._inner.is_abandoned(effect.lane)
        can_reconcile = effect.name in self._reconciler.tools and not claims.is_repeatable(effect.name)
        if can_reconcile and was_lost(outcome) and not abandoned:
            outcome = await self._reconciled(effect, outcome)
        try:
            await finish(claims.end(effect, outcome, abandoned=self._inner.is_abandoned(effect.lane)))
        except ControlUnavailable:
            # The claim lapses into doubt. A call that never began is in none here.
            if outcome.failure is None or outcome.failure.phase != "connect":
                raise
        return outcome

    async def _claim(self, effect: CallTool, started: float) -> AnyOutcome | None:
        """Claim a call if it needs it; return its outcome if it is not to be carried out."""
        if self._claims.key_of(effect) is None:
            return None
        while not self._claims.is_won(effect.lane):
            answer = await self._try_claim(effect)
            if isinstance(answer, str):
                return self._never_began(answer, started)
            outcome = await self._not_won(effect, answer, started)
            if outcome is not None:
                return outcome
        if is_cancelled():
            await self._free(effect)
            await asyncio.sleep(0)  # the caller went away while the store was asked
        return None

    async def _try_claim(self, call: CallTool) -> ClaimAnswer | str:
        """Claim a call; return the answer, or why it may not be asked for. What is won is kept."""
        claims, guard = self._claims, self._guard
        while True:
            try:
                answer = await finish(claims.claim(call, epoch=guard.epoch))
            except SwitchesChanged:
                try:
                    await guard.refresh()
                except ControlUnavailable:
                    return "control_unavailable"
                cause = guard.cause(tool=call.name)
                if cause is not None:
                    return cause
                continue
            except ControlUnavailable:
                return "control_unavailable"
            if answer.verdict == "won":
                claims.won(answer.claim.key, call.lane, fencing=answer.claim.fencing)
            return answer

    async def _free(self, call: CallTool) -> None:
        """End the claim of a call that did not begin."""
        started = self._inner.elapsed_s()
        with contextlib.suppress(ControlUnavailable):  # then it lapses into doubt
            await finish(self._claims.end(call, self._never_began("cancelled", started)))

    async def _not_won(self, effect: CallTool, answer: ClaimAnswer, started: float) -> AnyOutcome | None:
        """Return the outcome of a call whose claim another call has or had; `None` to claim it (anew)."""
        match answer.verdict:
            case "won":
                return None
            case "done":
                result = answer.claim.result
                assert result is not None
                kept = msgspec.structs.replace(result, status="cached", saved=None)
                return self._timed(started, value=self._inner.capped(effect, kept))
            case "busy":
                return await self._waited(effect, answer.claim.key, started)
            case "conflict":
                message = f"the key of this call of '{effect.name}' was used with other arguments"
                failure = Failure(
                    kind=FailureKind.ERROR, message=message, error_type="conflict", cause="conflict"
                )
                return self._timed(started, failure=failure)
            case _:
                return await self._in_doubt(effect, answer, started)

    async def _waited(self, effect: CallTool, key: str, started: float) -> AnyOutcome | None:
        """Wait, holding nothing, until the call that has the claim ends; return why that is not waited for."""
        await self._guard.give_back(effect.lane)
        limits = effect.limits
        until = float("inf") if limits.timeout_s is None else started + limits.timeout_s
        while True:
            cause = self._guard.cause(tool=effect.name)
            now = self._inner.elapsed_s()
            if cause is None and limits.deadline_s is not None and now >= limits.deadline_s:
                cause = "deadline"
            if cause is not None:
                return self._never_began(cause, started)
            if now >= until:
                message = f"the same call of '{effect.name}' is still under way elsewhere"
                kind = FailureKind.UNAVAILABLE
                failure = Failure(kind=kind, message=message, retryable=True, phase="connect", cause="busy")
                return self._timed(started, failure=failure)
            try:
                if not await self._claims.is_busy(key):
                    return None
            except ControlUnavailable:
                return self._never_began("control_unavailable", started)
            await asyncio.sleep(_POLL_S)

    async def _in_doubt(self, effect: CallTool, answer: ClaimAnswer, started: float) -> AnyOutcome | None:
        """Return the outcome of a call whose key an earlier call left in doubt; `None` if that did not happen."""
        if effect.name not in self._reconciler.tools:
            return self._timed(started, failure=doubt(effect, "nobody knows"))
        try:
            finding = await self._reconciler.ask(effect, answer.claim.key)
        except HaltedError as halt:
            return self._interrupted(halt.cause, started)
        if isinstance(finding, str):
            return self._timed(started, failure=doubt(effect, finding))
        await self._claims.settle_doubt(answer.claim.key, finding.result)
        if finding.result is None:
            return None
        kept = msgspec.structs.replace(finding.result, status="cached")
        return self._timed(started, value=self._inner.capped(effect, kept))

    async def _reconciled(self, effect: CallTool, outcome: AnyOutcome) -> AnyOutcome:
        """Return the outcome of a write whose answer was lost, once its tool has found out what became of it."""
        failure, started = outcome.failure, self._inner.elapsed_s() - (outcome.duration_s or 0.0)
        key = self._claims.key_of(effect)
        assert failure is not None
        assert key is not None
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

    def _never_began(self, cause: str, started: float) -> AnyOutcome:
        return self._timed(started, failure=interruption(cause, begun=False))

    def _interrupted(self, cause: str, started: float) -> AnyOutcome:
        return self._timed(started, failure=interruption(cause, begun=True))

    def _timed(self, started: float, *, value: object = None, failure: Failure | None = None) -> AnyOutcome:
        now = self._inner.elapsed_s()
        return Outcome(value, failure, round(now, 6), round(now - started, 6))
