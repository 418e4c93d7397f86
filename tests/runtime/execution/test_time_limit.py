"""The hard time limit: cancelled, waited for a grace, abandoned."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref

import pytest

from runtime.execution.time_limit import GRACE_S, HaltedError, TimeLimitError, Work, bounded

SHORT = 0.02


def test_work_within_its_limit_gives_its_result() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert asyncio.run(bounded(work(), 10.0)) == 7
    assert asyncio.run(bounded(work(), None)) == 7


def test_the_error_of_the_work_is_the_caller_s() -> None:
    async def work() -> int:
        raise KeyError("x")

    with pytest.raises(KeyError):
        asyncio.run(bounded(work(), 10.0))


def test_work_past_its_limit_is_cancelled() -> None:
    ends: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("cleaned up")

    with pytest.raises(TimeLimitError) as caught:
        asyncio.run(bounded(work(), SHORT))

    assert not caught.value.abandoned
    assert ends == ["cleaned up"]


def test_work_that_swallows_cancellation_is_abandoned_within_limit_and_grace() -> None:
    async def stubborn(over: asyncio.Event) -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    async def main() -> tuple[bool, float]:
        over = asyncio.Event()
        began = time.monotonic()
        try:
            await bounded(stubborn(over), SHORT)
        except TimeLimitError as error:
            return error.abandoned is not None, time.monotonic() - began
        finally:
            over.set()
            await asyncio.sleep(0)
        raise AssertionError("the limit did not hold")

    abandoned, took = asyncio.run(main())

    assert abandoned
    assert took < SHORT + GRACE_S + 1.0


def test_a_limit_already_passed_starts_nothing_long() -> None:
    with pytest.raises(TimeLimitError):
        asyncio.run(bounded(asyncio.Event().wait(), -1.0))


def test_a_cancelled_caller_takes_the_work_with_it() -> None:
    async def main() -> bool:
        started = asyncio.Event()
        work = asyncio.ensure_future(_hang(started))
        caller = asyncio.ensure_future(bounded(work, 100.0))
        await started.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        return work.cancelled()

    assert asyncio.run(main())


async def _hang(started: asyncio.Event) -> None:
    started.set()
    await asyncio.Event().wait()


@pytest.mark.parametrize("limit", [None, 10.0])
def test_work_that_cancels_itself_does_not_cancel_its_caller(limit: float | None) -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    async def main() -> str:
        try:
            await bounded(work(), limit)
        except Exception as error:  # noqa: BLE001 - shows that it is an error and no cancellation
            return type(error).__name__
        return "nothing"

    assert asyncio.run(main()) == "SelfCancelledError"


class Switch:
    """A watch whose switch is thrown by hand."""

    def __init__(self) -> None:
        self.under_way: dict[str, Work] = {}

    def begin(self, lane: str, work: Work) -> None:
        self.under_way[lane] = work

    def done_with(self, lane: str) -> None:
        del self.under_way[lane]

    def throw(self, lane: str) -> None:
        self.under_way[lane].stop("kill")


def test_a_watch_stops_the_work_and_says_why() -> None:
    switch = Switch()
    ends: list[str] = []

    async def work() -> None:
        try:
            switch.throw("0.tool0/1")
            await asyncio.Event().wait()
        finally:
            ends.append("cleaned up")

    with pytest.raises(HaltedError) as caught:
        asyncio.run(bounded(work(), 10.0, watch=switch, lane="0.tool0/1"))

    assert (caught.value.cause, ends, switch.under_way) == ("kill", ["cleaned up"], {})


def test_work_that_ends_in_the_moment_it_is_stopped_keeps_its_result() -> None:
    switch = Switch()

    async def work() -> int:
        await asyncio.sleep(0)
        switch.throw("0.tool0/1")
        return 7

    assert asyncio.run(bounded(work(), 10.0, watch=switch, lane="0.tool0/1")) == 7


def test_stopped_work_that_swallows_it_is_abandoned_and_told_of() -> None:
    switch, told = Switch(), list[asyncio.Future[None]]()

    async def main() -> str:
        over = asyncio.Event()

        async def stubborn() -> None:
            switch.throw("a")
            while not over.is_set():
                try:
                    await over.wait()
                except asyncio.CancelledError:
                    continue

        try:
            await bounded(stubborn(), None, abandoned=told.append, watch=switch, lane="a")
        except HaltedError as halted:
            return halted.cause
        finally:
            over.set()
            await asyncio.sleep(0)
        raise AssertionError("it was not stopped")

    assert asyncio.run(main()) == "kill"
    assert [task.done() for task in told] == [True]


def test_many_limits_of_one_loop_each_hold_for_their_own_work() -> None:
    async def work(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"

    async def one(limit_s: float, seconds: float) -> str:
        try:
            return await bounded(work(seconds), limit_s)
        except TimeLimitError:
            return "cut"

    async def main() -> list[str]:
        asked = [(5.0, 0.0), (0.03, 5.0), (0.01, 5.0), (5.0, 0.05), (0.02, 5.0), (0.02, 5.0), (4.0, 0.01)]
        found = await asyncio.gather(*(one(*each) for each in asked))
        return [*found, await one(0.01, 5.0), await one(0.03, 0.0)]

    assert asyncio.run(main()) == ["done", "cut", "cut", "done", "cut", "cut", "done", "cut", "done"]


def test_a_loop_that_is_over_is_forgotten() -> None:
    async def main() -> weakref.ref[asyncio.AbstractEventLoop]:
        await bounded(asyncio.sleep(0), 600.0)
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(main())
    gc.collect()

    assert loop() is None


def test_work_that_is_stopped_before_it_begins_is_not_waited_for(recwarn: pytest.WarningsRecorder) -> None:
    begun: list[str] = []

    class Pulled(Switch):
        def begin(self, lane: str, work: Work) -> None:
            super().begin(lane, work)
            work.stop("kill")

    async def work() -> None:
        begun.append("work")

    async def main() -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counter = asyncio.ensure_future(count())
        with pytest.raises(HaltedError):
            await bounded(work(), 10.0, watch=Pulled(), lane="a")
        counter.cancel()
        return turns

    turns = asyncio.run(main())
    gc.collect()

    assert turns < 10
    assert (begun, list(recwarn)) == ([], [])
