"""A hard time limit: cancel, wait a grace, abandon.

`asyncio.wait_for` waits for a cancelled task to end, so a tool that swallows cancellation would hold the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

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


async def bounded(
    work: Awaitable[T],
    limit_s: float | None,
    *,
    abandoned: Callable[[asyncio.Future[T]], None] | None = None,
) -> T:
    """Return the result of some work within a limit.

    Args:
        work: What to wait for.
        limit_s: Seconds; `None` for no limit.
        abandoned: Told of the work if it goes on though it was cancelled, for whatever reason that was.

    Raises:
        TimeLimitError: If the limit passed; at most `GRACE_S` later.
        SelfCancelledError: If the work ended as cancelled though nobody cancelled it.
        asyncio.CancelledError: If the caller is cancelled; the work is cancelled too.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=None if limit_s is None else max(limit_s, 0.0))
    except asyncio.CancelledError:
        await _cut(task, abandoned)
        raise
    if done:
        if task.cancelled():
            raise SelfCancelledError
        return task.result()
    ended = await _cut(task, abandoned)
    raise TimeLimitError(abandoned=None if ended else task)


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
