"""The libraries alone and nested in each order, in a project that knows nothing of goldrun."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from itertools import permutations
from pathlib import Path

import pytest

tools = import_module("tools")

pydantic = pytest.importorskip("pydantic")
REFUSED = {("freezegun", "time_machine")}
"""time-machine does not start while freezegun is active."""
NESTED = [
    *((name,) for name in tools.TOOLS),
    *(pair for pair in permutations(tools.TOOLS, 2) if pair not in REFUSED),
]


class Order(pydantic.BaseModel):  # type: ignore[name-defined,misc]  # imported by `importorskip`
    day: datetime.date


@pytest.mark.parametrize("names", NESTED, ids="-".join)
def test_tools_nest(
    names: tuple[str, ...],
    server: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    real = datetime.date
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with ExitStack() as stack:
            for name in names:
                stack.enter_context(tools.TOOLS[name](request, tmp_path))
            today = datetime.date.today()  # noqa: DTZ011 - what is frozen
            answers = {(c, u): tools.answer(c, u) for c in tools.CLIENTS for u in (tools.MOCKED, server)}

    seen = [today.isoformat() if today == datetime.date(2026, 1, 2) else "today"]
    seen += [f"{c} {'mocked' if u == tools.MOCKED else 'server'}: {text}" for (c, u), text in answers.items()]
    record_property("seen", "; ".join(seen))
    assert Order(day="2026-01-02").day == real(2026, 1, 2)
    assert datetime.date is real


def test_a_later_model_with_dates() -> None:
    class Later(pydantic.BaseModel):  # type: ignore[name-defined,misc]  # imported by `importorskip`
        at: datetime.datetime

    assert Later(at="2026-01-02T00:00:00Z").at.year == 2026


@pytest.mark.vcr
def test_the_mark_of_pytest_recording(server: str) -> None:
    pytest.importorskip("pytest_recording")

    assert tools.answer("httpx", server) == "CannotOverwriteExistingCassetteException"


def test_a_snapshot_of_syrupy(snapshot: object) -> None:
    value = {"a": [1, 2]}

    assert value == snapshot


@pytest.mark.asyncio
async def test_pytest_asyncio(server: str) -> None:
    httpx = pytest.importorskip("httpx")
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(server)).text == "from the server"


@pytest.mark.anyio
async def test_anyio(server: str) -> None:
    httpx = pytest.importorskip("httpx")
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(server)).text == "from the server"
