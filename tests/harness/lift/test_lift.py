"""Lift reads damaged and hostile files without harm and threads conversations by their messages."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import ImportFailed
from harness.lift.bodies import MAX_BODY_BYTES, decode_body
from harness.lift.endpoints import Endpoint, identify
from harness.lift.lift import LiftedFile, file_json, lift_file, lift_paths
from harness.lift.safe_yaml import MAX_DEPTH, parse_yaml
from runtime.core.messages import ModelReply, TextPart, ToolCallPart
from runtime.dialects.openai_chat import encode_reply, encode_stream

URL = "https://api.openai.com/v1/chat/completions"
Wire = dict[str, Any]


def _user(text: str) -> Wire:
    return {"role": "user", "content": text}


def _call(call_id: str, name: str, arguments: Wire) -> ToolCallPart:
    return ToolCallPart(id=call_id, name=name, arguments=arguments)


def _says(text: str) -> ModelReply:
    return ModelReply(parts=(TextPart(text),), finish_reason="stop")


def _asks(*calls: ToolCallPart) -> ModelReply:
    return ModelReply(parts=calls, finish_reason="tool_call")


def _exchange(messages: list[Wire], reply: ModelReply | Wire, *, status: int = 200, model: str = "m") -> Wire:
    body = encode_reply(reply, model=model) if isinstance(reply, ModelReply) else reply
    return {
        "request": {
            "method": "POST",
            "uri": URL,
            "body": json.dumps({"model": model, "messages": messages}),
            "headers": {"content-type": ["application/json"]},
        },
        "response": {
            "status": {"code": status, "message": ""},
            "headers": {"Content-Type": ["application/json"], "Set-Cookie": "bare"},
            "body": {"string": json.dumps(body)},
        },
    }


def _echo(reply: ModelReply) -> Wire:
    message: Wire = encode_reply(reply, model="m")["choices"][0]["message"]
    return message


def _lift(folder: Path, *interactions: Wire) -> LiftedFile:
    path = folder / "recording.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "interactions": list(interactions)}), encoding="utf-8")
    return lift_file(path)


def test_a_tool_loop_is_one_run_and_another_conversation_another(tmp_path: Path) -> None:
    asked = _asks(_call("a", "f", {"x": 1}), _call("b", "g", {}))
    first = [_user("hi")]
    answers = [
        {"role": "tool", "tool_call_id": "b", "content": "B"},
        {"role": "tool", "tool_call_id": "a", "content": "A"},
    ]

    lifted = _lift(
        tmp_path,
        _exchange(first, asked),
        _exchange([_user("other")], _says("bye")),
        _exchange([*first, _echo(asked), *answers], _says("done")),
    )

    loop, other = lifted.traces
    assert [(c.id, c.name, c.result, c.status) for c in loop.tool_calls] == [
        ("call#1", "f", "A", "ok"),
        ("call#2", "g", "B", "ok"),
    ]
    assert (loop.stop_reason, loop.output, loop.totals.steps) == ("finish", "done", 2)
    assert (other.output, other.totals.steps) == ("bye", 1)
    assert (loop.source, loop.tenant, loop.environment, loop.tools_known) == (
        "lift",
        "unknown",
        "unknown",
        None,
    )


def test_unanswered_calls_are_not_started_and_the_run_ends_open(tmp_path: Path) -> None:
    (trace,) = _lift(tmp_path, _exchange([_user("hi")], _asks(_call("a", "f", {})))).traces

    assert trace.stop_reason == "open"
    assert [(c.status, c.attempts, c.result) for c in trace.tool_calls] == [("not_started", 0, None)]


def test_calls_with_repeated_ids_and_results_are_paired_in_order(tmp_path: Path) -> None:
    asked = _asks(_call("0", "f", {}), _call("0", "f", {}))
    answers = [{"role": "tool", "tool_call_id": "0", "content": text} for text in ("one", "two")]

    lifted = _lift(
        tmp_path,
        _exchange([_user("hi")], asked),
        _exchange([_user("hi"), _echo(asked), *answers], _says("done")),
    )

    assert [call.result for call in lifted.traces[0].tool_calls] == ["one", "two"]
    assert [call.id for call in lifted.traces[0].tool_calls] == ["call#1", "call#2"]


def test_a_request_repeated_after_a_failure_is_a_further_attempt(tmp_path: Path) -> None:
    refused = {"error": {"message": "slow down", "type": "rate_limit", "code": None}}

    (trace,) = _lift(
        tmp_path,
        _exchange([_user("hi")], refused, status=429),
        _exchange([_user("hi")], _says("done")),
    ).traces

    assert (trace.stop_reason, trace.totals.steps, trace.totals.retries) == ("finish", 1, 1)


@pytest.mark.parametrize(
    ("status", "stop_reason"),
    [(429, "model_rate_limited:m"), (504, "model_timeout:m"), (500, "model_error_exhausted:m")],
)
def test_a_failure_at_the_end_is_the_stop_reason(tmp_path: Path, status: int, stop_reason: str) -> None:
    lifted = _lift(tmp_path, _exchange([_user("hi")], {"error": {"message": "no"}}, status=status))

    assert [trace.stop_reason for trace in lifted.traces] == [stop_reason]
    assert lifted.exchanges[0].error is not None


def test_the_same_request_answered_twice_is_two_runs(tmp_path: Path) -> None:
    lifted = _lift(tmp_path, _exchange([_user("hi")], _says("one")), _exchange([_user("hi")], _says("two")))

    assert [trace.output for trace in lifted.traces] == ["one", "two"]
    assert len({trace.request_id for trace in lifted.traces}) == 2


def test_a_reply_echoed_as_two_messages_or_without_its_thought_is_the_same_reply(tmp_path: Path) -> None:
    asked = _asks(_call("a", "f", {"x": 1}))
    answer = {"role": "tool", "tool_call_id": "a", "content": "A"}
    split = [_user("hi"), {"role": "assistant", "content": ""}, _echo(asked), answer]
    thought = _says("<think>hm</think>\n\nyes")

    lifted = _lift(
        tmp_path,
        _exchange([_user("hi")], asked),
        _exchange(split, thought),
        _exchange([*split, {"role": "assistant", "content": "yes"}, _user("and?")], _says("done")),
    )

    assert [trace.totals.steps for trace in lifted.traces] == [3]


@pytest.mark.parametrize("compress", [False, True])
def test_streamed_and_compressed_bodies_are_read(tmp_path: Path, compress: bool) -> None:
    reply = _asks(_call("a", "f", {"x": 1}))
    stream = "".join(f"data: {payload}\n\n" for payload in encode_stream(reply, model="m")).encode()
    exchange = _exchange([_user("hi")], reply)
    exchange["response"]["body"]["string"] = gzip.compress(stream) if compress else stream.decode()
    exchange["response"]["headers"] = {"content-type": "text/event-stream", "content-encoding": ["gzip"]}

    (found,) = _lift(tmp_path, exchange).exchanges

    assert found.is_streamed
    assert found.error is None
    assert found.reply is not None
    assert found.reply.tool_calls == reply.tool_calls


def test_a_body_past_the_output_cap_is_refused() -> None:
    bomb = gzip.compress(b"\0" * (MAX_BODY_BYTES + 1))

    body = decode_body(bomb, "gzip")

    assert body.content == b""
    assert body.problem is not None
    assert str(MAX_BODY_BYTES) in body.problem


def test_a_cut_gzip_body_keeps_its_beginning_and_says_so() -> None:
    noise = bytes(range(256)) * 64
    whole = gzip.compress(noise)

    body = decode_body(whole[: len(whole) // 2], "gzip")

    assert noise.startswith(body.content)
    assert body.problem == "the gzip body is cut off"


def test_a_body_the_recorder_decoded_is_taken_as_it_is() -> None:
    assert decode_body(b'{"a":1}', "gzip, br").content == b'{"a":1}'


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("interactions: [", "not YAML"),
        ("a: 1\n b: 2\n", "not YAML"),
        ("", "empty"),
        ("[1, 2]", "not a recording of a known layout"),
        ("interactions: [1]", "lacks a request or a response"),
        ("a: !!python/object:os.system {}", "is no plain value"),
        ("a: 1\n---\nb: 2\n", "a second document"),
        ("a: &x [*x]", "holds itself"),
        ("? [1]\n: 2\n", "a mapping key is no scalar"),
        ("a: \x00", "not YAML"),
    ],
)
def test_a_damaged_or_foreign_file_is_an_import_error_that_names_it(
    tmp_path: Path, text: str, what: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ImportFailed, match=what) as caught:
        lift_file(path)

    assert "bad.yaml" in str(caught.value)
    assert caught.value.next_step
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_yaml_is_refused_and_kills_nothing(opening: str) -> None:
    with pytest.raises(ImportFailed, match=f"nested deeper than {MAX_DEPTH}|not YAML"):
        parse_yaml((opening * 200_000).encode(), where="deep.yaml")


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]

    with pytest.raises(ImportFailed, match="once aliases are followed"):
        parse_yaml("\n".join(lines).encode(), where="bomb.yaml")


def test_yaml_traps_stay_text() -> None:
    document = parse_yaml(b"a: 2024-01-02\nb: 1:30\nc: 007\nd: 12\ne: 1.5\nf: null\ng: 'yes'\n", where="x")

    assert document == {"a": "2024-01-02", "b": "1:30", "c": "007", "d": 12, "e": 1.5, "f": None, "g": "yes"}


def test_a_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("interactions: [", encoding="utf-8")
    (tmp_path / "b.yaml").write_text(
        yaml.safe_dump({"interactions": [_exchange([_user("x")], _says("y"))]}), encoding="utf-8"
    )
    told: list[tuple[int, int]] = []

    document = lift_paths(
        [tmp_path, tmp_path / "none.yaml"], progress=lambda done, total, path: told.append((done, total))
    )

    assert document["schema"] == "goldrun.lift/1"
    errors = [file["error"] for file in document["files"]]
    assert errors[0].startswith("not YAML")
    assert errors[1] is None
    assert "cannot be read" in errors[2]
    assert told == [(0, 3), (1, 3), (2, 3)]
    assert json.loads(json.dumps(document))["files"][1]["traces"][0]["output"] == "y"


def test_globs_stand_for_the_files_they_match(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("interactions: []\n", encoding="utf-8")

    files = lift_paths([tmp_path / "*.yaml"])["files"]

    assert [Path(file["path"]).name for file in files] == ["a.yaml", "b.yaml"]


@pytest.mark.parametrize(
    ("url", "provider", "name"),
    [
        (URL, "openai", "chat/completions"),
        (
            "https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=1",
            "azure",
            "chat/completions",
        ),
        ("http://localhost:8000/v1/chat/completions", "local", "chat/completions"),
        ("https://gateway.test/v1/chat/completions", "gateway.test", "chat/completions"),
        ("https://notapi.openai.com.evil.test/v1/traces", "notapi.openai.com.evil.test", "/v1/traces"),
        ("https://api.openai.com/v1/files", "openai", "/v1/files"),
    ],
)
def test_urls_name_provider_and_endpoint(url: str, provider: str, name: str) -> None:
    endpoint = identify(url)

    assert (endpoint.provider, endpoint.name) == (provider, name)


def test_unknown_endpoints_are_reported_and_never_decoded(tmp_path: Path) -> None:
    exchange = _exchange([_user("x")], _says("y"))
    exchange["request"]["uri"] = "https://api.openai.com/v1/new/thing"

    lifted = _lift(tmp_path, exchange)

    assert lifted.traces == ()
    assert (lifted.exchanges[0].error or "").startswith("unknown endpoint: POST openai /v1/new/thing")
    assert file_json(lifted)["unknown"] == ["openai /v1/new/thing"]


@pytest.mark.parametrize(
    "uri",
    [
        "https://api.openai.com/v1/files",
        "https://api.openai.com/v1/embeddings",
        "https://api.anthropic.com/v1/messages/count_tokens",
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:countTokens",
    ],
)
def test_what_a_provider_serves_beside_models_is_counted_and_ignored(tmp_path: Path, uri: str) -> None:
    exchange = _exchange([_user("x")], _says("y"))
    exchange["request"]["uri"] = uri

    document = file_json(_lift(tmp_path, exchange))

    assert (document["ignored"], document["unknown"], document["traces"]) == (1, [], [])
    assert (document["exchanges"][0]["ignored"], document["exchanges"][0]["error"]) == (True, None)


def test_a_tool_s_own_traffic_is_ignored_but_a_gateway_s_request_is_named(tmp_path: Path) -> None:
    weather = _exchange([_user("x")], _says("y"))
    weather["request"] |= {"uri": "https://weather.test/v1/now", "body": '{"city": "Paris"}'}
    gateway = _exchange([_user("x")], _says("y"))
    gateway["request"]["uri"] = "https://gateway.test/llm/generate"

    document = file_json(_lift(tmp_path, weather, gateway))

    assert (document["ignored"], document["unknown"]) == (1, ["gateway.test /llm/generate"])
    assert document["exchanges"][1]["error"].endswith("state its dialect with --dialect")
    assert document["exchanges"][1]["text"] is None


def test_a_model_named_only_in_the_path_is_found(tmp_path: Path) -> None:
    exchange = _exchange([_user("x")], _says("y"))
    exchange["request"]["uri"] = "https://x.openai.azure.com/openai/deployments/my%20gpt/chat/completions"
    exchange["request"]["body"] = json.dumps({"messages": [_user("x")]})

    (found,) = _lift(tmp_path, exchange).exchanges

    assert found.request is not None
    assert found.request.model == "my gpt"
    assert isinstance(found.endpoint, Endpoint)
