"""The circuit breaker: failure rate in a window, one half-open probe, and no say for late results.

closed ---rate reached---> open ---cooldown over, someone asks---> half_open ---probe ok---> closed
                             ^------------------probe failed-----------'

Rules.
1. Samples count in buckets of a sliding window; the breaker trips when at least `min_calls` were counted and the
   share of failures reaches `failure_rate`.
2. Each trip and each recovery starts a generation. A result that names another generation is ignored, so calls
   that began before the trip can neither trip nor close it later.
3. While half open one caller holds the probe token; everyone else is refused at once. The token lapses after
   `probe_ttl_s`, so a probe whose process died does not keep the breaker shut.
4. A cancelled, refused or invalid call says nothing about the dependency: it counts neither way, and a probe that
   ends so gives its token back.
5. An operator may close it; that starts a generation too.
6. A breaker over all tenants guards what a tool or model calls. Each tenant's own one opens first, so one tenant
   alone does not open it. It hears of calls that went well only while failures are counted: else each call of a
   healthy tool would wait for one row that all tenants change.
7. The cooldown is drawn from a seeded stream for each trip, so that many breakers do not probe at one moment.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from runtime.core.ids import unit_random

Phase = Literal["closed", "open", "half_open"]
Sample = Literal["ok", "failed", "neutral"]
"""What a call says of its dependency; `neutral` for cancelled, refused and invalid calls."""


class BreakerRule(msgspec.Struct, frozen=True, kw_only=True):
    """When a breaker trips and for how long.

    Attributes:
        window_s: Seconds in which samples count.
        buckets: Parts of the window that samples are kept in.
        failure_rate: Share of failures that trips it, above 0 and at most 1.
        min_calls: Samples below which it never trips.
        cooldown_s: Shortest time from a trip to the probe, in seconds.
        jitter: Share of the cooldown that is added at most, drawn for each trip.
        probe_ttl_s: Seconds after which an unanswered probe gives way to another; above a call's timeout.
    """

    window_s: float = 30.0
    buckets: int = 10
    failure_rate: float = 0.5
    min_calls: int = 10
    cooldown_s: float = 60.0
    jitter: float = 0.2
    probe_ttl_s: float = 60.0


class Bucket(msgspec.Struct, frozen=True, array_like=True):
    """Samples of one part of the window."""

    index: int
    ok: int
    failed: int


class BreakerState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a breaker keeps.

    Attributes:
        phase: Closed, open or half open.
        generation: One higher after each trip and each recovery.
        buckets: Samples of this generation, oldest first.
        trips: How often it tripped.
        opened_at: When it tripped last; epoch seconds.
        retry_at: When a probe is let through; epoch seconds.
        probe: Token of the probe under way.
        probe_until: When that token lapses.
    """

    phase: Phase = "closed"
    generation: int = 0
    buckets: tuple[Bucket, ...] = ()
    trips: int = 0
    opened_at: float = 0.0
    retry_at: float = 0.0
    probe: str | None = None
    probe_until: float = 0.0


NEW = BreakerState()


class BreakerVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a call may start.

    Attributes:
        allowed: The verdict.
        generation: To be named when the call's result is reported.
        phase: The breaker's phase.
        probe: Whether this call is the probe; its result is reported with its token.
        after_s: If not allowed: seconds until a new attempt makes sense.
        failing: Whether failures are counted; without any, that a call went well changes little.
    """

    allowed: bool
    generation: int
    phase: Phase
    probe: bool = False
    after_s: float = 0.0
    failing: bool = False


def ask(
    state: BreakerState, rule: BreakerRule, *, now: float, token: str
) -> tuple[BreakerState, BreakerVerdict]:
    """Return the state after a call asks to start, and the verdict.

    Args:
        state: What the breaker keeps.
        rule: Its limits.
        now: Epoch seconds.
        token: Unique to this attempt; it becomes the probe token if the call is the probe.
    """
    state = _rebased(state, now)
    generation = state.generation
    match state.phase:
        case "closed":
            failing = any(bucket.failed for bucket in state.buckets)
            return state, BreakerVerdict(allowed=True, generation=generation, phase="closed", failing=failing)
        case "open" if now < state.retry_at:
            wait = state.retry_at - now
            return state, BreakerVerdict(allowed=False, generation=generation, phase="open", after_s=wait)
        case "half_open" if state.probe is not None and now < state.probe_until:
            wait = state.probe_until - now
            return state, BreakerVerdict(
                allowed=False, generation=generation, phase="half_open", after_s=wait
            )
        case _:
            probing = msgspec.structs.replace(
                state, phase="half_open", probe=token, probe_until=now + rule.probe_ttl_s
            )
            return probing, BreakerVerdict(allowed=True, generation=generation, phase="half_open", probe=True)


def report(
    state: BreakerState,
    rule: BreakerRule,
    *,
    now: float,
    generation: int,
    sample: Sample,
    token: str,
    stream: str = "",
) -> BreakerState:
    """Return the state after a call's result.

    Args:
        state: What the breaker keeps.
        rule: Its limits.
        now: Epoch seconds.
        generation: From the verdict under which the call started.
        sample: What the call says about the dependency.
        token: As given to `ask`; while half open only the probe's counts.
        stream: Of the jitter, the breaker's key; breakers with different ones probe at different times.
    """
    state = _rebased(state, now)
    if generation != state.generation or state.phase == "open":
        return state
    if state.phase == "half_open":
        return state if token != state.probe else _probed(state, rule, now, sample, stream)
    if sample == "neutral":
        return state
    state = msgspec.structs.replace(state, buckets=_counted(state, rule, now, sample))
    calls = failed = 0
    for bucket in state.buckets:
        calls += bucket.ok + bucket.failed
        failed += bucket.failed
    if failed and calls >= rule.min_calls and failed >= rule.failure_rate * calls:
        return _tripped(state, rule, now, stream)
    return state


def closed(state: BreakerState) -> BreakerState | None:
    """Return the state after an operator closed the breaker; `None` if it is closed.

    It begins a generation, so what calls from before report changes nothing.
    """
    if state.phase == "closed":
        return None
    return BreakerState(generation=state.generation + 1, trips=state.trips)


def _probed(state: BreakerState, rule: BreakerRule, now: float, sample: Sample, stream: str) -> BreakerState:
    match sample:
        case "ok":
            return BreakerState(generation=state.generation + 1, trips=state.trips)
        case "failed":
            return _tripped(state, rule, now, stream)
        case "neutral":
            return msgspec.structs.replace(state, probe=None, probe_until=0.0)


def _counted(state: BreakerState, rule: BreakerRule, now: float, sample: Sample) -> tuple[Bucket, ...]:
    """Return the buckets with a sample; a time before the newest bucket counts in that one."""
    index = int(now / (rule.window_s / rule.buckets))
    newest = state.buckets[-1] if state.buckets else Bucket(index, 0, 0)
    if index < newest.index - rule.buckets:
        newest = Bucket(index, 0, 0)
    index = max(index, newest.index)
    kept = tuple(b for b in state.buckets if index - rule.buckets < b.index < index)
    if newest.index != index:
        newest = Bucket(index, 0, 0)
    ok, failed = (1, 0) if sample == "ok" else (0, 1)
    return (*kept, Bucket(index, newest.ok + ok, newest.failed + failed))


def _tripped(state: BreakerState, rule: BreakerRule, now: float, stream: str) -> BreakerState:
    share = rule.jitter * unit_random(0, "breaker", stream, state.trips)
    return BreakerState(
        phase="open",
        generation=state.generation + 1,
        trips=state.trips + 1,
        opened_at=now,
        retry_at=now + rule.cooldown_s * (1.0 + share),
    )


def _rebased(state: BreakerState, now: float) -> BreakerState:
    """Return the state with its waits counted from now, if the clock went back behind the trip."""
    if state.phase == "closed" or now >= state.opened_at:
        return state
    return msgspec.structs.replace(
        state,
        opened_at=now,
        retry_at=now + (state.retry_at - state.opened_at),
        probe_until=min(state.probe_until, now + max(0.0, state.probe_until - state.opened_at)),
    )
