"""Events beside the runs: who asked for one, who was refused, and what operators did."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from runtime.observability.best_effort import is_required, queue_of
from runtime.observability.event import Event, EventSink
from runtime.ports.control_values import Act


class ServiceEvents:
    """Sends the events of a service to its sinks."""

    def __init__(self, sinks: Sequence[EventSink]) -> None:
        self._required = [sink for sink in sinks if is_required(sink)]
        self._best_effort = [queue_of(sink) for sink in sinks if not is_required(sink)]

    def emit(self, event: Event) -> None:
        """Send an event to all sinks.

        Raises:
            Exception: Whatever a required sink raises that cannot keep it.
        """
        for queue in self._best_effort:
            queue.take(event)
        for sink in self._required:
            sink.take(event)

    def login(
        self,
        by: str | None,
        *,
        tenant: str,
        environment: str,
        agent: str,
        request_id: str,
        refused: str | None,
    ) -> bool:
        """Send who asked for a run of an agent, or why they may not; return whether that is kept."""
        return self._kept(
            Event(
                kind="login" if refused is None else "login_refused",
                request_id=request_id,
                run_id="",
                tenant=tenant,
                environment=environment,
                agent=agent,
                by=by,
                reason=refused,
                error_type=None if refused is None else "refused",
            )
        )

    def acts(self, acts: tuple[Act, ...]) -> bool:
        """Send what operators did; return whether all of it is kept. What is not is to be sent again."""
        # In order, and no further than one that is not kept.
        return all(self._kept(_event_of(act)) for act in acts)

    def _kept(self, event: Event) -> bool:
        try:
            self.emit(event)
        except Exception:  # noqa: BLE001 - the edge where a sink's exception becomes an event that was not kept
            return False
        return True


def _event_of(act: Act) -> Event:
    return Event(
        kind="act",
        request_id="",
        run_id="",
        tenant="",
        environment="",
        agent="",
        started_at=datetime.fromtimestamp(act.at, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
        by=act.by,
        how=act.how,
        reason=act.reason,
        act=f"{act.action} {act.subject}",
        act_seq=act.seq,
    )
