"""How many statements and write transactions the guards of one step cost on a SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from runtime.control.ledger import Caps
from runtime.core.policy import Budget, Policy
from runtime.entry.agent import Agent
from runtime.entry.request import Request
from runtime.entry.run import run_agent_async
from runtime.execution.control_rules import ControlRules
from runtime.execution.governor import Governor
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.testing import ScriptedModel, calls
from runtime.tools.tool import tool
from tests.support.agents import Prices

FEW, MANY = 5, 25
BOARD = "SELECT value FROM epochs WHERE name = 'switches'"
"""The watch reads the board by time, not by step."""
CAPPED = ControlRules(poll_s=0.5, tenant_day=Caps(nanos=10**14), everything=Caps(nanos=10**14))
FREE = ControlRules(poll_s=0.5)


@tool
async def look(n: int) -> str:
    return f"seen {n}"


@tool(write=True)
async def pay(n: int) -> str:
    return f"paid {n}"


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list of all statements on connections that are opened from now on."""
    seen: list[str] = []
    connect = sqlite3.connect

    def traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        db: sqlite3.Connection = connect(*args, **kwargs)
        db.set_trace_callback(seen.append)
        return db

    monkeypatch.setattr(sqlite3, "connect", traced)
    return seen


def per_step(path: Path, seen: list[str], name: str, rules: ControlRules) -> tuple[float, float]:
    """Return statements and write transactions of one step: what a longer run costs more, by its further steps."""
    counts = []
    agent = Agent(
        name="clerk",
        model="m1",
        tools=(look, pay),
        policy=Policy(allow=("look", "pay"), loop=None),
        budget=Budget(max_steps=100),
        max_output_tokens=100,
    )
    for steps in (FEW, MANY):
        store = SqliteControlStore(path / f"{steps}.db")
        script: list[Any] = [*(calls((name, {"n": n})) for n in range(steps)), "done"]
        request = Request(prompt="go", request_id="req_1", tenant="acme", environment="test")
        seen.clear()
        result = asyncio.run(
            run_agent_async(
                agent,
                request,
                model=ScriptedModel(script),
                governor=Governor(store, rules),
                prices=Prices(),
            )
        )
        store.close()
        assert result.stop_reason == "finish"
        made = [each for each in seen if each != BOARD]
        counts.append((len(made), made.count("BEGIN IMMEDIATE")))
    (few, few_writes), (many, many_writes) = counts
    return (many - few) / (MANY - FEW), (many_writes - few_writes) / (MANY - FEW)


@pytest.mark.parametrize("rules", [FREE, CAPPED], ids=["free", "capped"])
def test_a_step_that_reads_costs_at_most_8_statements_in_1_write_transaction(
    tmp_path: Path, statements: list[str], rules: ControlRules
) -> None:
    cost, writes = per_step(tmp_path, statements, "look", rules)

    assert 0 < cost <= 8
    assert writes <= 1


@pytest.mark.parametrize("rules", [FREE, CAPPED], ids=["free", "capped"])
def test_a_step_that_writes_costs_at_most_14_statements_in_3_write_transactions(
    tmp_path: Path, statements: list[str], rules: ControlRules
) -> None:
    cost, writes = per_step(tmp_path, statements, "pay", rules)

    assert 0 < cost <= 14
    assert 0 < writes <= 3
