"""One request and one reply of each dialect, as its documentation shows them."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

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

ASKED: dict[str, Any] = {"q": "ä", "n": [1]}


class Form(NamedTuple):
    """A dialect with a request and a reply as its documentation shows them."""

    name: str
    codec: Any
    request: dict[str, Any]
    reply: dict[str, Any]

    def __repr__(self) -> str:
        return f"Form({self.name!r})"


_CHAT_TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
_CHAT_CALL = {"id": "a", "type": "function", "function": {"name": "look", "arguments": json.dumps(ASKED)}}
_GEMINI_CALL = {"functionCall": {"id": "a", "name": "look", "args": ASKED}}
_CHAT_REQUEST = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "find it"},
        {"role": "assistant", "tool_calls": [_CHAT_CALL]},
        {"role": "tool", "tool_call_id": "a", "content": "found"},
    ],
    "tools": _CHAT_TOOLS,
}
FORMS = [
    Form(
        "openai chat",
        openai_chat,
        _CHAT_REQUEST,
        {
            "model": "m",
            "choices": [{"message": {"content": "hi", "tool_calls": [_CHAT_CALL]}, "finish_reason": "tool_calls"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}},
        },
    ),
    Form(
        "openai responses",
        openai_responses,
        {
            "model": "m",
            "instructions": "be kind",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "find it"}]},
                {"type": "function_call", "call_id": "a", "name": "look", "arguments": json.dumps(ASKED)},
                {"type": "function_call_output", "call_id": "a", "output": "found"},
            ],
            "tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}}],
        },
        {
            "id": "r",
            "model": "m",
            "status": "completed",
            "output": [
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]},
                {"type": "function_call", "call_id": "a", "name": "look", "arguments": json.dumps(ASKED)},
            ],
            "usage": {"input_tokens": 10, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 4}},
        },
    ),
    Form(
        "anthropic",
        anthropic_messages,
        {
            "model": "m",
            "system": "be kind",
            "messages": [
                {"role": "user", "content": "find it"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "look", "input": ASKED}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "found"}]},
            ],
            "tools": [{"name": "look", "input_schema": {"type": "object"}}],
        },
        {
            "model": "m",
            "content": [
                {"type": "text", "text": "hi"},
                {"type": "tool_use", "id": "a", "name": "look", "input": ASKED},
            ],
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 6, "output_tokens": 5, "cache_read_input_tokens": 4},
        },
    ),
    Form(
        "gemini",
        gemini,
        {
            "systemInstruction": {"parts": [{"text": "be kind"}]},
            "contents": [
                {"role": "user", "parts": [{"text": "find it"}]},
                {"role": "model", "parts": [{"functionCall": {"id": "a", "name": "look", "args": ASKED}}]},
                {
                    "role": "user",
                    "parts": [{"functionResponse": {"id": "a", "name": "look", "response": {"output": "found"}}}],
                },
            ],
            "tools": [{"functionDeclarations": [{"name": "look", "parameters": {"type": "object"}}]}],
        },
        {
            "modelVersion": "m",
            "candidates": [
                {
                    "content": {"parts": [{"text": "hi"}, _GEMINI_CALL]},
                    "finishReason": "STOP",
                }
            ],
            "usageMetadata": {
                "promptTokenCount": 10,
                "candidatesTokenCount": 3,
                "thoughtsTokenCount": 2,
                "cachedContentTokenCount": 4,
            },
        },
    ),
    Form(
        "converse",
        bedrock_converse,
        {
            "system": [{"text": "be kind"}],
            "messages": [
                {"role": "user", "content": [{"text": "find it"}]},
                {"role": "assistant", "content": [{"toolUse": {"toolUseId": "a", "name": "look", "input": ASKED}}]},
                {"role": "user", "content": [{"toolResult": {"toolUseId": "a", "content": [{"text": "found"}]}}]},
            ],
            "toolConfig": {"tools": [{"toolSpec": {"name": "look", "inputSchema": {"json": {"type": "object"}}}}]},
        },
        {
            "output": {
                "message": {
                    "role": "assistant",
                    "content": [{"text": "hi"}, {"toolUse": {"toolUseId": "a", "name": "look", "input": ASKED}}],
                }
            },
            "stopReason": "tool_use",
            "usage": {"inputTokens": 6, "outputTokens": 5, "cacheReadInputTokens": 4},
        },
    ),
    Form(
        "cohere v2",
        cohere_v2,
        _CHAT_REQUEST,
        {
            "message": {"content": [{"type": "text", "text": "hi"}], "tool_calls": [_CHAT_CALL]},
            "finish_reason": "TOOL_CALL",
            "usage": {"tokens": {"input_tokens": 10, "output_tokens": 5}, "cached_tokens": 4},
        },
    ),
    Form(
        "ollama",
        ollama_chat,
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": "find it"},
                {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "look", "arguments": ASKED}}]},
                {"role": "tool", "tool_name": "look", "content": "found"},
            ],
            "tools": _CHAT_TOOLS,
        },
        {
            "model": "m",
            "message": {"content": "hi", "tool_calls": [{"id": "a", "function": {"name": "look", "arguments": ASKED}}]},
            "done": True,
            "done_reason": "stop",
            "prompt_eval_count": 10,
            "eval_count": 5,
        },
    ),
    Form(
        "mistral conversations",
        mistral_conversations,
        {
            "model": "m",
            "instructions": "be kind",
            "inputs": [
                {"role": "user", "content": "find it"},
                {"type": "function.call", "tool_call_id": "a", "name": "look", "arguments": json.dumps(ASKED)},
                {"type": "function.result", "tool_call_id": "a", "result": "found"},
            ],
            "tools": _CHAT_TOOLS,
        },
        {
            "conversation_id": "c",
            "outputs": [
                {"type": "message.output", "content": "hi", "model": "m"},
                {"type": "function.call", "tool_call_id": "a", "name": "look", "arguments": json.dumps(ASKED)},
            ],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5},
        },
    ),
    Form(
        "cohere v1",
        cohere_v1,
        {
            "model": "m",
            "preamble": "be kind",
            "message": "",
            "chat_history": [
                {"role": "USER", "message": "find it"},
                {"role": "CHATBOT", "message": "", "tool_calls": [{"name": "look", "parameters": ASKED}]},
            ],
            "tools": [{"name": "look", "parameter_definitions": {"q": {"type": "str", "required": True}}}],
            "tool_results": [{"call": {"name": "look", "parameters": ASKED}, "outputs": [{"text": "found"}]}],
        },
        {
            "response_id": "r",
            "text": "hi",
            "tool_calls": [{"name": "look", "parameters": ASKED}],
            "finish_reason": "COMPLETE",
            "meta": {"tokens": {"input_tokens": 10, "output_tokens": 5}},
        },
    ),
]  # fmt: skip
TEXT_FORMS = [
    Form(
        "openai completions",
        openai_completions,
        {"model": "m", "prompt": ["find it", "or this"]},
        {"choices": [{"text": "hi", "finish_reason": "stop"}], "usage": {"prompt_tokens": 10, "completion_tokens": 5}},
    ),
    Form(
        "titan",
        text_models.TITAN,
        {"inputText": "find it"},
        {
            "inputTextTokenCount": 10.0,
            "results": [{"tokenCount": 5.0, "outputText": "hi", "completionReason": "FINISH"}],
        },
    ),
    Form(
        "llama",
        text_models.LLAMA,
        {"prompt": "find it"},
        {"generation": "hi", "prompt_token_count": 10, "generation_token_count": 5, "stop_reason": "stop"},
    ),
    Form("mistral", text_models.MISTRAL, {"prompt": "find it"}, {"outputs": [{"text": "hi", "stop_reason": "stop"}]}),
    Form(
        "command",
        text_models.COMMAND,
        {"prompt": "find it"},
        {"generations": [{"text": "hi", "finish_reason": "COMPLETE"}]},
    ),
    Form(
        "jurassic",
        text_models.JURASSIC,
        {"prompt": "find it"},
        {"completions": [{"data": {"text": "hi"}, "finishReason": {"reason": "endoftext"}}]},
    ),
    Form(
        "ollama generate",
        text_models.OLLAMA,
        {"model": "m", "prompt": "find it"},
        {"response": "hi", "done": True, "done_reason": "stop", "prompt_eval_count": 10, "eval_count": 5},
    ),
    Form("claude 2", text_models.CLAUDE, {"prompt": "find it"}, {"completion": "hi", "stop_reason": "stop_sequence"}),
]  # fmt: skip
