"""The calls of one turn when they may not all run at one time: a queue that slides.

Rules.
1. The first calls begin at once; each other one begins when a call before it has ended, in declared order.
2. A call of the queue is admitted when it begins, not when it was asked for: switches, deadline, rate and slot are
   those of that moment.
3. Once a call has ended the run, no other begins. That a call did not begin depends on the clock, so it is the outcome
   of its admission: a replay reads it there, and decides nothing by itself.
4. A cancellation leaves each call of the queue with such an outcome too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from runtime.core.effects import (
    AnyOutcome,
    Outcome,
    Performer,
    QueuedCalls,
    SingleEffect,
    Started,
    SyncPerformer,
)
from runtime.core.stop import StopKind
from runtime.execution.time_limit import whole
from runtime.ports.performers import CANCELLED, PerformerError

Add = Callable[[SingleEffect, AnyOutcome], None]
"""Keeps one effect with its outcome."""


class TurnQueue:
    """Carries out one turn."""

    def __init__(self, turn: QueuedCalls, performer: Performer) -> None:
        """Stand ready; nothing has begun."""
        self._turn = turn
        self._performer = performer
        self._admissions: list[AnyOutcome | None] = [None] * len(turn.calls)
        self._outcomes: list[AnyOutcome | None] = [None] * len(turn.calls)
        self._next = min(turn.width, len(turn.calls))
        self._stopped: str | None = None

    @property
    def outcome(self) -> AnyOutcome:
        """What the flow is sent."""
        return _outcome(self._admissions, self._outcomes)

    async def run(self, add: Add) -> AnyOutcome:
        """Carry out the calls and return their outcomes.

        Args:
            add: Keeps each pair, in declared order, also of a turn that was cancelled.
        """
        tasks = [asyncio.ensure_future(self._lane(first)) for first in range(self._next)]
        try:
            await ended(tasks)
            for task in tasks:
                task.result()
        except BaseException:
            # No lane takes another call up, whatever its own answer to the cancellation is.
            self._stopped = self._stopped or StopKind.CANCELLED.value
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(PerformerError):
                await whole(self._leave_unstarted())
            self._keep(add)
            raise
        self._keep(add)
        return self.outcome

    async def _lane(self, index: int) -> None:
        """Carry out one call after the other while the queue holds some."""
        await self._call(index)
        while self._next < len(self._turn.calls):
            index, self._next = self._next, self._next + 1
            if await self._admitted(index):
                await self._call(index)

    async def _admitted(self, index: int) -> bool:
        admit = self._turn.admits[index - self._turn.width]
        if self._stopped is not None:
            admit = msgspec.structs.replace(admit, stopped=self._stopped)
        self._admissions[index] = CANCELLED  # unless it has an answer
        answer = self._admissions[index] = await self._performer.perform(admit)
        return answer.failure is None and answer.value is not None and answer.value.granted

    async def _call(self, index: int) -> None:
        self._outcomes[index] = CANCELLED  # unless it has an answer
        outcome = self._outcomes[index] = await self._performer.perform(self._turn.calls[index])
        self._stopped = self._stopped or self._turn.ends(index, outcome)

    async def _leave_unstarted(self) -> None:
        while self._next < len(self._turn.calls):
            index, self._next = self._next, self._next + 1
            await self._admitted(index)

    def _keep(self, add: Add) -> None:
        turn = self._turn
        for index, call in enumerate(turn.calls):
            admission, outcome = self._admissions[index], self._outcomes[index]
            if admission is not None:
                add(turn.admits[index - turn.width], admission)
            if outcome is not None:
                add(call, outcome)


def answer_turn(turn: QueuedCalls, performer: SyncPerformer, add: Add) -> AnyOutcome:
    """Answer a turn at once: what may begin is known, and when does not matter."""
    admissions: list[AnyOutcome | None] = [None] * len(turn.calls)
    outcomes: list[AnyOutcome | None] = [None] * len(turn.calls)
    for index, call in enumerate(turn.calls):
        if index >= turn.width:
            admit = turn.admits[index - turn.width]
            admission = admissions[index] = performer.perform(admit)
            add(admit, admission)
            if admission.failure is not None or admission.value is None or not admission.value.granted:
                continue
        outcome = outcomes[index] = performer.perform(call)
        add(call, outcome)
    return _outcome(admissions, outcomes)


def _outcome(admissions: list[AnyOutcome | None], outcomes: list[AnyOutcome | None]) -> AnyOutcome:
    pairs = zip(admissions, outcomes, strict=True)
    value = tuple(Started(admission=admission, outcome=outcome) for admission, outcome in pairs)
    return Outcome(value=value, at=latest([*admissions, *outcomes]))


def together(outcomes: tuple[AnyOutcome, ...]) -> AnyOutcome:
    """Return the outcome of a batch."""
    return Outcome(value=outcomes, at=latest(outcomes))


def latest(outcomes: Sequence[AnyOutcome | None]) -> float | None:
    """Return the time of the outcome that came last."""
    return max((o.at for o in outcomes if o is not None and o.at is not None), default=None)


async def ended(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Wait until all have ended, or one has raised; a replay must be able to tell where a cancellation fell.

    So each effect that was asked for begins, and a recorder sees it. A cancellation that comes once all have ended
    is kept for the next effect: no record would say that the run ended between the two.
    """
    if not tasks:
        return
    try:
        # Not gather(): it hands a cancellation on to calls that have not begun.
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in ended:
            task.result()  # raises what one of them raised
    except asyncio.CancelledError:
        await asyncio.sleep(0)
        run = asyncio.current_task()
        if run is None or not all(t.done() and not t.cancelled() and t.exception() is None for t in tasks):
            raise
        run.uncancel()  # counted once, or asyncio.timeout() would not know its own cancellation
        run.cancel()
