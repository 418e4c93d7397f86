"""A hard time limit: cancel, wait a grace, abandon.

`asyncio.wait_for` waits for a cancelled task to end, so a tool that swallows cancellation would hold the run.

Theory of operation. The work has a task of its own, so that what binds to the current task (`asyncio.timeout`,
cancel scopes) ends with it. Its caller waits for one future, which is set by whatever comes first: the end of the
work, or a timer. Each turn of a busy event loop may take long, so nothing waits for a turn in vain: the work wakes
its caller in the step in which it ends, and a watch that stops it cancels it before its caller knows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")
GRACE_S = 0.25
"""How long a cancelled task is waited for before it is abandoned."""


class TimeLimitError(Exception):
    """The limit passed.

    Attributes:
        abandoned: The work, where it goes on though it was cancelled.
    """

    def __init__(self, *, abandoned: asyncio.Future[Any] | None) -> None:
        super().__init__("cancelled" if abandoned is None else "abandoned")
        self.abandoned = abandoned


class SelfCancelledError(Exception):
    """The work ended as cancelled by itself; passed on, that would look as if the caller had gone away."""

    def __init__(self) -> None:
        super().__init__("it was cancelled from inside")


class HaltedError(asyncio.CancelledError):
    """A watch stopped the work; nobody cancelled the caller.

    To the caller's `finally` and `except` it is a cancellation, as it would be had the caller been cancelled.

    Attributes:
        cause: Why, as the watch said.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class _Limits:
    """The limits of one event loop, under one timer: nearly all work ends long before its limit.

    A timer for each would cost more than all else here. The one goes off at the earliest limit that was set since
    it went off last, and then looks for those that have passed. It holds no loop, which would never be freed then.
    """

    __slots__ = ("_ends", "_next")

    def __init__(self) -> None:
        self._ends: dict[Work, float] = {}
        self._next = float("inf")

    def set(self, work: Work, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        """Wake the waiter of some work after some seconds."""
        at = self._ends[work] = loop.time() + seconds
        if at < self._next:
            self._go_off_at(at, loop)

    def drop(self, work: Work) -> None:
        """Forget the limit of some work, if it has one."""
        self._ends.pop(work, None)

    def _go_off_at(self, at: float, loop: asyncio.AbstractEventLoop) -> None:
        self._next = at
        loop.call_at(at, self._go_off, at)

    def _go_off(self, at: float) -> None:
        if at != self._next:
            return  # an earlier limit was set since, and has a timer of its own
        loop = asyncio.get_running_loop()
        now = max(loop.time(), at)  # a timer may be a tick of the clock too early
        for work in [work for work, end in self._ends.items() if end <= now]:
            del self._ends[work]
            work.wake()
        self._next = float("inf")
        if self._ends:
            self._go_off_at(min(self._ends.values()), loop)


_LIMITS: WeakKeyDictionary[asyncio.AbstractEventLoop, _Limits] = WeakKeyDictionary()


def _limits_of(loop: asyncio.AbstractEventLoop) -> _Limits:
    limits = _LIMITS.get(loop)
    if limits is None:
        limits = _LIMITS[loop] = _Limits()
    return limits


class Work:
    """Some work under way, and its waiter."""

    __slots__ = ("_limits", "_loop", "_task", "_timer", "_waiter", "cause")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Future[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._limits: _Limits | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.cause: str | None = None

    def begin(self, work: Awaitable[T]) -> asyncio.Task[T]:
        """Return the task of the work; it begins in the next turn of the loop."""
        task = self._loop.create_task(self._waking(work))
        self._task = task
        return task

    def arm(self, seconds: float | None) -> asyncio.Future[None]:
        """Return the future of whatever comes first: the work's end, some seconds, or a grace after `stop`."""
        self._waiter = self._loop.create_future()
        if seconds is not None:
            self._limits = _limits_of(self._loop)
            self._limits.set(self, seconds, self._loop)
        return self._waiter

    def disarm(self) -> None:
        """Forget the limit and the grace of the future; disarming twice is harmless."""
        if self._limits is not None:
            self._limits.drop(self)
        if self._timer is not None:
            self._timer.cancel()

    async def wait(self, seconds: float | None) -> None:
        """Wait for the work, or for some seconds; `stop` ends the wait a grace later at the latest."""
        try:
            await self.arm(seconds)
        finally:
            self.disarm()

    def stop(self, cause: str) -> None:
        """Cancel the work, unless it has ended; a second cause changes nothing."""
        if self._task is asyncio.current_task():  # cancelled at once, what it returns now would be lost
            self._loop.call_soon(self._stop, cause)
        else:
            self._stop(cause)

    def _stop(self, cause: str) -> None:
        if self._task is None or self._task.done() or self.cause is not None:
            return
        self.cause = cause
        self.cancel(self._task)
        if self._limits is not None:
            self._limits.drop(self)
        self._timer = self._loop.call_later(GRACE_S, self.wake)

    def cancel(self, task: asyncio.Future[Any]) -> None:
        """Cancel the work's task; one that has not begun runs no `finally` that could wake the waiter."""
        task.add_done_callback(self._ended)
        task.cancel()

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self.wake()

    async def _waking(self, work: Awaitable[T]) -> T:
        try:
            return await work
        finally:
            self.wake()

    def wake(self) -> None:
        """Wake the waiter."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Watch(Protocol):
    """Stops work that is under way."""

    def begin(self, lane: str, work: Work) -> None:
        """Stop the work of a lane, now or later, if it must not go on."""
        ...

    def done_with(self, lane: str) -> None:
        """Forget the work of a lane: it is over."""
        ...


async def bounded(
    work: Awaitable[T],
    limit_s: float | None,
    *,
    abandoned: Callable[[asyncio.Future[T]], None] | None = None,
    watch: Watch | None = None,
    lane: str = "",
) -> T:
    """Return the result of some work within a limit.

    Args:
        work: What to wait for.
        limit_s: Seconds; `None` for no limit.
        abandoned: Called with the task of work that goes on though it was cancelled, for whatever reason that was;
            and of work that ended in the turn in which the caller was cancelled, whose result nobody gets.
        watch: What else may stop the work.
        lane: Names the work to the watch.

    Raises:
        TimeLimitError: If the limit passed; at most `GRACE_S` later.
        HaltedError: If the watch stopped the work; at most `GRACE_S` later.
        SelfCancelledError: If the work ended as cancelled though nobody cancelled it.
        asyncio.CancelledError: If the caller is cancelled; the work is cancelled too.
    """
    under_way = Work()
    task = under_way.begin(work)
    if watch is not None:
        watch.begin(lane, under_way)
    try:
        await under_way.arm(limit_s)
    except asyncio.CancelledError:
        under_way.disarm()
        if abandoned is not None and task.done() and not task.cancelled():
            abandoned(task)
        await _cut(under_way, task, work, abandoned)
        raise
    finally:
        under_way.disarm()
        if watch is not None:
            watch.done_with(lane)
    if under_way.cause is not None:
        _give_up(task, work, abandoned)
        raise HaltedError(under_way.cause)
    if task.done():
        if task.cancelled():
            raise SelfCancelledError
        return task.result()
    ended = await _cut(under_way, task, work, abandoned)
    raise TimeLimitError(abandoned=None if ended else task)


async def whole(work: Awaitable[T]) -> T:
    """Return the result of some work that is finished even if the caller is cancelled meanwhile."""
    under_way = Work()
    task = under_way.begin(work)
    try:
        await under_way.wait(None)
    except asyncio.CancelledError:
        while not task.done():  # also if the caller is cancelled again and again
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        raise
    return task.result()


async def finish(work: Awaitable[T]) -> T:
    """Return the result of some work, whatever happens; a cancellation meanwhile reaches the caller at its next wait.

    For what must be known once it was begun: a claim that nobody ends, or an outcome that nobody gets, is a doubt.
    """
    task = asyncio.ensure_future(work)
    cancelled = 0
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled += 1
    caller = asyncio.current_task()
    if cancelled and caller is not None:
        for _ in range(cancelled):
            caller.uncancel()  # counted once, or asyncio.timeout() would not know its own cancellation
        caller.cancel()
    return task.result()


def is_cancelled() -> bool:
    """Return whether the running task is to be cancelled at its next wait."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _cut(
    under_way: Work,
    task: asyncio.Future[T],
    work: Awaitable[T],
    abandoned: Callable[[asyncio.Future[T]], None] | None,
) -> bool:
    """Cancel work and wait a grace; return whether it ended."""
    under_way.cancel(task)
    try:
        await under_way.wait(GRACE_S)
    finally:
        _give_up(task, work, abandoned)
    return task.done()


def _give_up(
    task: asyncio.Future[T],
    work: Awaitable[T],
    abandoned: Callable[[asyncio.Future[T]], None] | None,
) -> None:
    """Report work that goes on; retrieve its exception, so that the event loop does not report it as unhandled."""
    task.add_done_callback(lambda t: None if t.cancelled() else t.exception())
    if task.done():
        if isinstance(work, Coroutine):
            work.close()  # it may have been cancelled before it began
    elif abandoned is not None:
        abandoned(task)
