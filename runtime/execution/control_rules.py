"""Limits that hold across runs: rates, slots, breakers, and the money of a tenant's day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from runtime.control.breaker import BreakerRule
from runtime.control.ledger import NO_CAPS, Caps
from runtime.control.ratelimit import RateRule


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRules:
    """What the control plane enforces for each tenant and environment.

    Attributes:
        tool_rates: Calls of a tool in a window; exact names.
        model_rates: Calls of a model in a window.
        tool_slots: Calls of a tool at one time.
        breaker: When a tool or model counts as unhealthy for a tenant; `None` switches breakers off.
        tool_breakers: Rules of single tools, in place of `breaker`; `None` for a tool without one.
        model_breakers: Rules of single models, in place of `breaker`.
        upstream: When a tool or model counts as unhealthy for all tenants of an environment; `None` for never. It
            trips after three tenants' worth of failures, so one tenant alone does not trip it.
        tenant_day: What a tenant may use in a day (UTC).
        everything: What all runs together may use.
        max_wait_s: How long an admission waits for a slot or a rate; never past the run's deadline.
        lease_s: Seconds a slot is held without a sign of life.
        poll_s: How often the switches are read; at most every 0.5 s, because nothing starts with switches that were
            read more than 2 s ago.
        stale_s: How long calls that are under way go on while the switches cannot be read.
    """

    tool_rates: Mapping[str, RateRule] = field(default_factory=dict)
    model_rates: Mapping[str, RateRule] = field(default_factory=dict)
    tool_slots: Mapping[str, int] = field(default_factory=dict)
    breaker: BreakerRule | None = field(default_factory=BreakerRule)
    tool_breakers: Mapping[str, BreakerRule | None] = field(default_factory=dict)
    model_breakers: Mapping[str, BreakerRule | None] = field(default_factory=dict)
    upstream: BreakerRule | None = field(default_factory=lambda: BreakerRule(min_calls=30))
    tenant_day: Caps = NO_CAPS
    everything: Caps = NO_CAPS
    max_wait_s: float = 2.0
    lease_s: float = 30.0
    poll_s: float = 0.1
    stale_s: float = 10.0

    def breaker_of(self, subject: Literal["tool", "model"], name: str) -> BreakerRule | None:
        """Return when a tool or model counts as unhealthy for a tenant; `None` for never."""
        own = self.tool_breakers if subject == "tool" else self.model_breakers
        return own.get(name, self.breaker)
