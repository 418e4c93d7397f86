"""Every recorded Anthropic exchange says what the independent measurement says, but for the differences on record."""

from __future__ import annotations

import csv
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.lift.endpoints import MESSAGES
from harness.lift.lift import lift_file, lift_paths
from runtime.core.money import Usage
from runtime.core.trace import parse_trace

REAL = Path(__file__).parents[3].parent / "shared" / "real"
PAGE = Path(__file__).parents[3] / "docs" / "lift-differences.md"
needs_recordings = pytest.mark.skipif(
    not REAL.is_dir(), reason="the recorded traffic of ../shared/real is not here"
)
COUNT_TOKENS = "/v1/messages/count_tokens"


@cache
def _rows() -> tuple[dict[str, str], ...]:
    with (REAL / "http-ground-truth.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            row
            for row in csv.DictReader(file)
            if (row["provider"], row["endpoint"]) == ("anthropic", "messages")
        )


@cache
def _files() -> dict[str, dict[str, Any]]:
    paths = [REAL / "http" / name for name in sorted({row["file"] for row in _rows()})]
    return {
        Path(file["path"]).relative_to(REAL / "http").as_posix(): file for file in lift_paths(paths)["files"]
    }


def _found(exchange: dict[str, Any]) -> dict[str, str]:
    usage, calls, text = exchange["usage"], exchange["tool_calls"] or [], exchange["text"] or ""
    found = {
        "provider": exchange["provider"],
        "endpoint": exchange["endpoint"],
        "status": exchange["status"],
        "request_model": exchange["request_model"],
        "tool_calls": len(calls),
        "tool_names": "|".join(call["name"] for call in calls),
        "finish": exchange["finish_reason"],
        "input_tokens": usage["input_tokens"],
        "output_tokens": usage["output_tokens"],
        "cached_tokens": usage["cache_read_tokens"],
        "reasoning_tokens": usage["reasoning_tokens"],
        "text_sha256_12": hashlib.sha256(text.encode()).hexdigest()[:12] if text else None,
    }
    return {name: "" if value is None else str(value) for name, value in found.items()}


def _differences() -> list[tuple[str, str, str, str, str]]:
    """Return file, position, field, what was measured and what was read, for each field that differs."""
    differences = []
    for row in _rows():
        exchange = _files()[row["file"]]["exchanges"][int(row["idx"])]
        for name, value in _found(exchange).items():
            if value != row[name]:
                differences.append((row["file"], row["idx"], name, row[name], value))
    return differences


@needs_recordings
def test_messages_equal_the_ground_truth_but_for_what_it_does_not_read() -> None:
    differences = [d for d in _differences() if d[4] != COUNT_TOKENS and d[2] != "request_model"]

    assert len(_rows()) == 276
    assert {field for _, _, field, _, _ in differences} == {"reasoning_tokens"}
    assert {measured for _, _, _, measured, _ in differences} == {""}
    assert len(differences) == 38


@needs_recordings
def test_counting_tokens_is_no_message_and_is_reported_as_it_stands() -> None:
    others = [d for d in _differences() if d[2] != "reasoning_tokens"]
    named = {(file, idx) for file, idx, field, _, found in others if found == COUNT_TOKENS}

    assert len(named) == 8
    assert {(file, idx) for file, idx, *_ in others} == named
    assert all(
        _files()[file]["exchanges"][int(idx)]["error"] == f"unknown endpoint: POST anthropic {COUNT_TOKENS}"
        for file, idx in named
    )


@needs_recordings
def test_each_file_that_differs_stands_on_the_page_of_differences() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert [d for d in _differences() if Path(d[0]).name not in page] == []


@needs_recordings
def test_traces_hold_every_message_once() -> None:
    traces = [parse_trace(document) for file in _files().values() for document in file["traces"]]
    exchanges = [e for file in _files().values() for e in file["exchanges"]]

    assert sum(e["endpoint"] == MESSAGES and e["text"] is not None for e in exchanges) == 268
    assert sum(trace.totals.model_calls for trace in traces) == sum(e["text"] is not None for e in exchanges)


def _exchange(messages: list[Any], content: list[Any], stop: str, usage: dict[str, int]) -> dict[str, Any]:
    uri = "https://api.anthropic.com/v1/messages"
    reply = {"id": "m", "model": "claude", "content": content, "stop_reason": stop, "usage": usage}
    return {
        "request": {
            "method": "POST",
            "uri": uri,
            "body": json.dumps({"model": "claude", "max_tokens": 9, "messages": messages}),
            "headers": {},
        },
        "response": {"status": {"code": 200}, "headers": {}, "parsed_body": reply},
    }


def test_a_tool_loop_becomes_one_trace_with_its_results_and_all_input_tokens(tmp_path: Path) -> None:
    asked = {"role": "user", "content": "Where are they?"}
    calls = [{"type": "tool_use", "id": i, "name": "look", "input": {"q": i}} for i in ("a", "b")]
    thought = {"type": "thinking", "thinking": "Look.", "signature": "c2ln"}
    results = [
        {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "in B"}]},
        {"type": "tool_result", "tool_use_id": "a", "content": "in A"},
    ]
    history = [
        asked,
        {"role": "assistant", "content": [thought, *calls]},
        {"role": "user", "content": results},
    ]
    usage = {"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 5}
    said = [{"type": "text", "text": "There."}]
    path = tmp_path / "loop.yaml"
    document = {
        "version": 1,
        "interactions": [
            _exchange([asked], [thought, *calls], "tool_use", usage),
            _exchange(history, said, "end_turn", usage),
        ],
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")

    lifted = lift_file(path)
    (exchange, _), (trace,) = lift_paths([path])["files"][0]["exchanges"], lifted.traces

    assert (trace.stop_reason, trace.output) == ("finish", "There.")
    assert [(c.name, c.arguments, c.result) for c in trace.steps[0].tool_calls] == [
        ("look", {"q": "a"}, "in A"),
        ("look", {"q": "b"}, "in B"),
    ]
    assert exchange["usage"]["input_tokens"] == 10
    assert lifted.exchanges[0].reply is not None
    assert lifted.exchanges[0].reply.usage == Usage(input_tokens=100, output_tokens=5, cache_read_tokens=90)
    assert trace.totals.input_tokens == 200
