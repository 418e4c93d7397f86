"""Text models that complete a prompt: those on Bedrock, and older endpoints of Anthropic, Cohere and Ollama.

Each vendor has its own form, whole and streamed. A chunk of a stream has the form of a reply, or of one of its results.
Formats: "Inference request parameters and response fields for foundation models",
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html; Anthropic text completions,
https://docs.anthropic.com/en/api/complete; Cohere generate, https://docs.cohere.com/v1/reference/generate; Ollama
generate, https://docs.ollama.com/api/generate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from runtime.core.messages import FinishReason, Message, ModelReply, ModelRequest, Part, TextPart
from runtime.core.money import Usage
from runtime.dialects.errors import DialectError
from runtime.dialects.failures import decode_error
from runtime.dialects.fields import entries, first_count, json_object, mapping, string, word
from runtime.dialects.jsontext import mend_text
from runtime.dialects.streams import JsonStream

_FINISH: dict[str, FinishReason] = {
    "finish": "stop",
    "finished": "stop",
    "stop": "stop",
    "stop_sequence": "stop",
    "stop_criteria_met": "stop",
    "complete": "stop",
    "endoftext": "stop",
    "length": "length",
    "max_tokens": "length",
    "content_filtered": "content_filter",
    "error_toxic": "content_filter",
    "rag_query_when_rag_disabled": "error",
    "error": "error",
}


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a reply or of a chunk; a missing field is `None`."""

    text: str | None = None
    finish: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


def _titan(wire: dict[str, Any]) -> Piece:
    result = _first(wire.get("results")) or wire
    output = first_count(result.get("tokenCount"), wire.get("totalOutputTextTokenCount"))
    return Piece(
        text=result.get("outputText"),
        finish=word(result.get("completionReason")),
        input_tokens=first_count(wire.get("inputTextTokenCount")),
        output_tokens=output,
    )


def _llama(wire: dict[str, Any]) -> Piece:
    return Piece(
        text=wire.get("generation"),
        finish=word(wire.get("stop_reason")),
        input_tokens=first_count(wire.get("prompt_token_count")),
        output_tokens=first_count(wire.get("generation_token_count")),
    )


def _mistral(wire: dict[str, Any]) -> Piece:
    output = _first(wire.get("outputs")) or {}
    return Piece(text=output.get("text"), finish=word(output.get("stop_reason")))


def _command(wire: dict[str, Any]) -> Piece:
    generation = _first(wire.get("generations")) or wire
    counted = mapping(
        mapping(wire.get("meta") or mapping(wire.get("response")).get("meta")).get("billed_units")
    )
    return Piece(
        text=generation.get("text"),
        finish=word(generation.get("finish_reason")) or word(wire.get("finish_reason")),
        input_tokens=first_count(counted.get("input_tokens")),
        output_tokens=first_count(counted.get("output_tokens")),
    )


def _jurassic(wire: dict[str, Any]) -> Piece:
    completion = _first(wire.get("completions")) or {}
    finish = mapping(completion.get("finishReason")).get("reason")
    return Piece(text=mapping(completion.get("data")).get("text"), finish=word(finish))


def _claude(wire: dict[str, Any]) -> Piece:
    return Piece(text=wire.get("completion"), finish=word(wire.get("stop_reason")))


def _ollama(wire: dict[str, Any]) -> Piece:
    return Piece(
        text=wire.get("response"),
        finish=word(wire.get("done_reason")),
        input_tokens=first_count(wire.get("prompt_eval_count")),
        output_tokens=first_count(wire.get("eval_count")),
    )


class TextModel(msgspec.Struct, frozen=True, kw_only=True):
    """The codec of one vendor's form.

    Attributes:
        name: The vendor's model.
        prompt: Field of the request that holds the prompt.
        read: Reads a reply or a chunk.
    """

    name: str
    prompt: str
    read: Callable[[dict[str, Any]], Piece]

    def decode_request(self, body: Any) -> ModelRequest:
        """Decode a request's body; `model` is empty if the body names none.

        Raises:
            DialectError: If the body is not a request of this form.
        """
        prompt = body.get(self.prompt) if isinstance(body, dict) else None
        if not isinstance(prompt, str):
            raise DialectError(f"no {self.name} request: {self.prompt} is {type(prompt).__name__}")
        return ModelRequest(
            model=string(body.get("model")),
            messages=(Message(role="user", parts=(TextPart(string(prompt)),)),),
            parameters={n: v for n, v in body.items() if n not in (self.prompt, "model", "stream")},
        )

    def decode_reply(self, body: Any) -> ModelReply:
        """Return the reply of a body that was not streamed.

        Raises:
            DialectError: If the body is not a reply of this form.
        """
        body = json_object(body, f"{self.name} reply")
        if not isinstance(self.read(body).text, str):
            raise DialectError(f"no {self.name} reply: no text; fields are {sorted(map(str, body))[:8]}")
        decoder = TextStream(self.read)
        decoder.take(body)
        return decoder.finish()

    def stream_decoder(self) -> TextStream:
        """Return a decoder for one streamed reply."""
        return TextStream(self.read)


class TextStream(JsonStream):
    """Collects one streamed reply from its chunks; attributes as in `JsonStream`."""

    def __init__(self, read: Callable[[dict[str, Any]], Piece]) -> None:
        super().__init__()
        self._read = read
        self._texts: list[str] = []
        self._finish: str | None = None
        self._input: int | None = None
        self._output: int | None = None
        self._model: str | None = None

    def take(self, event: dict[str, Any]) -> list[str]:
        """Take one chunk and return its text deltas; never raises."""
        if event.get("error"):
            self.fail(decode_error(None, event))
        self._model = string(event.get("model")) or self._model
        self.done: bool = self.done or event.get("done") is True or event.get("is_finished") is True
        piece = self._read(event)
        self._finish = piece.finish or self._finish
        self._input = first_count(piece.input_tokens, self._input)
        self._output = first_count(piece.output_tokens, self._output)
        if not isinstance(piece.text, str) or not piece.text:
            return []
        self._texts.append(piece.text)
        return [mend_text(piece.text)]

    def finish(self) -> ModelReply:
        """Return the reply as far as it arrived. Call it when the stream is over, however it ended."""
        self.fail_if_cut(complete=self._finish is not None or self.done)
        text = mend_text("".join(self._texts))
        said: tuple[Part, ...] = (TextPart(text),) if text else ()
        usage = Usage(input_tokens=self._input, output_tokens=self._output)
        return ModelReply(
            parts=said,
            finish_reason=None if self._finish is None else _FINISH.get(self._finish.lower()),
            raw_finish_reason=self._finish,
            response_model=self._model,
            usage=None if usage == Usage() else usage,
        )


def _first(value: Any) -> dict[str, Any] | None:
    found = entries(value)
    return found[0] if found else None


TITAN = TextModel(name="Titan", prompt="inputText", read=_titan)
LLAMA = TextModel(name="Llama", prompt="prompt", read=_llama)
MISTRAL = TextModel(name="Mistral", prompt="prompt", read=_mistral)
COMMAND = TextModel(name="Command", prompt="prompt", read=_command)
JURASSIC = TextModel(name="Jurassic", prompt="prompt", read=_jurassic)
CLAUDE = TextModel(name="Claude 2", prompt="prompt", read=_claude)
OLLAMA = TextModel(name="Ollama", prompt="prompt", read=_ollama)
