"""The slice of one call: what its child runs may use together, drawn call by call.

Theory of operation. A call that starts child runs gets a slice of its run's budget. Each call of a child draws its
worst case from the slice before it is made, and settles it with what it used. So children that run at one time share
the slice whatever order their calls come in, and none holds more than what its calls under way can cost.

    root run -> call with a slice -> child run -> call with a slice -> grandchild run
                  ^                                 |
                  +---- each draw also counts ------+

What was drawn and never settled counts as used: it may have happened. A call that was given up closes its slice, so
that a child which still runs makes no further call that nobody would pay for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from runtime.control.amounts import actual_of, worst_of
from runtime.control.ledger import NOTHING, Amount, Caps, ScopeUse, Unit, refuse
from runtime.core.effects import (
    Admission,
    Admit,
    AnyOutcome,
    CallModel,
    CallTool,
    End,
    Outcome,
    SingleEffect,
    Used,
)
from runtime.core.lanes import call_lane, is_first_attempt
from runtime.core.policy import BudgetSlice
from runtime.execution.guarded.performer import GuardedPerformer
from runtime.execution.live.abandoned import Listener
from runtime.execution.live.performer import LivePerformer

CarriesOut = GuardedPerformer | LivePerformer


class SharedSlice:
    """What the child runs of one call may use together, and what they used."""

    __slots__ = ("_above", "_caps", "_closed", "_held", "_lock", "_spent")

    def __init__(self, limit: BudgetSlice, above: SharedSlice | None = None) -> None:
        """Begin with nothing used.

        Args:
            limit: The slice.
            above: The slice of the call that the run of this one belongs to.
        """
        self._caps = Caps(
            nanos=limit.max_usd_nanos,
            tokens=limit.max_tokens,
            tool_calls=limit.max_tool_calls,
            steps=limit.max_steps,
        )
        self._above = above
        # A tool in a thread may run its children in an event loop of its own.
        self._lock: threading.Lock = threading.Lock() if above is None else above._lock
        self._spent = self._held = NOTHING
        self._closed = False

    def draw(self, amount: Amount) -> Unit | None:
        """Hold an amount in this slice and all above it, or in none; return the unit that is short."""
        with self._lock:
            for each in self._chain():
                if each._closed:
                    return "steps"
                use = ScopeUse(key="", spent=each._spent, held=each._held)
                short = refuse(use, each._caps, amount)
                if short is not None:
                    return short.unit
            for each in self._chain():
                each._held += amount
        return None

    def settle(self, held: Amount, actual: Amount) -> None:
        """End a draw with what was used."""
        with self._lock:
            for each in self._chain():
                each._held -= held
                each._spent += actual

    def hold(self, amount: Amount) -> None:
        """Count an amount that is used whether there is room for it or not."""
        self.settle(NOTHING - amount, NOTHING)

    def close(self) -> None:
        """Allow no further draw."""
        with self._lock:
            self._closed = True

    @property
    def used(self) -> Used:
        """What was used so far; what is held may have happened."""
        with self._lock:
            sum_ = self._spent + self._held
        return Used(steps=sum_.steps, tool_calls=sum_.tool_calls, tokens=sum_.tokens, nanos=sum_.nanos)

    def _chain(self) -> list[SharedSlice]:
        chain: list[SharedSlice] = []
        each: SharedSlice | None = self
        while each is not None:
            chain.append(each)
            each = each._above
        return chain


class SlicedPerformer:
    """Draws what the calls of one child run need before they are admitted."""

    def __init__(self, inner: CarriesOut, slice_: SharedSlice, elapsed_s: Callable[[], float]) -> None:
        """Stand before what admits and carries out the calls.

        Args:
            inner: Performs the effects.
            slice_: Of the call that started the run.
            elapsed_s: Gives the seconds since the run began.
        """
        self._inner = inner
        self._slice = slice_
        self._elapsed_s = elapsed_s
        self._drawn: dict[str, Amount] = {}

    def on_late(self, listener: Listener) -> None:
        """Register a callback for calls that end after they were abandoned."""
        self._inner.on_late(listener)

    async def perform(self, effect: SingleEffect) -> AnyOutcome:
        """Return an effect's outcome; a call that the slice has no room for is not admitted."""
        match effect:
            case Admit():
                return await self._admit(effect)
            case CallModel() | CallTool():
                return await self._call(effect)
            case End():
                for amount in self._drawn.values():  # admitted, and never begun
                    self._slice.settle(amount, NOTHING)
                self._drawn.clear()
                return await self._inner.perform(effect)
            case _:
                return await self._inner.perform(effect)

    async def _admit(self, effect: Admit) -> AnyOutcome:
        amount = _worst_once(effect)
        short = self._slice.draw(amount)
        if short is not None:
            detail = f"{short} of the slice that child runs share"
            refused = Admission(granted=False, cause="spend", detail=detail, unit=short)
            return Outcome(refused, None, round(self._elapsed_s(), 6), 0.0)
        granted = False
        try:
            outcome = await self._inner.perform(effect)
            granted = outcome.failure is None and (outcome.value is None or outcome.value.granted)
        finally:
            if granted:
                self._drawn[call_lane(effect.lane)] = amount
            else:
                self._slice.settle(amount, NOTHING)
        return outcome

    async def _call(self, effect: CallModel | CallTool) -> AnyOutcome:
        drawn = self._drawn.pop(effect.lane, None)
        if drawn is None:
            # A wrapper answered the admission itself. The call is counted all the same.
            drawn = _worst_once(effect)
            self._slice.hold(drawn)
        # A call that is cut off stays drawn: it may have happened.
        outcome = await self._inner.perform(effect)
        self._slice.settle(drawn, actual_of(drawn, outcome))
        return outcome


def _worst_once(effect: Admit | CallModel | CallTool) -> Amount:
    """Return the most that a call can use; a repeated tool call is one call to its budget."""
    worst = worst_of(effect)
    if is_first_attempt(effect.lane):
        return worst
    return worst - Amount(tool_calls=worst.tool_calls)
