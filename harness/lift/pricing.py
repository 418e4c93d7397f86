"""Prices of lifted replies: the price that the provider states, or the tokens' price by the offline table.

A recording does not say its date, so the rate is that of the table's date. A model that is not in the table has no
price.
"""

from __future__ import annotations

from functools import cache, lru_cache

import msgspec

from runtime.core.messages import ModelReply
from runtime.core.money import Rate
from runtime.models.prices import PriceTable

_TABLE_NAMES = {
    "gemini": "google",
    "vertex": "google",
    "bedrock": "aws",
    "xai": "x-ai",
    "moonshot": "moonshotai",
    "huggingface": None,
    "github": None,
}
"""The price table's name of a provider, if it differs; `None` if the table does not hold its models' prices."""


def priced(reply: ModelReply, model: str | None) -> ModelReply:
    """Return a reply with its price, if the price is known."""
    if reply.cost_nanousd is not None or reply.usage is None or not model or not reply.usage.is_possible:
        return reply
    rate = rate_of(model, reply.provider)
    cost = None if rate is None else rate.cost(reply.usage)
    return reply if cost is None else msgspec.structs.replace(reply, cost_nanousd=cost)


@lru_cache(maxsize=4096)
def rate_of(model: str, provider: str | None) -> Rate | None:
    """Return a model's rate at a provider; `None` if it is not known."""
    name = _TABLE_NAMES.get(provider or "", provider)
    return None if name is None else _table().rate(model, name)


def table_id() -> str:
    """Return the name of the price table."""
    return _table().id


@cache
def _table() -> PriceTable:
    return PriceTable.default()
