"""A few threads that do what must not be done on an event loop, each piece of work for one waiting coroutine.

Not `ThreadPoolExecutor`: its futures and locks cost more than what is read here, and its threads keep a process from
ending while one of them hangs on a disk.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class _Work:
    """A piece of work and the future of who waits for it."""

    __slots__ = ("answer", "error", "future", "loop", "work")

    def __init__(self, work: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.answer: Any = None
        self.error: BaseException | None = None

    def refuse(self, error: Callable[[], Exception]) -> None:
        """End the wait: the deadline passed."""
        if not self.future.done():
            self.future.set_exception(error())

    def resolve(self) -> None:
        """Resolve the future, on its loop."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.answer)


class ReaderThreads:
    """Threads that share one queue; they begin with the first piece of work."""

    def __init__(self, count: int, *, deadline_s: float, late: Callable[[], Exception]) -> None:
        """Stand ready.

        Args:
            count: How many threads.
            deadline_s: Seconds after which a wait ends with an error.
            late: Makes that error.
        """
        self._count = count
        self._deadline_s = deadline_s
        self._late = late
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    async def do(self, work: Callable[[], T]) -> T:
        """Return what some work gives.

        Raises:
            Exception: What it raises, or the error of the deadline.
        """
        loop = asyncio.get_running_loop()
        job = _Work(work, loop)
        if not self._threads:
            self._begin()
        self._queue.put(job)
        timer = loop.call_later(self._deadline_s, job.refuse, self._late)
        try:
            answer: T = await job.future
        finally:
            timer.cancel()
        return answer

    def close(self) -> None:
        """End the threads once they have done what was asked; one that hangs is left behind."""
        with self._lock:
            threads, self._threads = self._threads, []
        for _ in threads:
            self._queue.put(None)
        for thread in threads:
            thread.join(self._deadline_s)

    def _begin(self) -> None:
        with self._lock:
            while len(self._threads) < self._count:
                thread = threading.Thread(target=self._serve, name="goldrun-control-reader", daemon=True)
                thread.start()
                self._threads.append(thread)

    def _serve(self) -> None:
        while True:
            job = self._queue.get()
            if job is None:
                return
            if job.future.done():  # cancelled, or refused
                continue
            try:
                job.answer = job.work()
            except Exception as error:  # noqa: BLE001 - the edge of the thread: it becomes the answer
                job.error = error
            try:
                job.loop.call_soon_threadsafe(job.resolve)
            except RuntimeError:  # the loop is closed: nobody waits any more
                continue
