"""What one admitted call holds, and how it gives that back."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from runtime.control.breaker import BreakerVerdict, Sample
from runtime.control.ledger import Amount, Unit
from runtime.core.effects import Admit
from runtime.ports.control_values import CallAnswer, CallAsk, CallEnd, Lease, Upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What one admitted call holds.

    Attributes:
        ask: What it asked for.
        breaker: The verdict of its breaker.
        upstream: The verdict of the breaker over all tenants.
        lease: Its slot.
        waits_for: The slot of another call of its run that it needs first.
        rate_at: When it took a token; `None` if it took none.
    """

    ask: CallAsk
    breaker: BreakerVerdict | None
    upstream: BreakerVerdict | None
    lease: Lease | None
    waits_for: str | None
    rate_at: float | None

    @property
    def is_probe(self) -> bool:
        """Whether others wait for what it says of a breaker."""
        return any(verdict is not None and verdict.probe for verdict in (self.breaker, self.upstream))

    def ended(self, actual: Amount | None, sample: Sample) -> CallEnd:
        """Return the end of the call; `None` for one that never started, which gives its token back too."""
        return CallEnd(
            reservation=self.ask.reservation,
            actual=actual,
            breaker=None if self.breaker is None else self.ask.breaker,
            key=self.ask.key,
            generation=0 if self.breaker is None else self.breaker.generation,
            sample=sample,
            token=self.ask.token,
            slot=self.lease,
            upstream=self._upstream(sample),
            rate_at=self.rate_at if actual is None else None,
        )

    def _upstream(self, sample: Sample) -> Upstream | None:
        """Return the breaker over all tenants, if it must hear of the call."""
        above, verdict = self.ask.upstream, self.upstream
        if above is None or verdict is None:
            return None
        if verdict.phase == "closed" and sample != "failed" and not verdict.failing:
            return None
        return Upstream(key=above.key, rule=above.rule, generation=verdict.generation)


def grant_of(ask: CallAsk, answer: CallAnswer, *, now: float, waits_for: str | None) -> Grant:
    """Return what a call holds whose request was granted."""
    return Grant(
        ask=msgspec.structs.replace(ask, ends=()),
        breaker=answer.breaker,
        upstream=answer.upstream,
        lease=None if answer.slot is None else answer.slot.lease,
        waits_for=waits_for,
        rate_at=None if answer.rate is None else now,
    )


def unknown_of(effect: Admit) -> tuple[Unit, ...]:
    """Return the units of which it is not known how much a call may use; the price of a tool always is."""
    if effect.subject == "tool":
        return ()
    limits = effect.limits
    nanos: tuple[Unit, ...] = () if limits.reserved_nanousd is not None else ("nanos",)
    return nanos if limits.reserved_tokens is not None else (*nanos, "tokens")


def released(ask: CallAsk) -> CallEnd:
    """Return the end of a call that may have been admitted, and never starts."""
    return CallEnd(
        reservation=ask.reservation,
        actual=None,
        breaker=None,
        key=ask.key,
        generation=0,
        sample="neutral",
        token=ask.token,
        slot=None,
    )
