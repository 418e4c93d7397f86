"""Sweeps up in the control store what dead processes and ended calls leave, now and then."""

from __future__ import annotations

import contextlib

from runtime.ports.control_store import ControlStore
from runtime.ports.control_values import ControlUnavailable

SWEEP_S = 30.0
"""How often the sweep looks for runs that missed their heartbeat: twice in the time that a run may be silent."""

PRUNE_S = 600.0
KEPT_S = 86_400.0
"""How long a hold that ended is kept: nobody settles it again after that."""

_PRUNE_ROUNDS = 50
"""Bounds the work of one pruning, which goes on with the next."""


class Sweeper:
    """Sweeps one store, for all event loops of a process."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store
        self._swept_at = self._pruned_at = float("-inf")

    async def sweep_if_due(self, now: float) -> None:
        """Sweep; the runs of this process were heard of just before."""
        if now - self._swept_at < SWEEP_S:
            return
        self._swept_at = now
        prunes = now - self._pruned_at >= PRUNE_S
        if prunes:
            self._pruned_at = now
        with contextlib.suppress(ControlUnavailable):
            await self._store.sweep_runs(now=now)
            rounds = _PRUNE_ROUNDS if prunes else 0
            while rounds and await self._store.prune_spend(before=now - KEPT_S):
                rounds -= 1
