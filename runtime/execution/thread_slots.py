"""Slots for calls that take a thread or a process: so many run at once, the others queue.

Rules.
1. The slots are the process's: all runs share them, whatever event loop they have. A call that queues has not begun:
   its time limit has not either, and the run's deadline or a switch ends the wait.
2. First come, first served. A slot is released when its call has its outcome. An abandoned thread goes on without
   one, because else stuck threads would stop every other call.
3. Runs within a thread tool and child runs have thread slots of their own. If they waited for the slots of the calls
   that wait for them, nothing would ever go on.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from types import TracebackType

from runtime.core.effects import CallTool, Failure, FailureKind
from runtime.core.run import Header
from runtime.core.signatures import checks_arguments
from runtime.errors import UsageError
from runtime.execution.time_limit import HaltedError, TimeLimitError, Watch, bounded
from runtime.ports.tools import IN_TOOL_THREAD

THREADS = 64
PROCESSES = 2 * (os.cpu_count() or 1)


class Ticket:
    """One call's slot, or its turn in the queue for one; a context that gives either back.

    Attributes:
        held: Whether the slot is taken.
    """

    __slots__ = ("_called", "_loop", "_pool", "held")

    def __init__(self, pool: SlotPool | None) -> None:
        self._pool = pool
        self._loop: asyncio.AbstractEventLoop | None = None
        self._called: asyncio.Future[None] | None = None
        self.held: bool = True

    def queue(self) -> None:
        """Queue from now on, to be called on the event loop that runs here."""
        self._loop = asyncio.get_running_loop()
        self._called = self._loop.create_future()
        self.held = False

    def call(self) -> bool:
        """Wake the waiter: the slot is taken for it. Return whether it can still be reached."""
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # the loop is closed, and with it the run
            return False
        return True

    async def wait(self) -> None:
        """Return once the slot is taken."""
        if self._called is not None:
            await self._called

    def _wake(self) -> None:
        assert self._called is not None
        if not self._called.done():
            self._called.set_result(None)

    def __enter__(self) -> Ticket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.release(self)


_NO_SLOT = Ticket(None)
"""The ticket of a call that needs no slot."""


class SlotPool:
    """A fair semaphore; unlike asyncio's it is shared by several threads and event loops."""

    def __init__(self, limit: int) -> None:
        self._lock = threading.Lock()
        self._limit = limit
        self._taken = 0
        self._queue: deque[Ticket] = deque()

    @property
    def limit(self) -> int:
        """How many slots there are."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        with self._lock:
            self._limit = limit
            self._call_next()

    def ticket(self) -> Ticket:
        """Return a slot, or a turn in the queue if none is free."""
        ticket = Ticket(self)
        with self._lock:
            # A free slot belongs to the queue first: a late call must not overtake it.
            if self._taken < self._limit and not self._queue:
                self._taken += 1
            else:
                ticket.queue()
                self._queue.append(ticket)
        return ticket

    def release(self, ticket: Ticket) -> None:
        """Take a slot back, or a turn in the queue; releasing twice is harmless."""
        with self._lock:
            if ticket.held:
                ticket.held = False
                self._taken -= 1
                self._call_next()
            elif ticket in self._queue:
                self._queue.remove(ticket)

    def _call_next(self) -> None:
        while self._queue and self._taken < self._limit:
            ticket = self._queue.popleft()
            if ticket.call():
                ticket.held = True
                self._taken += 1


class RunSlots:
    """The slots for the calls of some runs."""

    def __init__(self, threads: SlotPool, processes: SlotPool) -> None:
        self.threads = threads
        self.processes = processes

    def ticket(self, kind: object) -> Ticket:
        """Return the ticket of a call by its tool's kind; other kinds than `thread` and `process` need no slot."""
        match kind:
            case "thread":
                return self.threads.ticket()
            case "process":
                return self.processes.ticket()
            case _:
                return _NO_SLOT


SHARED = RunSlots(SlotPool(THREADS), SlotPool(PROCESSES))


@checks_arguments
def limit_slots(*, threads: int | None = None, processes: int | None = None) -> None:
    """Set how many calls may have a thread or a process at once in this process; what is `None` stays.

    Raises:
        UsageError: If there would be none.
    """
    for pool, limit in ((SHARED.threads, threads), (SHARED.processes, processes)):
        if limit is not None and limit < 1:
            raise UsageError(f"{limit} calls at once are none", next_step="allow at least 1")
        if limit is not None:
            pool.limit = limit


def slots_of(header: Header) -> RunSlots:
    """Return the slots of a run that begins here; see rule 3."""
    if header.parent is None and not IN_TOOL_THREAD.get():
        return SHARED
    return RunSlots(SlotPool(SHARED.threads.limit), SHARED.processes)


async def wait_for_slot(ticket: Ticket, call: CallTool, *, at: float, watch: Watch | None) -> Failure | None:
    """Wait for a call's slot; return why the wait ended without one, if so.

    Args:
        ticket: The call's turn.
        call: The call.
        at: Seconds since the run began.
        watch: What else ends the wait.
    """
    deadline_s = call.limits.deadline_s
    left_s = None if deadline_s is None else deadline_s - at
    try:
        await bounded(ticket.wait(), left_s, watch=watch, lane=call.lane)
    except TimeLimitError:
        cause = "deadline"
    except HaltedError as halt:
        cause = halt.cause
    else:
        return None
    message = f"'{call.name}' had not begun: it waited for a place"
    return Failure(kind=FailureKind.INTERRUPTED, message=message, phase="connect", cause=cause)
