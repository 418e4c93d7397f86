"""A control store for code without an event loop: commands, scripts, tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from runtime.ports.control_store import ControlStore

T = TypeVar("T")
P = ParamSpec("P")


class _Blocking:
    """A loop of its own, on which the operations of a store run."""

    def __init__(self, store: ControlStore) -> None:
        """Take over a store; `close` closes it too."""
        self.store = store
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def close(self) -> None:
        """Close the store; closing twice is harmless."""
        self.store.close()
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def ask(self, operation: Coroutine[Any, Any, T]) -> T:
        """Return the answer of an operation."""
        return asyncio.run_coroutine_threadsafe(operation, self._running()).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                name = "goldrun-control-blocking"
                threading.Thread(target=_run, args=(self._loop,), name=name, daemon=True).start()
            return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped, then close it."""
    try:
        loop.run_forever()
    finally:
        loop.close()


def _waited_for(
    method: Callable[Concatenate[ControlStore, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[_Blocking, P], T]:
    name = method.__name__

    def wait(self: _Blocking, /, *args: P.args, **kwargs: P.kwargs) -> T:
        operation: Coroutine[Any, Any, T] = getattr(self.store, name)(*args, **kwargs)
        return self.ask(operation)

    wait.__name__, wait.__doc__ = name, method.__doc__
    return wait


class BlockingControlStore(_Blocking):
    """The operations of a control store, each waited for.

    They run on an event loop of their own, in a thread of their own. So they may be called from any thread. Called
    from a coroutine they would hold up its event loop: there, await those of `store`.

    Attributes:
        store: The control store.
    """

    reserve_spend = _waited_for(ControlStore.reserve_spend)
    settle_spend = _waited_for(ControlStore.settle_spend)
    release_spend = _waited_for(ControlStore.release_spend)
    expire_spend = _waited_for(ControlStore.expire_spend)
    read_spend = _waited_for(ControlStore.read_spend)
    list_spend = _waited_for(ControlStore.list_spend)
    put_caps = _waited_for(ControlStore.put_caps)
    prune_spend = _waited_for(ControlStore.prune_spend)
    claim = _waited_for(ControlStore.claim)
    renew_claim = _waited_for(ControlStore.renew_claim)
    end_claim = _waited_for(ControlStore.end_claim)
    reconcile_claim = _waited_for(ControlStore.reconcile_claim)
    lookup_claim = _waited_for(ControlStore.lookup_claim)
    list_claims = _waited_for(ControlStore.list_claims)
    acquire_lease = _waited_for(ControlStore.acquire_lease)
    renew_lease = _waited_for(ControlStore.renew_lease)
    release_lease = _waited_for(ControlStore.release_lease)
    count_leases = _waited_for(ControlStore.count_leases)
    take_rate = _waited_for(ControlStore.take_rate)
    ask_breaker = _waited_for(ControlStore.ask_breaker)
    report_breaker = _waited_for(ControlStore.report_breaker)
    close_breaker = _waited_for(ControlStore.close_breaker)
    list_breakers = _waited_for(ControlStore.list_breakers)
    admit_call = _waited_for(ControlStore.admit_call)
    end_calls = _waited_for(ControlStore.end_calls)
    put_switch = _waited_for(ControlStore.put_switch)
    clear_switch = _waited_for(ControlStore.clear_switch)
    read_switches = _waited_for(ControlStore.read_switches)
    open_approval = _waited_for(ControlStore.open_approval)
    decide_approval = _waited_for(ControlStore.decide_approval)
    use_approval = _waited_for(ControlStore.use_approval)
    read_approval = _waited_for(ControlStore.read_approval)
    expire_approvals = _waited_for(ControlStore.expire_approvals)
    void_approvals = _waited_for(ControlStore.void_approvals)
    list_approvals = _waited_for(ControlStore.list_approvals)
    open_run = _waited_for(ControlStore.open_run)
    beat_run = _waited_for(ControlStore.beat_run)
    resume_run = _waited_for(ControlStore.resume_run)
    stop_run = _waited_for(ControlStore.stop_run)
    sweep_runs = _waited_for(ControlStore.sweep_runs)
    find_runs = _waited_for(ControlStore.find_runs)
    list_runs = _waited_for(ControlStore.list_runs)
    append_checkpoint = _waited_for(ControlStore.append_checkpoint)
    list_checkpoints = _waited_for(ControlStore.list_checkpoints)
    note_act = _waited_for(ControlStore.note_act)
    list_acts = _waited_for(ControlStore.list_acts)
