"""The source of prices: the price table, or the rates a recording holds. Protocols only."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from runtime.core.money import Rate


class RateSource(Protocol):
    """Tells what models cost."""

    @property
    def id(self) -> str | None:
        """Text that names the prices."""
        ...

    def rate(self, model: str, provider: str | None) -> Rate | None:
        """Return what a model costs, `None` if that is not known."""
        ...


@runtime_checkable
class TierRates(Protocol):
    """A source of prices that knows service tiers other than the standard one."""

    def tier_rate(self, model: str, tier: str) -> Rate | None:
        """Return what a model costs at a service tier, `None` if that is not known."""
        ...
