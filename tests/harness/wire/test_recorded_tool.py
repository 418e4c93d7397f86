"""Tools of an HTTP agent under `recorded_tool`: run while recording, answered in replay."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from harness import RecordedToolError, record_http, recorded_tool
from harness.wire.misses import WireMiss
from runtime.errors import UsageError

RAN: list[str] = []


class Odd(Exception):
    """No class of Python's own."""


@recorded_tool
def look(id: str, deep: bool = False) -> Any:  # noqa: A002 - as users name their arguments
    RAN.append(id)
    if id == "gone":
        raise KeyError("no such parcel")
    if id == "odd":
        raise Odd("strange")
    return {"id": id, "deep": deep, "runs": len(RAN)}


@recorded_tool
async def look_later(id: str) -> list[str]:  # noqa: A002
    RAN.append(id)
    return [id]


def everything() -> list[Any]:
    """Use the tools in each way and return what came of it."""
    seen: list[Any] = [look("a"), look("a"), look("b", deep=True), asyncio.run(look_later("x"))]
    for name in ("gone", "odd"):
        try:
            look(name)
        except (KeyError, RecordedToolError, Odd) as error:
            seen.append(str(error))
    return seen


@pytest.fixture(autouse=True)
def _none_ran() -> None:
    RAN.clear()


def test_tools_run_while_recording_and_are_answered_in_replay(tmp_path: Path) -> None:
    with record_http(tmp_path / "a", mode="record"):
        told = everything()
    ran = list(RAN)
    with record_http(tmp_path / "a", mode="replay"):
        assert everything() == told

    assert ran == RAN == ["a", "a", "b", "x", "gone", "odd"]


def test_outside_a_recording_the_function_runs() -> None:
    assert look("a") == {"id": "a", "deep": False, "runs": 1}


def test_a_call_that_was_not_recorded_is_a_miss(tmp_path: Path) -> None:
    with record_http(tmp_path / "a", mode="record"):
        look("a")

    def replay() -> None:
        with record_http(tmp_path / "a", mode="replay"):
            look("other")

    with pytest.raises(WireMiss, match="tool://look"):
        replay()
    assert RAN == ["a"]


def test_a_recorded_exception_of_another_class_has_a_class_of_ours(tmp_path: Path) -> None:
    for mode, kind in (("record", Odd), ("replay", RecordedToolError)):
        with record_http(tmp_path / "a", mode=mode), pytest.raises(kind, match="strange"):  # type: ignore[arg-type]
            look("odd")


def test_secrets_in_arguments_and_results_are_hidden(tmp_path: Path) -> None:
    key = "sk-proj-" + "a1B2c3D4" * 4

    @recorded_tool
    def fetch(api_key: str) -> dict[str, str]:
        return {"token": api_key}

    with record_http(tmp_path / "a", mode="record"):
        assert fetch(key) == {"token": key}
    with record_http(tmp_path / "a", mode="replay"):
        assert fetch(key)["token"].startswith("<secret")
    assert key not in (tmp_path / "a.jsonl").read_text()


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    @recorded_tool
    def give(value: Any = None) -> Any:
        return object()

    with record_http(tmp_path / "a", mode="record"):
        with pytest.raises(UsageError, match="arguments of give are no JSON"):
            give({1, 2})
        with pytest.raises(UsageError, match="result of give is no JSON"):
            give()


def test_generators_are_refused() -> None:
    def numbers() -> Any:
        yield 1

    with pytest.raises(UsageError, match="generator"):
        recorded_tool(numbers)
