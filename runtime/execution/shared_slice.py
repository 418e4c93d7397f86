"""The slice of one call: what its child runs may use together, drawn call by call.

Theory of operation. A call that starts child runs gets a slice of its run's budget. Each call of a child draws its
worst case from the slice before it is made, and settles it with what it used. So children that run at one time share
the slice whatever order their calls come in, and none holds more than what its calls under way can cost.

    root run -> call with a slice -> child run -> call with a slice -> grandchild run
                  ^                                 |
                  +---- each draw also counts ------+

What was drawn and never settled counts as used: it may have happened. A call that is over closes its slice, so that
a child which still runs makes no further call that nobody would pay for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from runtime.control.amounts import actual_of, worst_of
from runtime.control.ledger import NOTHING, Amount, Caps, ScopeUse, SpendScope, Unit, refuse
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


@dataclass(slots=True)
class _Sums:
    """What one slice allows and what was used of it."""

    caps: Caps
    spent: Amount = NOTHING
    held: Amount = NOTHING
    closed: bool = False

    def short_of(self, amount: Amount) -> Unit | None:
        """Return the unit of which a further amount would be too much."""
        if self.closed:
            return "steps"
        refusal = refuse(ScopeUse(key="", spent=self.spent, held=self.held), self.caps, amount)
        return None if refusal is None else refusal.unit


class SharedSlice:
    """What the child runs of one call may use together, and what they used.

    Attributes:
        chain: The sums of this slice and of those above it.
        lock: Held while they are changed.
    """

    __slots__ = ("_sums", "chain", "lock")

    def __init__(self, limit: BudgetSlice, above: SharedSlice | None = None) -> None:
        """Begin with nothing used.

        Args:
            limit: The slice.
            above: The slice of the call that the run of this one belongs to.
        """
        self._sums = _Sums(
            Caps(
                nanos=limit.max_usd_nanos,
                tokens=limit.max_tokens,
                tool_calls=limit.max_tool_calls,
                steps=limit.max_steps,
            )
        )
        self.chain: tuple[_Sums, ...] = (self._sums, *(() if above is None else above.chain))
        # A tool in a thread may run its children in an event loop of its own.
        self.lock: threading.Lock = threading.Lock() if above is None else above.lock

    def draw(self, amount: Amount) -> Unit | None:
        """Hold an amount in this slice and all above it, or in none; return the unit that is short."""
        with self.lock:
            for each in self.chain:
                short = each.short_of(amount)
                if short is not None:
                    return short
            self._move(NOTHING - amount, NOTHING)
        return None

    def hold(self, amount: Amount) -> None:
        """Count an amount that is used whether there is room for it or not."""
        self.settle(NOTHING - amount, NOTHING)

    def settle(self, held: Amount, actual: Amount) -> None:
        """End a draw with what was used."""
        with self.lock:
            self._move(held, actual)

    def close(self) -> None:
        """Allow no further draw."""
        with self.lock:
            self._sums.closed = True

    @property
    def used(self) -> Used:
        """What was used so far; what is held may have happened."""
        with self.lock:
            total = self._sums.spent + self._sums.held
        return Used(steps=total.steps, tool_calls=total.tool_calls, tokens=total.tokens, nanos=total.nanos)

    def _move(self, held: Amount, actual: Amount) -> None:
        for each in self.chain:
            each.held -= held
            each.spent += actual


@dataclass(frozen=True, slots=True)
class TreePlace:
    """Where a child run stands in its tree.

    Attributes:
        shares: The slice that it draws from.
        scope: Where what the whole tree uses counts in a control store.
    """

    shares: SharedSlice
    scope: SpendScope


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
