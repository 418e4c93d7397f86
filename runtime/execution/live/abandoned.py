"""Calls that were abandoned: cut off at their limit, while their thread or coroutine goes on.

Theory of operation. A thread cannot be stopped, and a coroutine may swallow its cancellation. The run does not wait
for either: the call has its outcome (`timeout`, phase `abandoned`) and the flow goes on. What the call does
afterwards is real all the same. Until it ends it keeps its lease, and its late result is stored under its claim, so
that the same write is not made again. So each call that may go on is known here by its lane, from the moment it is
abandoned until it ends:

    thread begins -> in time:   ended(lane)
                  -> abandoned: abandon(lane), and once it ends: end_late(call, result)
    coroutine     -> abandoned: follow(call)(task), and once it ends: end_late(call, result)

The guard hears of a late end first, because it frees what other calls wait for; then the listeners.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from runtime.core.effects import CallTool, Failure, ToolResult
from runtime.execution.time_limit import Watch

Listener = Callable[[CallTool, ToolResult | None], None]
"""Called with an abandoned call that has ended, and its result if it gave one."""


class CallGuard(Watch, Protocol):
    """What guards the calls of a run while they are carried out."""

    def refusal(self, call: CallTool) -> Failure | None:
        """Return why a call may not begin now; asked in the very step of the event loop in which it would."""
        ...

    def ended_late(self, call: CallTool, result: ToolResult | None) -> None:
        """Store the late end of an abandoned call, with its result if it gave one."""
        ...


class AbandonedCalls:
    """The calls of one run that were abandoned and have not ended."""

    __slots__ = ("_guard", "_lanes", "_listeners", "_threads")

    def __init__(self, guard: CallGuard | None) -> None:
        self._guard = guard
        self._listeners: tuple[Listener, ...] = ()
        # Lists: almost always empty, and 56 bytes each where an empty set takes 216.
        self._lanes: list[str] = []
        self._threads: list[str] = []

    def listen(self, listener: Listener) -> None:
        """Register a callback for late ends; the run may be over by then."""
        self._listeners = (*self._listeners, listener)

    def __contains__(self, lane: str) -> bool:
        return lane in self._lanes

    def thread_began(self, lane: str) -> None:
        """Note that a call runs in a thread, which nothing can stop."""
        self._threads.append(lane)

    def ended(self, lane: str) -> None:
        """Note that a call's thread ended in time."""
        if lane in self._threads:
            self._threads.remove(lane)

    def abandon(self, lane: str) -> None:
        """Note that a call was cut off; it is abandoned if it has a thread, which goes on."""
        if lane in self._threads:
            self._threads.remove(lane)
            if lane not in self._lanes:
                self._lanes.append(lane)

    def follow(self, call: CallTool) -> Callable[[asyncio.Future[Any]], None]:
        """Return what to call with the task of a coroutine that goes on though it was cancelled."""

        def ended(task: asyncio.Future[Any]) -> None:
            result = None if task.cancelled() or task.exception() is not None else task.result()
            self.end_late(call, result if isinstance(result, ToolResult) else None)

        def follow(task: asyncio.Future[Any]) -> None:
            self._lanes.append(call.lane)
            task.add_done_callback(ended)

        return follow

    def end_late(self, call: CallTool, result: ToolResult | None) -> None:
        """Note that an abandoned call has ended, with its result if it gave one."""
        self.ended(call.lane)
        if call.lane in self._lanes:
            self._lanes.remove(call.lane)
        if self._guard is not None:
            self._guard.ended_late(call, result)
        for listener in self._listeners:
            listener(call, result)
