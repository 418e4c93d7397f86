"""Values of the control store that no guard judges: leases, calls, runs, audit checkpoints, and its one error."""

from __future__ import annotations

from typing import Literal

import msgspec

from runtime.control.breaker import BreakerRule, BreakerVerdict, Sample
from runtime.control.ledger import Amount, Reserved, SpendScope, Unit
from runtime.control.ratelimit import RateAnswer, RateRule
from runtime.errors import DataError


class ControlUnavailable(DataError):
    """The control store cannot be read or written now; guards refuse instead of guessing."""


class RunTakenOver(ControlUnavailable):
    """Another process has the run now; this one may start nothing more for it."""


class SwitchesChanged(ControlUnavailable):
    """Switches were changed since the caller read them; it must read them again before it starts anything."""


class RunKey(msgspec.Struct, frozen=True, kw_only=True):
    """Which run; a request id of one tenant never finds the run of another."""

    tenant: str
    environment: str
    request_id: str


class RunOwner(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts for a run: the run, and the fencing number under which a process has it."""

    key: RunKey
    fencing: int


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A slot that is taken.

    Attributes:
        name: What is limited.
        fencing: Number of this lease, one higher than the last of its name; with the name it is the lease's id.
        owner: Who holds it, for people.
        expires_at: When it lapses; epoch seconds.
    """

    name: str
    fencing: int
    owner: str
    expires_at: float


class LeaseAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request for a slot.

    Attributes:
        lease: The slot; `None` if all are taken.
        live: Slots taken, this one included.
        after_s: If refused: seconds until the first lease lapses unless it is renewed.
    """

    lease: Lease | None
    live: int
    after_s: float = 0.0


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """The breaker over all tenants of what a call goes to.

    Attributes:
        key: Of the breaker.
        rule: When it trips.
        generation: From the breaker's verdict, once it was asked.
    """

    key: str
    rule: BreakerRule
    generation: int = 0


class CallEnd(msgspec.Struct, frozen=True, kw_only=True):
    """What one call that was let through gives back.

    Attributes:
        reservation: Its hold; `None` if it has none.
        actual: What it used; `None` if it never started.
        breaker: Rule of its breaker; `None` if no breaker applies.
        key: Of its breaker.
        generation: From the breaker's verdict.
        sample: What the call says about its dependency.
        token: The token that the call was admitted with.
        slot: Its slot; `None` if it has none or keeps it.
        upstream: The breaker over all tenants; `None` if it need not hear of the call.
        rate_at: When its token of the rate of `key` was taken, if that is given back.
    """

    reservation: str | None
    actual: Amount | None
    breaker: BreakerRule | None
    key: str
    generation: int
    sample: Sample
    token: str
    slot: Lease | None
    upstream: Upstream | None = None
    rate_at: float | None = None


class CallAsk(msgspec.Struct, frozen=True, kw_only=True):
    """What one call needs before it may start.

    Attributes:
        key: Of its breaker, its slots and its rate.
        token: Names this attempt alone: it owns the slot, and the probe if it is one.
        breaker: When what it calls counts as unhealthy; `None` to ask no breaker.
        slots: How many such calls may be under way; `None` for any number.
        slot_s: Seconds a slot is held without a sign of life.
        reservation: Names its hold, as in `reserve_spend`.
        scopes: Where the amount counts.
        amount: The worst case.
        hold_s: Seconds until the hold expires.
        rate: How often such calls may start; `None` for any rate.
        run: Who asks; `None` to ask for no run.
        epoch: Of the switches that the caller knows; `None` to start under any.
        ends: Calls that end with it, in the same operation.
        upstream: The breaker over all tenants; `None` to ask none.
        unknown: Units of the amount that are not known: a scope with a cap on one of them refuses.
    """

    key: str
    token: str
    breaker: BreakerRule | None
    slots: int | None
    slot_s: float
    reservation: str
    scopes: tuple[SpendScope, ...]
    amount: Amount
    hold_s: float
    rate: RateRule | None
    run: RunOwner | None = None
    epoch: int | None = None
    ends: tuple[CallEnd, ...] = ()
    upstream: Upstream | None = None
    unknown: tuple[Unit, ...] = ()


class CallAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request for all that one call needs.

    Attributes:
        refused: Which guard refused it first; `None` if it may start.
        breaker: The breaker's verdict; `None` if no breaker applies.
        upstream: The verdict of the breaker over all tenants; `None` if it was not asked.
        slot: The answer about a slot, if that is what refused, or a slot is taken now.
        spend: The ledger's answer, if that is what refused, or the amount is held now.
        rate: The limiter's answer, if that is what refused, or a token is taken now.
    """

    refused: Literal["breaker", "slot", "spend", "rate"] | None = None
    breaker: BreakerVerdict | None = None
    upstream: BreakerVerdict | None = None
    slot: LeaseAnswer | None = None
    spend: Reserved | None = None
    rate: RateAnswer | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run as the index knows it.

    Attributes:
        key: Which run.
        run_id: Names this execution.
        agent: What runs.
        started_at: Epoch seconds, as all times here.
        payload_hash: Fingerprint of the request; the same request id with another payload is a conflict.
        parent: Request id of the run that started it.
        deploy: Version label.
        policy_hash: Policy it began under.
        alive_until: When it counts as crashed without a further heartbeat; `None` while it is parked or not watched.
        fencing: One higher each time it is taken over; what an earlier owner says does nothing.
        stop_reason: Text form; `None` while it runs.
        ended_at: When the stop reason was set.
    """

    key: RunKey
    run_id: str
    agent: str
    started_at: float
    payload_hash: str = ""
    parent: str | None = None
    deploy: str | None = None
    policy_hash: str | None = None
    alive_until: float | None = None
    fencing: int = 1
    stop_reason: str | None = None
    ended_at: float | None = None


class RunOpened(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to opening a run.

    Attributes:
        first: Whether this delivery is the first; only then the run is carried out.
        conflict: Whether the first delivery had another payload.
        run: The run of the first delivery.
    """

    first: bool
    conflict: bool
    run: Run


class RunStopped(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to setting a stop reason.

    Attributes:
        applied: Whether this one is the run's stop reason.
        run: The run as it stands now; `None` if it is not known.
    """

    applied: bool
    run: Run | None


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A point of an audit chain: its entry number, the chain's digest there, and when (epoch seconds)."""

    chain: str
    seq: int
    digest: str
    at: float


class Act(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an operator did: when (epoch seconds), who, what (`kill`, `settle`, ...), to what, and why."""

    at: float
    by: str
    action: str
    subject: str
    reason: str = ""


class BreakerView(msgspec.Struct, frozen=True, kw_only=True):
    """A breaker as metrics show it."""

    key: str
    phase: str
    trips: int
    retry_at: float
