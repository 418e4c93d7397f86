"""Prices of lifted replies: what the provider states, else what its tokens cost by the offline price table.

A recording does not tell its day, so the rate is that of the table's date. A model whose price is not known has none.
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
"""The price table's name of a provider where it is another; `None` where its prices are not the model's."""


def priced(reply: ModelReply, model: str | None) -> ModelReply:
    """Return a reply with its price, if it is known."""
    if reply.cost_nanousd is not None or reply.usage is None or not model or not reply.usage.is_possible:
        return reply
    rate = rate_of(model, reply.provider)
    cost = None if rate is None else rate.cost(reply.usage)
    return reply if cost is None else msgspec.structs.replace(reply, cost_nanousd=cost)


@lru_cache(maxsize=4096)
def rate_of(model: str, provider: str | None) -> Rate | None:
    """Return what a model costs at a provider, or `None` if that is not known."""
    name = _TABLE_NAMES.get(provider or "", provider)
    return None if name is None else _table().rate(model, name)


def table_id() -> str:
    """Return the text that names the prices."""
    return _table().id


@cache
def _table() -> PriceTable:
    return PriceTable.default()
