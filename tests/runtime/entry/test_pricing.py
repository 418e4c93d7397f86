"""What a dollar limit refuses at entry, and what a reply costs that names more than tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from runtime.core.money import Usage
from runtime.core.policy import Budget
from runtime.dialects import anthropic_messages, openai_chat
from runtime.entry.agent import Agent
from runtime.entry.run import run_agent
from runtime.errors import UsageError
from runtime.models.prices import PriceTable
from runtime.testing import ScriptedModel, says
from tests.support.agents import Prices

FILE = """
schema: prices/1
models:
  m1:
    input: 2
    output: 10
    cache_read: 0.2
    cache_write: 2.5
    request: 0.003
    tiers: [{above_tokens: 1000, input: 4, output: 15}]
    service_tiers:
      priority: {input: 4, output: 20}
  m2: {input: 2, output: 10, cache_write: 2.5, cache_write_1h: 4}
"""


def table(folder: Path) -> PriceTable:
    path = folder / "prices.yaml"
    path.write_text(FILE)
    return PriceTable.default(path)


def agent(parameters: dict[str, Any], *, model: str = "m1", usd: str | None = "1") -> Agent:
    return Agent(
        name="clerk",
        model=model,
        max_output_tokens=100,
        parameters=parameters,
        budget=Budget() if usd is None else Budget(max_usd=usd),
    )


def cost(folder: Path, parameters: dict[str, Any], usage: Usage, *, model: str = "m1") -> int | None:
    """Return what a run without a dollar limit is said to have cost."""
    reply = msgspec.structs.replace(says("done"), usage=usage)
    who = agent(parameters, model=model, usd=None)
    return run_agent(who, "go", model=ScriptedModel([reply]), prices=table(folder)).totals.cost_nanousd


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"service_tier": "flex"}, "at the service tier 'flex'"),
        ({"web_search_options": {}}, "'web_search_options' asks for work that is billed"),
        ({"tools": [{"type": "web_search_20250305"}]}, "'tools' asks for work that is billed"),
        ({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, "for cache writes that last an hour"),
    ],
)
def test_a_dollar_limit_refuses_what_has_no_known_price(
    tmp_path: Path, parameters: dict[str, Any], words: str
) -> None:
    asked = ScriptedModel(["done"])

    with pytest.raises(UsageError, match="price of model 'm1' is unknown") as caught:
        run_agent(agent(parameters), "go", model=asked, prices=table(tmp_path))

    assert words in caught.value.what
    usage = Usage(input_tokens=100, output_tokens=10, cache_write_tokens=50, cache_write_1h_tokens=50)
    assert cost(tmp_path, parameters, usage) is None


def test_a_source_of_prices_without_tiers_knows_the_standard_one_only() -> None:
    with pytest.raises(UsageError, match="at the service tier 'priority'"):
        run_agent(agent({"service_tier": "priority"}), "go", model=ScriptedModel(["done"]), prices=Prices())


@pytest.mark.parametrize("tier", ["auto", "default", "standard_only"])
def test_the_standard_tier_may_be_named(tmp_path: Path, tier: str) -> None:
    result = run_agent(
        agent({"service_tier": tier}), "go", model=ScriptedModel(["done"]), prices=table(tmp_path)
    )

    assert result.stop_reason == "finish"


def test_a_priced_service_tier_costs_its_own_price_and_a_reply_of_another_one_an_unknown_one(
    tmp_path: Path,
) -> None:
    usage = Usage(input_tokens=100, output_tokens=10)
    other = Usage(input_tokens=100, output_tokens=10, billed_as="priority")

    assert cost(tmp_path, {"service_tier": "priority"}, usage) == 100 * 4_000 + 10 * 20_000
    assert cost(tmp_path, {"service_tier": "priority"}, other) == 100 * 4_000 + 10 * 20_000
    assert cost(tmp_path, {}, other) is None
    assert cost(tmp_path, {}, usage) == 100 * 2_000 + 10 * 10_000 + 3_000_000


def test_tiers_requests_and_cache_writes_of_each_lifetime_have_their_price(tmp_path: Path) -> None:
    large = Usage(input_tokens=2_000, output_tokens=10)
    hour = Usage(input_tokens=100, output_tokens=0, cache_write_tokens=80, cache_write_1h_tokens=30)

    assert cost(tmp_path, {}, large) == 2_000 * 4_000 + 10 * 15_000 + 3_000_000
    assert cost(tmp_path, {}, hour, model="m2") == 20 * 2_000 + 50 * 2_500 + 30 * 4_000
    assert cost(tmp_path, {}, hour) is None


def test_a_reply_that_is_not_priced_is_charged_as_reserved(tmp_path: Path) -> None:
    usage = Usage(input_tokens=1, output_tokens=1, billed_as="priority")
    reply = msgspec.structs.replace(says("done"), usage=usage)

    result = run_agent(agent({}), "go", model=ScriptedModel([reply]), prices=table(tmp_path))

    assert result.totals.cost_nanousd is None
    assert result.spent is not None
    assert result.spent.nanos > 100 * 10_000  # all the output that it might have had


def test_the_dialects_read_how_a_reply_is_billed() -> None:
    def chat(tier: str) -> Any:
        body = {
            "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
            "service_tier": tier,
            "usage": {"prompt_tokens": 3, "completion_tokens": 1},
        }
        return openai_chat.decode_reply(body).usage

    def messages(**usage: Any) -> Any:
        body = {
            "type": "message",
            "content": [{"type": "text", "text": "hi"}],
            "usage": {"input_tokens": 3, "output_tokens": 1, **usage},
        }
        return anthropic_messages.decode_reply(body).usage

    assert [chat(t).billed_as for t in ("default", "priority")] == [None, "priority"]
    assert messages(service_tier="standard").billed_as is None
    assert messages(service_tier="batch").billed_as == "batch"
    assert messages(server_tool_use={"web_search_requests": 2}).billed_as == "tools"
    assert messages(server_tool_use={"web_search_requests": 0}).billed_as is None
