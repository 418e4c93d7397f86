"""What may change a run of the index: pure rules that every store shares."""

from __future__ import annotations

import msgspec

from runtime.core.stop import StopKind
from runtime.ports.control_values import Run

CRASHED = StopKind.CRASHED.value


def beaten(run: Run | None, *, fencing: int, alive_until: float | None) -> Run | None:
    """Return a run after a heartbeat; `None` if it ended or was taken over.

    That it crashed is what others concluded from its silence; its owner knows better.
    """
    if run is None or run.fencing != fencing or run.stop_reason not in (None, CRASHED):
        return None
    return msgspec.structs.replace(run, alive_until=alive_until, stop_reason=None, ended_at=None)


def resumed(run: Run | None, *, now: float, alive_until: float | None) -> Run | None:
    """Return a run in the hands of its next owner; `None` if it is alive or over."""
    if run is None or run.stop_reason not in (None, CRASHED):
        return None
    if run.stop_reason is None and run.alive_until is not None and run.alive_until > now:
        return None
    return msgspec.structs.replace(
        run, fencing=run.fencing + 1, alive_until=alive_until, stop_reason=None, ended_at=None
    )


def stopped(run: Run | None, *, fencing: int, stop_reason: str, now: float) -> Run | None:
    """Return a run with its stop reason; `None` if it has one or was taken over."""
    if run is None or run.fencing != fencing or run.stop_reason not in (None, CRASHED):
        return None
    return msgspec.structs.replace(run, stop_reason=stop_reason, ended_at=now)


def swept(run: Run, now: float) -> Run | None:
    """Return a run that missed its heartbeat as crashed; `None` if it is alive, parked or over."""
    if run.stop_reason is not None or run.alive_until is None or run.alive_until > now:
        return None
    return msgspec.structs.replace(run, stop_reason=CRASHED, ended_at=now)
