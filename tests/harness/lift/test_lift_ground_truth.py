"""Every recorded chat-completions exchange says what the independent measurement says."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness.lift.endpoints import CHAT, MESSAGES
from harness.lift.lift import lift_paths
from runtime.core.trace import parse_trace

REAL = Path(__file__).parents[3].parent / "shared" / "real"
pytestmark = pytest.mark.skipif(
    not REAL.is_dir(), reason="the recorded traffic of ../shared/real is not here"
)

KNOWN_DIFFERENCES = {
    # The measurement does not read Mistral's content lists (thought and text) ...
    "text": 2,
    # ... nor its `num_cached_tokens`.
    "cached_tokens": 8,
}


@cache
def _lifted() -> dict[str, Any]:
    return lift_paths([REAL / "http"])


@cache
def _rows() -> tuple[dict[str, str], ...]:
    with (REAL / "http-ground-truth.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def _found(exchange: dict[str, Any]) -> dict[str, Any]:
    usage, calls = exchange["usage"], exchange["tool_calls"] or []
    text = exchange["text"] or ""
    return {
        "provider": exchange["provider"],
        "endpoint": exchange["endpoint"],
        "status": _text(exchange["status"]),
        "request_model": exchange["request_model"],
        "tool_calls": str(len(calls)),
        "tool_names": "|".join(call["name"] for call in calls),
        "finish": _text(exchange["finish_reason"]),
        "input_tokens": _text(usage["input_tokens"]),
        "output_tokens": _text(usage["output_tokens"]),
        "reasoning_tokens": _text(usage["reasoning_tokens"]),
        "cached_tokens": _text(usage["cache_read_tokens"]),
        "text": hashlib.sha256(text.encode()).hexdigest()[:12] if text else "",
    }


def _expected(row: dict[str, str], found: dict[str, Any]) -> dict[str, str]:
    return {name: row["text_sha256_12" if name == "text" else name] for name in found}


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _differences(*, provider_is: str | None = None) -> Counter[str]:
    exchanges = {
        (Path(file["path"]).relative_to(REAL / "http").as_posix(), str(exchange["idx"])): exchange
        for file in _lifted()["files"]
        for exchange in file["exchanges"]
    }
    differences: Counter[str] = Counter()
    for row in _rows():
        if row["endpoint"] == CHAT and provider_is in {None, row["provider"]}:
            found = _found(exchanges[row["file"], row["idx"]])
            expected = _expected(row, found)
            differences["exchanges"] += 1
            differences.update(name for name in found if found[name] != expected[name])
    return differences


def test_openai_chat_exchanges_equal_the_ground_truth() -> None:
    assert _differences(provider_is="openai") == {"exchanges": 348}


def test_chat_exchanges_of_all_providers_equal_the_ground_truth_but_for_what_it_does_not_read() -> None:
    assert _differences() == {"exchanges": 530, **KNOWN_DIFFERENCES}


def test_every_file_is_read_and_every_exchange_is_counted() -> None:
    files = _lifted()["files"]

    assert [file["path"] for file in files if file["error"]] == []
    assert sum(len(file["exchanges"]) for file in files) == len(_rows())
    kinds = {row["file"]: row["dialect"] for row in _rows()}
    assert {
        Path(f["path"]).relative_to(REAL / "http").as_posix(): f["dialect"] for f in files if f["exchanges"]
    } == (kinds)


def test_other_dialects_are_named_with_their_provider_and_endpoint() -> None:
    others = [
        exchange
        for file in _lifted()["files"]
        for exchange in file["exchanges"]
        if exchange["endpoint"] not in {CHAT, MESSAGES}
    ]

    assert all(exchange["error"] and exchange["text"] is None for exchange in others)
    named = Counter((e["provider"], e["endpoint"]) for e in others if e["error"].startswith("dialect"))
    assert named["openai", "responses"] == 267
    assert named["bedrock", "invoke-with-response-stream"] == 28


def test_stated_prices_are_kept() -> None:
    priced = [e for file in _lifted()["files"] for e in file["exchanges"] if e["cost_usd"] is not None]

    assert sum(exchange["provider"] == "openrouter" for exchange in priced) == 31


def test_traces_are_readable_and_hold_every_decoded_exchange_once() -> None:
    lifted = _lifted()

    traces = [parse_trace(document) for file in lifted["files"] for document in file["traces"]]

    decoded = sum(e["text"] is not None for file in lifted["files"] for e in file["exchanges"])
    assert sum(trace.totals.model_calls for trace in traces) == decoded
    assert len({trace.request_id for trace in traces}) == len(traces)


def test_a_tool_loop_becomes_one_trace_with_its_results() -> None:
    path = next(REAL.glob("http/llm/tests/cassettes/test_tools/test_tool_use_basic.yaml"))

    (document,) = lift_paths([path])["files"][0]["traces"]

    assert document["stop_reason"] == "finish"
    assert [step["model"]["finish_reason"] for step in document["steps"]] == ["tool_call", "stop"]
    (call,) = document["steps"][0]["tool_calls"]
    assert (call["name"], call["arguments"], call["result"], call["status"]) == (
        "multiply",
        {"a": 1231, "b": 2331},
        "2869461",
        "ok",
    )


def test_lifting_twice_gives_the_same_document() -> None:
    folder = REAL / "http" / "llm"

    assert lift_paths([folder]) == lift_paths([folder])
