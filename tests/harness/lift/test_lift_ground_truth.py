"""Every recorded exchange says what the independent measurement says, but for the differences on record."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from harness.lift.lift import lift_paths
from harness.lift.pricing import rate_of
from runtime.core.money import Usage, usd_to_nanos
from runtime.core.trace import parse_trace
from tests.harness.lift.agreement import (
    ACCEPTED,
    HTTP,
    REAL,
    Difference,
    agreement,
    differences,
    exchanges,
    lifted,
    rows,
)

PAGE = Path(__file__).parents[3] / "docs" / "lift-differences.md"
pytestmark = pytest.mark.skipif(
    not REAL.is_dir(), reason="the recorded traffic of ../shared/real is not here"
)

NOT_MEASURED = {
    # Fields that the measurement leaves empty though the provider says them, by dialect.
    ("anthropic messages", "reasoning_tokens"): 38,
    ("bedrock invoke", "cached_tokens"): 8,
    ("bedrock invoke", "finish"): 18,
    ("bedrock invoke", "input_tokens"): 18,
    ("bedrock invoke", "output_tokens"): 18,
    ("bedrock invoke", "text_sha256_12"): 18,
    ("cohere v2/chat", "cached_tokens"): 11,
    ("cohere v2/chat", "finish"): 6,
    ("cohere v2/chat", "input_tokens"): 12,
    ("cohere v2/chat", "output_tokens"): 12,
    ("cohere v2/chat", "text_sha256_12"): 6,
    ("mistral chat/completions", "cached_tokens"): 8,
    ("mistral chat/completions", "text_sha256_12"): 2,
    ("openai responses", "tool_names"): 2,
}
READ_OTHERWISE = {
    # Endpoints that ask no model, or another one, have names of their own.
    ("anthropic messages", "endpoint"): 8,
    ("anthropic messages", "request_model"): 8,
    ("openai responses", "endpoint"): 11,
    ("openai responses", "request_model"): 4,
    # The agent itself carries out `tool_search` where its execution is `client`.
    ("openai responses", "tool_calls"): 2,
}


def _found() -> list[Difference]:
    """Return the differences, model ids that the measurement left percent-encoded set aside."""
    return [d for d in differences() if d.measured.replace("%3A", ":").replace("%2F", "/") != d.read]


def test_the_measurement_and_lift_differ_in_nothing_that_is_not_on_record() -> None:
    counted = Counter((d.dialect, d.field, d.measured == "") for d in _found())

    assert {key[:2]: n for key, n in counted.items() if key[2]} == NOT_MEASURED
    assert {key[:2]: n for key, n in counted.items() if not key[2]} == READ_OTHERWISE


def test_all_but_one_in_two_hundred_exchanges_agree_wherever_the_measurement_says_something() -> None:
    differing = {(d.file, d.idx) for d in _found() if d.measured and d.field in ACCEPTED}
    total = sum(count for _, count in agreement().values())

    assert total == 1501
    assert len(differing) <= 0.005 * total


def test_each_difference_stands_on_the_page_of_differences() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert [d for d in _found() if Path(d.file).name not in page] == []


def test_every_file_is_read_and_every_exchange_is_counted() -> None:
    files = lifted()["files"]

    assert [file["path"] for file in files if file["error"]] == []
    assert sum(len(file["exchanges"]) for file in files) == len(rows()) == 1555
    kinds = {row["file"]: row["dialect"] for row in rows()}
    assert {
        Path(f["path"]).relative_to(HTTP).as_posix(): f["dialect"] for f in files if f["exchanges"]
    } == kinds


def test_binary_event_streams_are_decoded_to_their_end() -> None:
    streams = [exchanges()[row["file"], row["idx"]] for row in rows() if row["body_kind"] == "binary"]

    assert len(streams) == 54
    assert [s["error"] for s in streams if s["error"]] == []
    assert all(s["streamed"] and (s["text"] or s["tool_calls"]) for s in streams)
    assert all(s["usage"]["input_tokens"] and s["usage"]["output_tokens"] for s in streams)
    assert sum(len(s["tool_calls"]) for s in streams) > 0


def test_other_traffic_is_counted_and_nothing_else_is_left_out() -> None:
    files = lifted()["files"]

    assert sum(file["ignored"] for file in files) == 27
    assert [file["unknown"] for file in files if file["unknown"]] == []


def test_stated_prices_are_kept_and_others_are_computed_from_tokens() -> None:
    found = Counter((e["provider"], e["cost_source"]) for e in exchanges().values())

    assert found["openrouter", "stated"] == 34
    assert found["openai", "tokens"] > 500
    assert found["openai", "stated"] == 8  # a gateway's answers, recorded under OpenAI's host


def test_prices_from_tokens_that_are_off_by_more_than_a_twentieth_stand_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    close, missing = 0, []
    for (file, _), exchange in exchanges().items():
        if exchange["cost_source"] != "stated" or exchange["provider"] != "openrouter":
            continue
        stated, usage = usd_to_nanos(exchange["cost_usd"]), exchange["usage"]
        rate = rate_of(exchange["response_model"], "openrouter")
        told = Usage(**usage)
        cost = None if rate is None else rate.cost(told)
        if cost is not None and abs(cost - stated) <= 0.05 * stated:
            close += 1
        elif Path(file).name not in page:
            missing.append(file)

    assert missing == []
    assert close == 10


def test_traces_are_readable_and_hold_every_decoded_request_once() -> None:
    traces = [parse_trace(document) for file in lifted()["files"] for document in file["traces"]]

    polled = sum(e["text"] is not None and e["request_model"] is None for e in exchanges().values())
    decoded = sum(e["text"] is not None for e in exchanges().values())
    assert polled == 9
    assert decoded - sum(trace.totals.model_calls for trace in traces) == polled + 1
    # One cassette lies in two folders: what is the same has the same id.
    assert len(traces) - len({trace.request_id for trace in traces}) == 2


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
