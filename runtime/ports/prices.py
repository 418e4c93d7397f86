"""The source of prices: the price table, or the rates a recording holds. Protocol only."""

from __future__ import annotations

from typing import Protocol

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
