"""What the breakers of one call say: its tenant's own one, then the one over all tenants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from runtime.control import breaker
from runtime.control.breaker import BreakerState, BreakerVerdict
from runtime.ports.control_values import CallAsk


@dataclass(slots=True)
class CallHealth:
    """The verdicts on a call.

    Attributes:
        own: Of its tenant's breaker.
        above: Of the one over all tenants.
        changed: States to keep if the call starts, by key.
    """

    own: BreakerVerdict | None = None
    above: BreakerVerdict | None = None
    changed: dict[str, BreakerState] = field(default_factory=dict)

    @property
    def is_refused(self) -> bool:
        """Whether a breaker refuses the call."""
        return any(verdict is not None and not verdict.allowed for verdict in (self.own, self.above))


def ask_breakers(ask: CallAsk, state_of: Callable[[str], BreakerState], *, now: float) -> CallHealth:
    """Return what the breakers of a call say; the first that refuses is the last that is asked."""
    health = CallHealth()
    if ask.breaker is not None:
        before = state_of(ask.key)
        after, health.own = breaker.ask(before, ask.breaker, now=now, token=ask.token)
        if after != before:
            health.changed[ask.key] = after
    if ask.upstream is not None and not health.is_refused:
        before = state_of(ask.upstream.key)
        after, health.above = breaker.ask(before, ask.upstream.rule, now=now, token=ask.token)
        if after != before:
            health.changed[ask.upstream.key] = after
    return health
