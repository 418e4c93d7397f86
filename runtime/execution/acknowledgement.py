"""Waiting until a switch is in force: until each worker acts on it, or may start nothing any more."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.execution.clock import Clock
from runtime.execution.switch_watch import LEASE_S
from runtime.ports.control_store import ControlStore

_LOOK_S = 0.02
_MARGIN_S = 0.25
"""How much longer than a lease of switches is waited, because clocks and turns of event loops are not exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """Who acts on a switch.

    Attributes:
        workers: Workers that have acknowledged it.
        silent: Ids of workers that have not. The lease of the switches they know has lapsed: they start nothing.
    """

    workers: int
    silent: tuple[str, ...] = ()


async def acknowledged(store: ControlStore, epoch: int, clock: Clock) -> Acknowledged:
    """Return once nothing starts any more that the switches of an epoch forbid.

    That is when each living worker has acknowledged the epoch, or the lease of older switches has lapsed everywhere.

    Raises:
        ControlUnavailable: If the store cannot be read.
    """
    began = clock.monotonic_s()
    while True:
        workers = await store.list_workers(now=clock.now().timestamp())
        silent = tuple(worker.id for worker in workers if worker.epoch < epoch)
        if not silent or clock.monotonic_s() - began > LEASE_S + _MARGIN_S:
            return Acknowledged(workers=len(workers) - len(silent), silent=silent)
        await clock.sleep(_LOOK_S)
