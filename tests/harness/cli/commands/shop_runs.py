"""Recorded runs of a shop for the tests of commands, and how these run a command."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.record import Recorder
from runtime.entry.run import Request, run_agent_async
from runtime.testing import ScriptedModel, calls
from tests.support.agents import Prices, Shop, shop_agent

KEY = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"[:36]


def shop_script() -> list[Any]:
    return [
        calls(("stock", {"item": "apple"}), ("order", {"item": "apple", "count": 2})),
        calls(("note", {"text": f"ordered with {KEY}"})),
        "Two apples are ordered.",
    ]


async def record_shop(wrap: Any, name: str) -> None:
    await run_agent_async(
        shop_agent(Shop()),
        Request(prompt="sell me two apples", request_id=name, tenant="acme", environment="prod", deploy="v1"),
        model=ScriptedModel(shop_script()),
        wrap=wrap,
        prices=Prices(),
    )


def cut_journal(path: Path, *, torn: bool = False) -> Path:
    """Leave a journal with one whole run and one that was cut off, and a torn tail if asked."""
    with Recorder(path) as recorder:
        asyncio.run(record_shop(recorder.wrap, "req_whole"))
    lines = path.read_bytes().splitlines(keepends=True)
    with Recorder(path.with_suffix(".other.jsonl")) as recorder:
        asyncio.run(record_shop(recorder.wrap, "req_cut"))
    other = path.with_suffix(".other.jsonl")
    cut = other.read_bytes().splitlines(keepends=True)[:5]
    other.unlink()
    path.write_bytes(b"".join([*lines, *cut]) + (b'{"run":"half a rec' if torn else b""))
    return path


def run(*arguments: str) -> int:
    return main.run([str(a) for a in arguments])


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)
