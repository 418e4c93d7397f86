"""Which recording a call belongs to: bound to the context, carried into new threads, absent outside.

A thread that a bound context starts, itself or through a pool, is bound too: the interpreter does not carry
context variables into threads, and an agent's tools often run in some.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn, Protocol, TypeGuard, cast

from harness.wire.exchange import HttpAnswer, SentRequest
from harness.wire.misses import MissVerdict


class Exchanging(Protocol):
    """One exchange while it is recorded; ends once, later ends are ignored."""

    def head(self, status: int, reason: str, headers: list[tuple[str, str]]) -> None:
        """Take the head of the answer."""
        ...

    def chunk(self, data: bytes) -> None:
        """Take the next piece of the body."""
        ...

    def done(self) -> None:
        """End it: the body is whole."""
        ...

    def closed(self) -> None:
        """End it: the client reads no further."""
        ...

    def fail(self, error: BaseException) -> None:
        """End it: the client raised this."""
        ...


class Served(Protocol):
    """An answer on its way to a client."""

    @property
    def answer(self) -> HttpAnswer:
        """What was recorded."""
        ...

    @property
    def duration_s(self) -> float:
        """Seconds the recorded exchange took."""
        ...

    def refuse(self, verdict: MissVerdict, detail: str) -> NoReturn:
        """Stop the client: it asks for more than was recorded."""
        ...


class Channel(Protocol):
    """A recording as clients see it."""

    @property
    def is_open(self) -> bool:
        """Whether it still takes calls."""
        ...

    @property
    def is_replay(self) -> bool:
        """Whether calls are answered from the file."""
        ...

    @property
    def pace(self) -> float:
        """Share of the recorded waiting that a replay waits too; 0 for none."""
        ...

    @property
    def outer(self) -> Channel | None:
        """The recording around this one."""
        ...

    def take(self, sent: SentRequest) -> Exchanging | Served | None:
        """Return the exchange to record a request in, or its recorded answer; `None` to send it as if unrecorded.

        Raises:
            Unanswered: If the request is refused, or a replay has no answer to it.
        """
        ...


def is_served(taken: Exchanging | Served) -> TypeGuard[Served]:
    """Return whether what a channel gave for a request is a recorded answer."""
    return hasattr(taken, "answer")


def unserved(taken: Exchanging | Served) -> Exchanging:
    """Return what a channel gave for a request, known to be an exchange that is recorded."""
    return cast("Exchanging", taken)


_bound: ContextVar[Channel | None] = ContextVar("goldrun_wire_channel", default=None)


def current() -> Channel | None:
    """Return the open recording this call belongs to."""
    channel = _bound.get()
    while channel is not None and not channel.is_open:
        channel = channel.outer
    return channel


def bind(channel: Channel | None) -> Channel | None:
    """Bind the context to a recording and return what it was bound to."""
    before = _bound.get()
    _bound.set(channel)
    return before


@contextmanager
def bound_to(channel: Channel | None) -> Iterator[None]:
    """Bind the context to a recording for a block."""
    before = bind(channel)
    try:
        yield
    finally:
        bind(before)


class ThreadCarrier:
    """Carries bindings into threads while it is installed."""

    def __init__(self) -> None:
        self._start: Any = threading.Thread.start
        self._submit: Any = ThreadPoolExecutor.submit
        self._installed: tuple[Any, Any] | None = None

    def install(self) -> None:
        """Begin to carry."""
        start: Any = threading.Thread.start
        submit: Any = ThreadPoolExecutor.submit
        self._start, self._submit = start, submit

        @functools.wraps(start)
        def carrying_start(thread: threading.Thread) -> None:
            channel = current()
            if channel is not None:
                # On the instance, so that subclasses with a `run` of their own are carried too.
                thread.run = _carried(channel, thread.run)  # type: ignore[method-assign]
            start(thread)

        @functools.wraps(submit)
        def carrying_submit(
            pool: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any
        ) -> Any:
            # The worker may have been started by another context, so each job carries its own binding.
            return submit(pool, _carried(current(), function), *args, **kwargs)

        self._installed = carrying_start, carrying_submit
        threading.Thread.start = carrying_start  # type: ignore[method-assign,assignment]
        ThreadPoolExecutor.submit = carrying_submit  # type: ignore[method-assign,assignment]

    def remove(self) -> None:
        """Stop carrying; what someone else has wrapped meanwhile is left to them."""
        if self._installed is None:
            return
        if threading.Thread.start is self._installed[0]:
            threading.Thread.start = self._start  # type: ignore[method-assign]
        if ThreadPoolExecutor.submit is self._installed[1]:
            ThreadPoolExecutor.submit = self._submit  # type: ignore[method-assign]
        self._installed = None


def _carried(channel: Channel | None, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        with bound_to(channel):
            return function(*args, **kwargs)

    return run
