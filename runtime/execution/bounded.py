"""A hard time limit: cancel, wait a grace, abandon.

`asyncio.wait_for` waits for a cancelled task to end, so a tool that swallows cancellation would hold the run.

Theory of operation. The work has a task of its own, so that what binds to the current task (`asyncio.timeout`,
cancel scopes) ends with it. Its caller waits for one future, which is set by whatever comes first: the end of the
work, the limit, or a watch that stops it. Work that has ended when its caller looks gives its result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

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


class Watch(Protocol):
    """Stops work that is under way."""

    def begin(self, lane: str, halt: asyncio.Future[str | None]) -> None:
        """Set a future to why the work of a lane must stop, now or later, unless it is done."""
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
        abandoned: Told of the work if it goes on though it was cancelled, for whatever reason that was.
        watch: What else may stop the work.
        lane: Names the work to the watch.

    Raises:
        TimeLimitError: If the limit passed; at most `GRACE_S` later.
        HaltedError: If the watch stopped the work; at most `GRACE_S` later.
        SelfCancelledError: If the work ended as cancelled though nobody cancelled it.
        asyncio.CancelledError: If the caller is cancelled; the work is cancelled too.
    """
    loop = asyncio.get_running_loop()
    over: asyncio.Future[str | None] = loop.create_future()
    task = loop.create_task(_telling(work, over))
    timer = None if limit_s is None else loop.call_later(max(limit_s, 0.0), _wake, over)
    if watch is not None:
        watch.begin(lane, over)
    try:
        cause = await over
    except asyncio.CancelledError:
        await _cut(task, abandoned)
        raise
    finally:
        if timer is not None:
            timer.cancel()
        if watch is not None:
            watch.done_with(lane)
    if task.done():
        if task.cancelled():
            raise SelfCancelledError
        return task.result()
    ended = await _cut(task, abandoned)
    if cause is not None:
        raise HaltedError(cause)
    raise TimeLimitError(abandoned=None if ended else task)


async def _telling(work: Awaitable[T], over: asyncio.Future[str | None]) -> T:
    """Do the work and wake its caller in the very step in which it ends: a callback would come a turn later."""
    try:
        return await work
    finally:
        _wake(over)


def _wake(over: asyncio.Future[str | None]) -> None:
    if not over.done():
        over.set_result(None)


async def _cut(task: asyncio.Future[T], abandoned: Callable[[asyncio.Future[T]], None] | None) -> bool:
    """Cancel work and wait a grace; return whether it ended."""
    task.cancel()
    try:
        await asyncio.wait({task}, timeout=GRACE_S)
    finally:
        _forget(task)
        if abandoned is not None and not task.done():
            abandoned(task)
    return task.done()


def _forget(task: asyncio.Future[T]) -> None:
    """Take note of an abandoned task's exception, so that it is not reported as never retrieved."""
    task.add_done_callback(lambda t: None if t.cancelled() else t.exception())
