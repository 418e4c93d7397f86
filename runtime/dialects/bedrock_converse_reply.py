"""Replies of the Bedrock converse dialect, whole and streamed.

In a stream, only blocks of tools have an opening event; others begin with their first delta. `messageStop` has the stop
reason, and `metadata` after it the usage. Exceptions are separate messages.
"""

from __future__ import annotations

from typing import Any

import msgspec

from runtime.core.effects import Failure
from runtime.core.messages import ModelReply, Part, ReasoningPart, TextPart, ToolCallPart
from runtime.dialects.aws_eventstream import EventMessage
from runtime.dialects.bedrock_converse_parts import REDACTED, block_part, decode_usage, normal_finish
from runtime.dialects.errors import DialectError
from runtime.dialects.failures import decode_error
from runtime.dialects.fields import count, entries, json_object, mapping, string
from runtime.dialects.jsontext import mend_text, parse_arguments, parse_json
from runtime.dialects.streams import JsonStream

_STATUS = {
    "throttlingException": 429,
    "validationException": 400,
    "modelStreamErrorException": 424,
    "serviceUnavailableException": 503,
    "internalServerException": 500,
    "modelTimeoutException": 408,
}
"""Status of each documented exception inside a stream."""


def decode_reply(body: Any) -> ModelReply:
    """Return the reply of a `converse` body.

    Raises:
        DialectError: If the body is not a reply; for an error body use `decode_error`.
    """
    body = json_object(body, "converse reply")
    message = mapping(body.get("output")).get("message")
    if not isinstance(message, dict):
        raise DialectError(
            f"no converse reply: output.message is {type(message).__name__}; "
            f"fields are {sorted(map(str, body))[:8]}"
        )
    parts = [block_part(block) for block in entries(message.get("content"))]
    return _reply(
        [part for part in parts if isinstance(part, _SAID)], body.get("stopReason"), body.get("usage")
    )


def event_of(message: EventMessage) -> dict[str, Any]:
    """Return a message of an event stream as `{type: payload}`.

    Raises:
        DialectError: If the payload is not JSON.
    """
    kind = message.header(":event-type") or message.header(":exception-type") or message.header(":error-code")
    payload = parse_json(message.payload) if message.payload.strip() else {}
    if message.header(":message-type") == "error":
        payload = {"message": message.header(":error-message")}
    return {kind or "unknown": payload}


class _Block:
    """One block while its deltas arrive."""

    __slots__ = ("opening", "signatures", "texts", "thoughts")

    def __init__(self) -> None:
        self.opening: dict[str, Any] | None = None
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.signatures: list[str] = []

    def parts(self, *, closed: bool) -> list[Part]:
        """Return the block as parts. If the block is still open, missing arguments are not read as empty."""
        text = mend_text("".join(self.texts))
        if self.opening is not None:
            arguments = parse_arguments(text) if closed or text.strip() else text
            call_id, name = string(self.opening.get("toolUseId")), string(self.opening.get("name"))
            return [ToolCallPart(id=call_id, name=name, arguments=arguments)]
        thought, signature = mend_text("".join(self.thoughts)), "".join(self.signatures) or None
        said: list[Part] = []
        if thought or signature:
            said.append(ReasoningPart(content=thought, signature=signature))
        return [*said, TextPart(text)] if text else said


class StreamDecoder(JsonStream):
    """Collects one streamed reply from events of the form `{type: payload}`; attributes as in `JsonStream`."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks: dict[int, _Block] = {}
        self._closed: set[int] = set()
        self._finish: str | None = None
        self._usage: dict[str, Any] = {}

    def take(self, event: dict[str, Any]) -> list[str]:
        """Take one event and return its text deltas; never raises."""
        deltas: list[str] = []
        for kind, value in event.items():
            payload = mapping(value)
            match kind:
                case "contentBlockStart":
                    start = mapping(payload.get("start")).get("toolUse")
                    if isinstance(start, dict) and start.get("type") != "server_tool_use":
                        self._block(payload).opening = start
                case "contentBlockDelta":
                    deltas += self._grow(self._block(payload), mapping(payload.get("delta")))
                case "contentBlockStop":
                    self._closed.add(count(payload.get("contentBlockIndex")) or 0)
                case "messageStop":
                    self._finish = string(payload.get("stopReason")) or self._finish
                case "metadata":
                    self._usage |= mapping(payload.get("usage"))
                    self.done = True
                case _ if kind.lower().endswith(("exception", "error")):
                    self.fail(exception_failure(kind, payload))
                case _:
                    pass  # `messageStart`, metrics, and events of later versions
        return deltas

    def finish(self) -> ModelReply:
        """Return the reply as far as it arrived. Call it when the stream is over, however it ended."""
        self.fail_if_cut(complete=self._finish is not None or self.done)
        parts: list[Part] = []
        for index in sorted(self._blocks):
            parts += self._blocks[index].parts(closed=index in self._closed)
        return _reply(parts, self._finish, self._usage)

    def _block(self, payload: dict[str, Any]) -> _Block:
        return self._blocks.setdefault(count(payload.get("contentBlockIndex")) or 0, _Block())

    def _grow(self, block: _Block, delta: dict[str, Any]) -> list[str]:
        if isinstance(text := delta.get("text"), str):
            block.texts.append(text)
            return [mend_text(text)] if text else []
        if isinstance(text := mapping(delta.get("toolUse")).get("input"), str) and block.opening is not None:
            block.texts.append(text)
        thought = mapping(delta.get("reasoningContent"))
        block.thoughts.append(string(thought.get("text")))
        block.signatures.append(string(thought.get("signature")))
        if isinstance(thought.get("redactedContent"), str):
            withheld = thought["redactedContent"]
            block.signatures.append(withheld if any(block.signatures) else REDACTED + withheld)
        return []


def exception_failure(kind: str, payload: dict[str, Any]) -> Failure:
    """Return the failure of an exception inside a stream, with the status that its type has outside of streams."""
    failure = decode_error(_STATUS.get(kind), {"__type": kind, **payload})
    return msgspec.structs.replace(failure, phase="stream")


def _reply(parts: list[Part], raw: Any, usage: Any) -> ModelReply:
    stated = string(raw) or None
    return ModelReply(
        parts=tuple(parts),
        finish_reason=normal_finish(stated),
        raw_finish_reason=stated,
        usage=decode_usage(usage),
    )


_SAID = (TextPart, ReasoningPart, ToolCallPart)
