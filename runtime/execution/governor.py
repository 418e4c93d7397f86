"""The governor: one for each process, it holds the control store, its clock, and the watch over switches."""

from __future__ import annotations

from runtime.control.ledger import SpendScope
from runtime.core.run import Header
from runtime.execution.clock import Clock, SystemClock
from runtime.execution.control_rules import ControlRules
from runtime.execution.run_guard import ALIVE_S, RunGuard, key_of
from runtime.execution.switch_watch import SwitchWatch
from runtime.ports.control_store import ControlStore
from runtime.ports.control_values import Run, RunOpened


class Governor:
    """Guards the runs of a process by the control store.

    Attributes:
        store: Where the control state is.
        rules: Limits across runs.
    """

    def __init__(
        self, store: ControlStore, rules: ControlRules | None = None, *, clock: Clock | None = None
    ) -> None:
        """Guard by a store; nothing is read before the first run.

        Args:
            store: Where the control state is; processes that share it guard each other's runs.
            rules: Limits across runs.
            clock: Time; the system's by default.
        """
        self.store = store
        self.rules: ControlRules = rules or ControlRules()
        self._clock = clock or SystemClock()
        self._monotonic_s = self._clock.monotonic_s
        # Anchored once: a jump of the wall clock must not end leases or open breakers.
        self._anchor = self._clock.now().timestamp() - self._monotonic_s()
        self._watch = SwitchWatch(store, self.rules, self.now)

    def now(self) -> float:
        """Return epoch seconds of a clock that never goes back."""
        return self._anchor + self._monotonic_s()

    async def open_run(self, header: Header, *, payload_hash: str) -> RunOpened:
        """Enter a run in the index; a second delivery of its request id is answered with the first.

        Raises:
            ControlUnavailable: If the store cannot be written.
        """
        now = self.now()
        return await self.store.open_run(
            Run(
                key=key_of(header),
                run_id=header.run_id,
                agent=header.agent,
                started_at=now,
                payload_hash=payload_hash,
                parent=header.parent,
                deploy=header.deploy,
                policy_hash=header.policy_hash,
                alive_until=now + ALIVE_S,
            )
        )

    def guard(self, header: Header, *, fencing: int = 1, tree: SpendScope | None = None) -> RunGuard:
        """Return the guard of a run; the running event loop watches it until it is closed. Internal to goldrun.

        Args:
            header: The run's header.
            fencing: The number under which this process has the run.
            tree: Where what it uses counts, for a run that another one started.
        """
        runs = self._watch.runs_here()
        guard = RunGuard(
            self.store, self.rules, self.now, self._watch, runs, header, fencing=fencing, tree=tree
        )
        runs.live.add(guard)
        return guard
