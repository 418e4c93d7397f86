"""Drivers: sync equals async, declared order, and an end that is performed exactly once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.core.effects import AnyOutcome, Begin, CallModel, CallTool, End, SingleEffect
from runtime.core.run import Header
from runtime.execution.driver import Finished, drive_async
from runtime.orchestrator.loop import run_flow
from runtime.ports.performers import PerformerError
from tests.support.playbook import Playbook, asks, failed, header, setup_of


class Lifted:
    """Answers through a playbook, a turn of the loop later for the calls that are named first."""

    def __init__(self, book: Playbook, late: tuple[str, ...] = ()) -> None:
        self.book = book
        self.late = late
        self.finished: list[str] = []

    async def perform(self, effect: SingleEffect) -> AnyOutcome:
        outcome = self.book.perform(effect)
        if isinstance(effect, CallTool):
            for _ in range(10 * self.late.count(effect.name)):
                await asyncio.sleep(0)
            self.finished.append(effect.name)
        return outcome


def run_async(performer: Any, of: Header | None = None) -> Finished:
    setup = setup_of(of or header())
    return asyncio.run(drive_async(run_flow(setup), performer, setup.header))


def script() -> Playbook:
    return Playbook(
        [failed(retryable=True), asks("look", "nope", "pay"), asks("look", n=2), "done"],
        tools={"look": [failed(retryable=True), "a", "b"]},
    )


def test_sync_and_async_drivers_give_the_same_trace_for_the_same_outcomes() -> None:
    assert run_async(Lifted(script())).trace == script().run().trace


def test_outcomes_of_a_batch_stand_in_declared_order_whatever_finished_first() -> None:
    plain = Lifted(Playbook([asks("look", "find", "put"), "done"]))
    shuffled = Lifted(Playbook([asks("look", "find", "put"), "done"]), late=("look", "look", "find"))

    first, second = run_async(plain), run_async(shuffled)

    assert plain.finished == ["look", "find", "put"]
    assert shuffled.finished == ["put", "find", "look"]
    assert [c.name for c in second.trace.tool_calls] == ["look", "find", "put"]
    assert [p.response for m in shuffled.book.last_told() for p in m.parts if hasattr(p, "response")] == [
        "look ok",
        "find ok",
        "put ok",
    ]
    assert first.trace.trace_hash == second.trace.trace_hash


def test_the_calls_of_a_turn_run_together() -> None:
    class Meeting:
        """Lets no call finish before all three have started."""

        def __init__(self) -> None:
            self.book = Playbook([asks("look", "find", "put"), "done"])
            self.all_here = asyncio.Event()

        async def perform(self, effect: SingleEffect) -> AnyOutcome:
            outcome = self.book.perform(effect)
            if isinstance(effect, CallTool):
                if len(self.book.started) == 3:
                    self.all_here.set()
                await self.all_here.wait()
            return outcome

    assert run_async(Meeting()).end.stop_reason == "finish"


def test_a_bug_becomes_internal_error_and_the_end_is_performed_once() -> None:
    class Broken(Lifted):
        async def perform(self, effect: SingleEffect) -> AnyOutcome:
            if isinstance(effect, CallTool):
                raise KeyError("a bug")
            return await super().perform(effect)

    broken = Broken(Playbook([asks("look", "find")]))

    finished = run_async(broken)

    assert finished.end.stop_reason == "internal_error"
    assert finished.end.detail == "KeyError: 'a bug'"
    assert isinstance(finished.error, KeyError)
    assert [e.stop_reason for e in broken.book.ends] == ["internal_error"]


class NoEnd(Playbook):
    """Cannot perform the end."""

    def perform(self, effect: SingleEffect) -> AnyOutcome:
        outcome = super().perform(effect)
        if isinstance(effect, End):
            raise OSError("disk full")
        return outcome


def test_an_end_that_fails_is_not_performed_again_and_the_run_has_not_finished() -> None:
    sync, lifted = NoEnd(["done"]), NoEnd(["done"])

    first, second = sync.run(), run_async(Lifted(lifted))

    assert [e.stop_reason for e in sync.ends] == [e.stop_reason for e in lifted.ends] == ["finish"]
    assert isinstance(first.error, OSError)
    assert isinstance(second.error, OSError)
    assert first.end.stop_reason == second.end.stop_reason == "internal_error"
    assert first.trace.stop_reason == second.trace.stop_reason == "internal_error"
    assert first.end.output is second.end.output is None


def test_a_performer_that_cannot_carry_on_is_asked_for_no_end() -> None:
    class Full(Playbook):
        def perform(self, effect: SingleEffect) -> AnyOutcome:
            if isinstance(effect, CallModel):
                raise PerformerError("nothing can be written")
            return super().perform(effect)

    book = Full()

    assert book.run().end.stop_reason == "internal_error"
    assert book.ends == []


class Hanging:
    """Hangs at one effect until it is cancelled; keeps what it performed whole."""

    def __init__(self, at: type, replies: list[Any], name: str | None = None) -> None:
        self.book = Playbook(replies)
        self.reached = asyncio.Event()
        self.done: list[SingleEffect] = []
        self._at = at
        self._name = name

    async def perform(self, effect: SingleEffect) -> AnyOutcome:
        outcome = self.book.perform(effect)
        if isinstance(effect, self._at) and self._name in {None, getattr(effect, "name", None)}:
            self.reached.set()
            await asyncio.Event().wait()
        self.done.append(effect)
        return outcome


def cancel_at(hanging: Hanging) -> None:
    async def main() -> None:
        setup = setup_of(header())
        run = asyncio.ensure_future(drive_async(run_flow(setup), hanging, setup.header))
        await hanging.reached.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(main())


@pytest.mark.parametrize(("at", "status"), [(CallTool, ["interrupted"]), (CallModel, [])])
def test_cancellation_performs_one_end_and_goes_on(at: type, status: list[str]) -> None:
    hanging = Hanging(at, [asks("look")])

    cancel_at(hanging)

    ends = hanging.book.ends
    assert [e.stop_reason for e in ends] == ["cancelled"]
    assert ends[0].totals.steps == 1
    assert ends[0].totals.tool_calls == len(status)


def test_a_write_in_flight_at_cancellation_is_in_doubt_and_finished_calls_are_kept() -> None:
    hanging = Hanging(CallTool, [asks("look", "pay")], name="pay")

    cancel_at(hanging)

    totals = hanging.book.ends[0].totals
    assert (totals.tool_calls, totals.in_doubt, totals.tool_executions) == (2, 1, 2)


def test_an_end_in_flight_is_finished_when_the_caller_goes_away() -> None:
    class SlowEnd(Lifted):
        def __init__(self) -> None:
            super().__init__(Playbook(["done"]))
            self.reached = asyncio.Event()
            self.whole = 0

        async def perform(self, effect: SingleEffect) -> AnyOutcome:
            outcome = await super().perform(effect)
            if isinstance(effect, End):
                self.reached.set()
                for _ in range(20):
                    await asyncio.sleep(0)
                self.whole += 1
            return outcome

    async def main(slow: SlowEnd) -> None:
        setup = setup_of(header())
        run = asyncio.ensure_future(drive_async(run_flow(setup), slow, setup.header))
        await slow.reached.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    slow = SlowEnd()
    asyncio.run(main(slow))

    assert [e.stop_reason for e in slow.book.ends] == ["finish"]
    assert slow.whole == 1


def test_a_signal_that_is_no_exception_passes_through() -> None:
    class Signal(BaseException):
        pass

    class Signalling(Playbook):
        def perform(self, effect: SingleEffect) -> AnyOutcome:
            if isinstance(effect, CallModel):
                raise Signal
            return super().perform(effect)

    book = Signalling()

    with pytest.raises(Signal):
        book.run()
    assert book.ends == []


def test_the_end_holds_the_totals_of_the_trace() -> None:
    book = script()

    finished = book.run()

    assert book.ends[0].totals == finished.trace.totals
    assert finished.trace.totals.tool_calls == 4
    assert isinstance(book.seen[0], Begin)
