"""The OpenAI completions dialect (legacy), which completes a prompt. It has no messages and no tools.

OpenAI, vLLM, llama.cpp, LM Studio, Mistral's fill-in-the-middle and others speak it, and several models on Bedrock use
the same form. Format: https://platform.openai.com/docs/api-reference/completions. A prompt is read as one user message.
Of several prompts or choices, the first is read.
"""

from __future__ import annotations

from typing import Any

from runtime.core.messages import Message, ModelReply, ModelRequest, Part, TextPart
from runtime.core.money import Usage
from runtime.dialects.errors import DialectError
from runtime.dialects.failures import decode_error
from runtime.dialects.fields import entries, field, json_object, mapping, reply_object, string, word
from runtime.dialects.jsontext import dump_json, mend_text
from runtime.dialects.openai_chat_parts import decode_usage, normal_finish, stated_cost
from runtime.dialects.streams import JsonStream

__all__ = ["DialectError", "StreamDecoder", "decode_error", "decode_reply", "decode_request"]

_OWN_FIELDS = frozenset({"model", "prompt", "stream", "stream_options"})


def decode_request(body: Any) -> ModelRequest:
    """Decode a request's body.

    Raises:
        DialectError: If the body is not a request of this dialect.
    """
    body = json_object(body, "completions request")
    if "prompt" not in body:
        raise DialectError(
            f"no completions request: it has no prompt; fields are {sorted(map(str, body))[:8]}"
        )
    prompt = body["prompt"]
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], (str, list)):
        prompt = prompt[0]
    text = string(prompt) if isinstance(prompt, str) else "" if prompt is None else dump_json(prompt)
    return ModelRequest(
        model=string(body.get("model")),
        messages=(Message(role="user", parts=(TextPart(text),)),),
        parameters={name: value for name, value in body.items() if name not in _OWN_FIELDS},
    )


def decode_reply(body: Any) -> ModelReply:
    """Return the reply of a `text_completion` body: its choice 0.

    Raises:
        DialectError: If the body is not a reply; for an error body use `decode_error`.
    """
    body = reply_object(body, "completions reply")
    if not isinstance(body.get("choices"), list):
        raise DialectError(f"no completions reply: no choices; fields are {sorted(map(str, body))[:8]}")
    decoder = StreamDecoder()
    decoder.take(body)
    return decoder.finish()


class StreamDecoder(JsonStream):
    """Collects one streamed reply from its chunks; attributes as in `JsonStream`."""

    def __init__(self) -> None:
        super().__init__()
        self._texts: list[str] = []
        self._finish: str | None = None
        self._model: str | None = None
        self._id: str | None = None
        self._usage: Usage | None = None
        self._cost: int | None = None

    def take(self, event: dict[str, Any]) -> list[str]:
        """Take one chunk and return its text deltas; never raises."""
        if event.get("error"):
            self.fail(decode_error(None, event))
        self._model = string(event.get("model")) or self._model
        self._id = self._id or string(event.get("id")) or None
        self._usage = decode_usage(event.get("usage")) or self._usage
        cost = stated_cost(event.get("usage"))
        self._cost = self._cost if cost is None else cost
        deltas: list[str] = []
        for choice in entries(event.get("choices")):
            if choice.get("index") not in (0, None):
                continue
            # Mistral's fill-in-the-middle replies with messages, and Bedrock uses `stop_reason`.
            message = mapping(field(choice, "message", "delta"))
            text = field(choice, "text") if "text" in choice else message.get("content")
            if isinstance(text, str) and text:
                deltas.append(text)
            self._finish = word(field(choice, "finish_reason", "stop_reason")) or self._finish
        self._texts += deltas
        return [mend_text(text) for text in deltas]

    def finish(self) -> ModelReply:
        """Return the reply as far as it arrived. Call it when the stream is over, however it ended."""
        self.fail_if_cut(complete=self._finish is not None or self.done)
        text = mend_text("".join(self._texts))
        parts: tuple[Part, ...] = (TextPart(text),) if text else ()
        return ModelReply(
            parts=parts,
            finish_reason=normal_finish(self._finish),
            raw_finish_reason=self._finish,
            response_model=self._model,
            response_id=self._id,
            usage=self._usage,
            cost_nanousd=self._cost,
        )
