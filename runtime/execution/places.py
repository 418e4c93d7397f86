"""Places for calls that take a thread or a process: so many run at once, the others wait for theirs.

Rules.
1. The places are the process's: runs share them, whatever event loop they have. A call that waits has not begun: its
   time limit has not either, and the run's deadline or a switch ends the wait.
2. Who asked first is served first. A place is given back when its call has its outcome; a thread that was given up
   goes on without one, because else stuck threads would stop every other call.
3. Runs within a thread tool and child runs have threads of their own. If they waited for the places of the calls
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
from runtime.errors import UsageError
from runtime.execution.bounded import HaltedError, TimeLimitError, Watch, bounded
from runtime.ports.tools import IN_TOOL_THREAD

THREADS = 64
PROCESSES = 2 * (os.cpu_count() or 1)


class Ticket:
    """One call's place, or its turn in the queue for one; a context that gives either back."""

    __slots__ = ("_called", "_loop", "_places", "held")

    def __init__(self, places: Places | None) -> None:
        self._places = places
        self._loop: asyncio.AbstractEventLoop | None = None
        self._called: asyncio.Future[None] | None = None
        self.held = True

    def queue(self) -> None:
        """Wait from now on; told on the event loop that runs here."""
        self._loop = asyncio.get_running_loop()
        self._called = self._loop.create_future()
        self.held = False

    def call(self) -> bool:
        """Tell the one who waits that the place is theirs; return whether somebody is there."""
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # the loop is closed, and with it the run
            return False
        return True

    async def wait(self) -> None:
        """Return once the place is taken."""
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
        if self._places is not None:
            self._places.give_back(self)


_FREE = Ticket(None)
"""The place of what takes none."""


class Places:
    """So many places; safe to use from several threads and event loops."""

    def __init__(self, limit: int) -> None:
        self._lock = threading.Lock()
        self._limit = limit
        self._taken = 0
        self._waiting: deque[Ticket] = deque()

    @property
    def limit(self) -> int:
        """How many there are."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        with self._lock:
            self._limit = limit
            self._call_next()

    def ticket(self) -> Ticket:
        """Return a place, or one's turn in the queue if none is free."""
        ticket = Ticket(self)
        with self._lock:
            if self._taken < self._limit and not self._waiting:
                self._taken += 1
            else:
                ticket.queue()
                self._waiting.append(ticket)
        return ticket

    def give_back(self, ticket: Ticket) -> None:
        """Take a place back, or the turn in the queue."""
        with self._lock:
            if ticket.held:
                ticket.held = False
                self._taken -= 1
                self._call_next()
            elif ticket in self._waiting:
                self._waiting.remove(ticket)

    def _call_next(self) -> None:
        while self._waiting and self._taken < self._limit:
            ticket = self._waiting.popleft()
            if ticket.call():
                ticket.held = True
                self._taken += 1


class Room:
    """The places for the calls of some runs."""

    def __init__(self, threads: Places, processes: Places) -> None:
        self.threads = threads
        self.processes = processes

    def ticket(self, kind: object) -> Ticket:
        """Return the place of a call by its tool's kind; other kinds than `thread` and `process` need none."""
        match kind:
            case "thread":
                return self.threads.ticket()
            case "process":
                return self.processes.ticket()
            case _:
                return _FREE


SHARED = Room(Places(THREADS), Places(PROCESSES))


def limit_places(*, threads: int | None = None, processes: int | None = None) -> None:
    """Set how many calls may have a thread or a process at once in this process; what is `None` stays.

    Raises:
        UsageError: If there would be none.
    """
    for places, limit in ((SHARED.threads, threads), (SHARED.processes, processes)):
        if limit is not None and limit < 1:
            raise UsageError(f"{limit} calls at once are none", next_step="allow at least 1")
        if limit is not None:
            places.limit = limit


def room_of(header: Header) -> Room:
    """Return the places of a run that begins here."""
    if header.parent is None and not IN_TOOL_THREAD.get():
        return SHARED
    return Room(Places(SHARED.threads.limit), SHARED.processes)


async def called(ticket: Ticket, call: CallTool, *, at: float, watch: Watch | None) -> Failure | None:
    """Wait for a call's place; return why it was not waited for to the end, if so.

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
