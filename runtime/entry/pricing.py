"""What an agent's calls cost, as far as that is known before they are made.

A price is known if the table has the model at the service tier that the agent asks for, and nothing the agent asks
for is billed beside the tokens. Else it is unknown, and never 0: a dollar limit refuses the run at entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from runtime.core.money import STANDARD_TIERS, Rate
from runtime.entry.agent import Agent
from runtime.ports.prices import RateSource, TierRates

_BILLED_APART = (
    "audio",
    "container",
    "mcp_servers",
    "plugins",
    "search_parameters",
    "tools",
    "web_search_options",
)
"""Parameters of the dialects with which a provider does work of its own that tokens do not pay for."""


class Priced(NamedTuple):
    """The rates of an agent's models, and why the others have none, by model."""

    rates: dict[str, Rate]
    unknown: dict[str, str]


def priced(agent: Agent, table: RateSource) -> Priced:
    """Return what the agent's models cost."""
    parameters = agent.model_parameters
    tier = parameters.get("service_tier")
    # An empty object switches a web search on.
    apart = next((n for n in _BILLED_APART if parameters.get(n) not in (None, False, [], ())), None)
    rates: dict[str, Rate] = {}
    unknown: dict[str, str] = {}
    for model in (agent.model, *agent.fallbacks):
        if apart is not None:
            unknown[model] = f": the parameter {apart!r} asks for work that is billed beside the tokens"
            continue
        rate, where = table.rate(model, agent.provider), ""
        if tier is not None and tier not in STANDARD_TIERS:
            rate = table.tier_rate(model, str(tier)) if isinstance(table, TierRates) else None
            where = f" at the service tier {tier!r}"
        if rate is not None and not _covers_cache(rate, parameters):
            rate, where = None, " for cache writes that last an hour"
        if rate is None:
            unknown[model] = where
        else:
            rates[model] = rate
    return Priced(rates, unknown)


def _covers_cache(rate: Rate, parameters: Mapping[str, Any]) -> bool:
    """Return whether the price of each cache write that the parameters ask for is known."""
    if rate.cache_write is None or rate.cache_write_1h is not None:
        return True
    return "1h" not in _lifetimes(parameters)


def _lifetimes(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield value.get("ttl")
        for each in value.values():
            yield from _lifetimes(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _lifetimes(each)
