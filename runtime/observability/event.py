"""The event: one fact of one run, and who takes it."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from runtime.core.canonical import valid_text
from runtime.core.run import Totals
from runtime.ports.state import MemoryChange

EventKind = Literal[
    "run_started",
    "intent",
    "outcome",
    "late",
    "refused",
    "approval",
    "not_admitted",
    "run_ended",
    "memory",
    "login",
    "login_refused",
    "act",
]
_NAME_CHARS = 128


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fact of one run.

    Attributes:
        kind: What happened.
        request_id: Finds the run.
        run_id: Names the execution.
        tenant: Whose run it is.
        environment: Which world.
        agent: Which agent; empty for a change of memory.
        deploy: Version label.
        parent: Request id of the run that started this one, when it starts.
        policy_hash: Fingerprint of policy and budget, when the run starts.
        started_at: Wall time, ISO 8601 UTC, when the run starts; `at_s` counts from it.
        lane: Where in the run; empty for the run itself.
        subject: `model`, `tool` or `memory`.
        name: Model, tool or subject of a memory; at most 128 characters, a model may invent tools.
        status: What became of a call.
        args_hash: Keyed fingerprint of a call's arguments.
        write: Whether the call has effects outside.
        at_s: Seconds since the run began.
        duration_s: Seconds it took.
        input_tokens: Of a model call.
        output_tokens: Of a model call.
        cost_nanousd: Of a model call or a run.
        error_type: Class of a failure.
        stop_reason: How the run ended.
        totals: What the run used.
        by: Who: the principal of a login, who decided an approval, the operator of an act.
        how: How that is known, of an act.
        reason: Why, of an act or a refused login.
        act: What an operator did, and to what.
        act_seq: Number of the act in its store.
    """

    kind: EventKind
    request_id: str
    run_id: str
    tenant: str
    environment: str
    agent: str
    deploy: str | None = None
    parent: str | None = None
    policy_hash: str | None = None
    started_at: str | None = None
    lane: str = ""
    subject: Literal["model", "tool", "memory"] | None = None
    name: str | None = None
    status: str | None = None
    args_hash: str | None = None
    write: bool = False
    at_s: float | None = None
    duration_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_nanousd: int | None = None
    error_type: str | None = None
    stop_reason: str | None = None
    totals: Totals | None = None
    by: str | None = None
    how: str | None = None
    reason: str | None = None
    act: str | None = None
    act_seq: int | None = None


class EventSink(Protocol):
    """Takes events.

    One with an attribute `required` that is false is best effort: a thread of its own calls it, and what it does not
    take is lost. Any other is called between the effects of a run, must not block for long, and what it cannot keep is
    not done.
    """

    def take(self, event: Event) -> None:
        """Take one event.

        Raises:
            GoldrunError: If it cannot keep it; also `OSError`. The event is offered again later, in order.
        """
        ...


def memory_event(change: MemoryChange) -> Event:
    """Return a change of memory as an event, for `audit=lambda change: log.take(memory_event(change))`."""
    return Event(
        kind="memory",
        request_id=change.request_id or "",
        run_id="",
        tenant=change.scope_tenant,
        environment=change.scope_environment,
        agent="",
        subject="memory",
        name=named(change.subject),
        status=change.action,
        write=True,
    )


def named(name: str) -> str:
    """Return a name as an event holds it: cut, and valid text."""
    return valid_text(name[:_NAME_CHARS])
