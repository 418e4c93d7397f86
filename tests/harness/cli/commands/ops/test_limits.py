"""`goldrun ops budget`, `caps`, `breakers`, `close-breaker`, as an operator uses them."""

from __future__ import annotations

import pytest

from harness.cli.control_store import now
from harness.cli.main import run
from runtime.control.breaker import BreakerRule
from runtime.control.ledger import Amount, Caps, SpendScope
from runtime.control.scopes import day_scope
from runtime.state.control.blocking import BlockingControlStore
from tests.harness.cli.commands.ops.listing import listed


def test_a_tenants_day_gets_another_cap_and_gets_it_back(
    store: BlockingControlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    key = day_scope("acme", "prod", now())
    scopes = (SpendScope(key, Caps(nanos=2_000_000_000, tokens=900)),)
    store.reserve_spend("r", scopes, Amount(1_000_000_000), now=now(), ttl_s=60.0)

    raised = run(["ops", "caps", "acme", "--usd-day", "5", "--reason", "sale"])
    more = run(["ops", "caps", "acme", "--tool-calls-day", "7"])
    (row,) = listed(capsys, "budget", "acme")
    cleared = run(["ops", "caps", "acme", "--clear"])
    (after,) = listed(capsys, "budget", "acme")

    assert (raised, more, cleared) == (0, 0, 0)
    assert (float(row["cap_usd"]), row["cap_tokens"], row["cap_tool_calls"]) == (5.0, 900, 7)
    assert "7 tool calls" in row["set_by_operator"]
    assert (float(after["cap_usd"]), after["cap_tool_calls"], after["set_by_operator"]) == (2.0, None, None)
    assert [a["action"] for a in listed(capsys, "acts")] == ["caps"] * 3


def test_an_open_breaker_is_listed_and_closed(
    store: BlockingControlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = BreakerRule(min_calls=1)
    for key in ("acme/prod/tool/fetch", "globex/prod/tool/fetch", "acme/prod/model/fetch-1"):
        store.report_breaker(key, rule, now=now(), generation=0, sample="failed", token="t")

    opened = listed(capsys, "breakers", "--open")
    codes = [
        run(["ops", "close-breaker", "fetch", "--tenant", "acme", "--reason", "mended"]),
        run(["ops", "close-breaker", "acme/prod/tool/fetch"]),
    ]

    assert [b["phase"] for b in opened] == ["open"] * 3
    assert codes == [0, 1]
    assert {b.key: b.phase for b in store.list_breakers()} == {
        "acme/prod/model/fetch-1": "open",
        "acme/prod/tool/fetch": "closed",
        "globex/prod/tool/fetch": "open",
    }
    assert [a["subject"] for a in listed(capsys, "acts")] == ["acme/prod/tool/fetch"]
