"""One stream of each dialect, as its documentation shows it, with text, two calls, a thought and usage."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from runtime.core.messages import ModelReply, ReasoningPart, TextPart, ToolCallPart
from runtime.core.money import Usage
from runtime.dialects import (
    anthropic_messages,
    bedrock_converse,
    cohere_v1,
    cohere_v2,
    gemini,
    mistral_conversations,
    ollama_chat,
    openai_chat,
    openai_completions,
    openai_responses,
    text_models,
)
from runtime.dialects.aws_eventstream import EventStreamParser, encode_message
from runtime.dialects.bedrock_converse import event_of
from runtime.dialects.bedrock_invoke import InvokeStream, chunk_of
from runtime.dialects.errors import DialectError
from runtime.dialects.framing import JsonArrayParser, parse_json_lines
from runtime.dialects.sse import parse_sse
from runtime.dialects.streams import stream_failure

TEXT = 'Hel"lo, wörld \U0001f600\n{done}'
REPLY = ModelReply(
    parts=(
        ReasoningPart(content="Think: ü."),
        TextPart(TEXT),
        ToolCallPart(id="a", name="look", arguments={"q": 'ä"}', "n": [1, {"m": 2}]}),
        ToolCallPart(id="b", name="stop", arguments={}),
    ),
    finish_reason="tool_call",
    usage=Usage(input_tokens=10, output_tokens=5),
)
ARGUMENTS = json.dumps(REPLY.tool_calls[0].arguments, ensure_ascii=False, separators=(",", ":"))


class Case(NamedTuple):
    """A dialect's stream: its bytes, its decoder, and how bytes become events."""

    name: str
    body: bytes
    decoder: Callable[[], Any]
    feed: Callable[[Any, bytes], None]

    def __repr__(self) -> str:
        return f"Case({self.name!r})"


def sse(*events: Any) -> bytes:
    """Return events as server-sent ones, with a comment and a ping between."""
    lines = [f"data: {e if isinstance(e, str) else json.dumps(e, ensure_ascii=False)}\n\n" for e in events]
    return (": PROCESSING\n\n" + "event: ping\n\n".join(lines)).encode()


def pieces(text: str, size: int = 8) -> list[str]:
    """Return a text in pieces."""
    return [text[i : i + size] for i in range(0, len(text), size)]


def feed_sse(decoder: Any, body: bytes) -> None:
    """Feed server-sent events."""
    for event in parse_sse(body):
        decoder.feed(event.data)


def feed_lines(decoder: Any, body: bytes) -> None:
    """Feed JSON lines."""
    for line in parse_json_lines(body):
        decoder.feed(line)


def feed_array(decoder: Any, body: bytes) -> None:
    """Feed the elements of a JSON array."""
    for element in JsonArrayParser().feed(body):
        decoder.feed(element)


def feed_aws(decoder: Any, body: bytes, read: Any = event_of) -> None:
    """Feed the messages of an AWS event stream."""
    parser = EventStreamParser()
    for message in parser.feed(body):
        try:
            decoder.take(read(message))
        except DialectError as error:
            decoder.fail(stream_failure(error.what, "invalid_chunk"))
    parser.finish()
    if parser.error is not None:
        decoder.fail(stream_failure(parser.error.what, "invalid_stream"))


def _feed_chunks(decoder: Any, body: bytes) -> None:
    feed_aws(decoder, body, chunk_of)


def aws(*events: dict[str, Any]) -> bytes:
    """Return events as messages of an AWS event stream."""
    return b"".join(
        encode_message(
            {":event-type": kind, ":content-type": "application/json", ":message-type": "event"},
            json.dumps(payload, ensure_ascii=False).encode(),
        )
        for event in events
        for kind, payload in event.items()
    )


def chunks(*events: dict[str, Any]) -> bytes:
    """Return a vendor's events as chunks of `invoke-with-response-stream`."""
    encoded = [base64.b64encode(json.dumps(event).encode()).decode() for event in events]
    return aws(*({"chunk": {"bytes": each, "p": "abc"}} for each in encoded))


def _responses() -> bytes:
    head = {"id": "r", "model": "m", "status": "in_progress", "output": []}
    calls = [
        {"type": "function_call", "id": f"fc_{c.id}", "call_id": c.id, "name": c.name, "arguments": ""}
        for c in REPLY.tool_calls
    ]
    message = {"type": "message", "id": "msg", "role": "assistant", "content": []}
    whole = {**message, "content": [{"type": "output_text", "text": TEXT}]}
    done = [{**calls[0], "arguments": ARGUMENTS}, {**calls[1], "arguments": "{}"}]
    usage = {"input_tokens": 10, "output_tokens": 5}
    text = {"type": "response.output_text.delta", "output_index": 1, "content_index": 0}
    thought = {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0}
    return sse(
        {"type": "response.created", "response": head},
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs"}},
        *({**thought, "delta": p} for p in pieces("Think: ü.")),
        {"type": "response.output_item.added", "output_index": 1, "item": message},
        *({**text, "delta": p} for p in pieces(TEXT)),
        {"type": "response.output_item.done", "output_index": 1, "item": whole},
        {"type": "response.output_item.added", "output_index": 2, "item": calls[0]},
        *({"type": "response.function_call_arguments.delta", "output_index": 2, "delta": p} for p in pieces(ARGUMENTS)),
        {"type": "response.output_item.done", "output_index": 2, "item": done[0]},
        {"type": "response.output_item.added", "output_index": 3, "item": calls[1]},
        {"type": "response.output_item.done", "output_index": 3, "item": done[1]},
        {"type": "response.completed", "response": {**head, "status": "completed", "usage": usage}},
    )  # fmt: skip


def _gemini_chunks() -> list[dict[str, Any]]:
    def chunk(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
        candidate = {"content": {"role": "model", "parts": list(parts)}, "index": 0, **more}
        return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 10}, "modelVersion": "m"}

    calls = [{"functionCall": {"id": c.id, "name": c.name, "args": c.arguments}} for c in REPLY.tool_calls]
    last = chunk(calls[1], finishReason="STOP")
    last["usageMetadata"] = {"promptTokenCount": 10, "candidatesTokenCount": 3, "thoughtsTokenCount": 2}
    return [
        *(chunk({"text": p, "thought": True}) for p in pieces("Think: ü.")),
        *(chunk({"text": p}) for p in pieces(TEXT)),
        chunk(calls[0]),
        last,
    ]


def _converse() -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = [{"messageStart": {"role": "assistant"}}]
    for piece in pieces("Think: ü."):
        delta = {"reasoningContent": {"text": piece}}
        events.append({"contentBlockDelta": {"contentBlockIndex": 0, "delta": delta}})
    events.append({"contentBlockStop": {"contentBlockIndex": 0}})
    texts = [{"contentBlockIndex": 1, "delta": {"text": piece}} for piece in pieces(TEXT)]
    events += [{"contentBlockDelta": each} for each in texts]
    events.append({"contentBlockStop": {"contentBlockIndex": 1}})
    for index, (call, text) in enumerate(zip(REPLY.tool_calls, (ARGUMENTS, ""), strict=True), start=2):
        start = {"toolUse": {"toolUseId": call.id, "name": call.name}}
        events.append({"contentBlockStart": {"contentBlockIndex": index, "start": start}})
        for piece in pieces(text):
            delta = {"toolUse": {"input": piece}}
            events.append({"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}})
        events.append({"contentBlockStop": {"contentBlockIndex": index}})
    events.append({"messageStop": {"stopReason": "tool_use"}})
    events.append({"metadata": {"usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}}})
    return events


def _cohere_v2() -> bytes:
    def event(kind: str, index: int, **message: Any) -> dict[str, Any]:
        return {"type": kind, "index": index, "delta": {"message": message}}

    events: list[dict[str, Any]] = [{"type": "message-start", "id": "c", "delta": {"message": {}}}]
    events += [event("tool-plan-delta", 0, tool_plan=p) for p in pieces("Think: ü.")]
    events.append(event("content-start", 0, content={"type": "text", "text": ""}))
    events += [event("content-delta", 0, content={"text": p}) for p in pieces(TEXT)]
    events.append({"type": "content-end", "index": 0})
    for index, (call, text) in enumerate(zip(REPLY.tool_calls, (ARGUMENTS, ""), strict=True)):
        opening = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        events.append(event("tool-call-start", index, tool_calls=opening))
        events += [
            event("tool-call-delta", index, tool_calls={"function": {"arguments": p}}) for p in pieces(text)
        ]
        events.append({"type": "tool-call-end", "index": index})
    usage = {"tokens": {"input_tokens": 10, "output_tokens": 5}, "billed_units": {"input_tokens": 1}}
    events.append({"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": usage}})
    return sse(*events)  # fmt: skip


def _json_lines(events: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(e, ensure_ascii=False) + "\n" for e in events).encode()


def _cohere_v1() -> bytes:
    calls = [{"name": c.name, "parameters": c.arguments} for c in REPLY.tool_calls]
    meta = {"tokens": {"input_tokens": 10, "output_tokens": 5}}
    last = {"response_id": "c", "text": TEXT, "tool_calls": calls, "meta": meta}
    return _json_lines(
        [
            {"event_type": "stream-start", "generation_id": "g"},
            *({"event_type": "text-generation", "text": p} for p in pieces(TEXT)),
            {"event_type": "tool-calls-generation", "tool_calls": calls},
            {"event_type": "stream-end", "finish_reason": "COMPLETE", "response": last},
        ]
    )


def _ollama() -> bytes:
    calls = [{"function": {"name": c.name, "arguments": c.arguments}, "id": c.id} for c in REPLY.tool_calls]

    def line(**message: Any) -> dict[str, Any]:
        return {"model": "m", "message": {"role": "assistant", "content": "", **message}, "done": False}

    counts = {"prompt_eval_count": 10, "eval_count": 5}
    return _json_lines(
        [
            *(line(thinking=p) for p in pieces("Think: ü.")),
            *(line(content=p) for p in pieces(TEXT)),
            line(tool_calls=[calls[0]]),
            line(tool_calls=[calls[1]]),
            {**line(), "done": True, "done_reason": "stop", **counts},
        ]
    )


def _mistral() -> bytes:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Think: ü."}]}
    events: list[dict[str, Any]] = [
        {"type": "conversation.response.started", "conversation_id": "conv_1"},
        {"type": "message.output.delta", "id": "m", "content": thought, "model": "m"},
        *({"type": "message.output.delta", "id": "m", "content": p, "model": "m"} for p in pieces(TEXT)),
    ]
    for call, text in zip(REPLY.tool_calls, (ARGUMENTS, "{}"), strict=True):
        head = {"type": "function.call.delta", "tool_call_id": call.id, "name": call.name, "model": "m"}
        events += [{**head, "arguments": p} for p in pieces(text)]
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return sse(*events, {"type": "conversation.response.done", "usage": usage})


def _titan() -> bytes:
    texts = [{"outputText": p, "index": 0} for p in pieces(TEXT)]
    metrics = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 10, "outputTokenCount": 5}}
    last = {"outputText": "", "completionReason": "FINISH", "inputTextTokenCount": 10}
    return chunks(*texts, {**last, "totalOutputTextTokenCount": 5, **metrics})


def _completions() -> bytes:
    head = {"id": "c", "model": "m", "object": "text_completion"}
    texts = [{**head, "choices": [{"index": 0, "text": p, "finish_reason": None}]} for p in pieces(TEXT)]
    last = {**head, "choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}
    return sse(*texts, {**last, "usage": {"prompt_tokens": 10, "completion_tokens": 5}}, "[DONE]")


_ANTHROPIC_EVENTS = [json.loads(e) for e in anthropic_messages.encode_stream(REPLY, model="m", piece_chars=8)]
_CHAT_EVENTS = openai_chat.encode_stream(REPLY, model="m", piece_chars=8)
_GEMINI_ARRAY = json.dumps(_gemini_chunks(), indent=1, ensure_ascii=False).encode()


def _invoke(inner: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: InvokeStream(inner())


CASES = [
    Case("openai chat", sse(*_CHAT_EVENTS), openai_chat.StreamDecoder, feed_sse),
    Case("openai responses", _responses(), openai_responses.StreamDecoder, feed_sse),
    Case("openai completions", _completions(), openai_completions.StreamDecoder, feed_sse),
    Case("anthropic", sse(*_ANTHROPIC_EVENTS), anthropic_messages.StreamDecoder, feed_sse),
    Case("gemini sse", sse(*_gemini_chunks()), gemini.StreamDecoder, feed_sse),
    Case("gemini array", _GEMINI_ARRAY, gemini.StreamDecoder, feed_array),
    Case("converse", aws(*_converse()), bedrock_converse.StreamDecoder, feed_aws),
    Case("claude", chunks(*_ANTHROPIC_EVENTS), _invoke(anthropic_messages.StreamDecoder), _feed_chunks),
    Case("nova", chunks(*_converse()), _invoke(bedrock_converse.StreamDecoder), _feed_chunks),
    Case("titan", _titan(), _invoke(text_models.TITAN.stream_decoder), _feed_chunks),
    Case("cohere v1", _cohere_v1(), cohere_v1.StreamDecoder, feed_lines),
    Case("cohere v2", _cohere_v2(), cohere_v2.StreamDecoder, feed_sse),
    Case("ollama", _ollama(), ollama_chat.StreamDecoder, feed_lines),
    Case("mistral conversations", _mistral(), mistral_conversations.StreamDecoder, feed_sse),
]


def decoded(case: Case, body: bytes) -> tuple[ModelReply, Any]:
    """Return what a stream told, and what went wrong."""
    decoder = case.decoder()
    case.feed(decoder, body)
    reply = decoder.finish()
    return reply, decoder.error
