"""An Anthropic tool loop becomes one trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from harness.lift.lift import lift_file, lift_paths
from runtime.core.money import Usage


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
