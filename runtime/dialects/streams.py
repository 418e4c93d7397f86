"""What the stream decoders of all dialects share: a payload becomes an event, damage becomes a failure.

Rules.
1. Nothing raises. What a damaged or cut stream told is in the reply, and `error` says what went wrong first.
2. A longer prefix of a stream never takes back what a shorter one told: texts, thoughts and arguments only grow,
   calls are only added. A reason to stop is told once it arrived, never before.
3. `[DONE]` is no event of any dialect, but gateways append it to each.
"""

from __future__ import annotations

from typing import Any

from runtime.core.effects import Failure, FailureKind
from runtime.core.messages import ModelReply, Part, ReasoningPart, TextPart
from runtime.dialects.errors import DialectError
from runtime.dialects.jsontext import mend_text, parse_json

DONE = "[DONE]"
"""The payload that ends a stream of the OpenAI dialects."""


class JsonStream:
    """Base of the stream decoders whose payloads are JSON objects.

    Attributes:
        error: What went wrong: an error event inside the stream, a payload that is no JSON, or a stream that
            ended before its answer did (known after `finish()`); `None` if all is well.
        done: Whether the end of the stream was seen.
    """

    def __init__(self) -> None:
        self.error: Failure | None = None
        self.done: bool = False

    def feed(self, data: str) -> list[str]:
        """Take one payload and return its text deltas; never raises."""
        payload = data.strip()
        if not payload:
            return []
        if payload == DONE:
            self.done = True
            return []
        try:
            event = parse_json(payload)
        except DialectError as error:
            self.fail(stream_failure(f"a chunk of the stream is {error.what}", "invalid_chunk"))
            return []
        if not isinstance(event, dict):
            self.fail(stream_failure(f"a chunk of the stream is {type(event).__name__}", "invalid_chunk"))
            return []
        return self.take(event)

    def take(self, event: dict[str, Any]) -> list[str]:
        """Take one event that was read already and return its text deltas; never raises."""
        raise NotImplementedError

    def finish(self) -> ModelReply:
        """Return all that was told; may be called once the stream is over, however it ended."""
        raise NotImplementedError

    def fail(self, failure: Failure) -> None:
        """Note what went wrong; the first failure counts."""
        if self.error is None:
            self.error = failure

    def fail_if_cut(self, *, complete: bool) -> None:
        """Note that the stream ended before its answer did, unless it is complete."""
        if not complete:
            self.fail(stream_failure("the stream ended before the answer did", "stream_cut"))


def stream_failure(message: str, error_type: str) -> Failure:
    """Return the failure of a stream that broke on its way; asking again may help."""
    return Failure(
        kind=FailureKind.ERROR, message=message, retryable=True, phase="stream", error_type=error_type
    )


def joined(parts: list[Part]) -> tuple[Part, ...]:
    """Return parts with neighbouring texts, and neighbouring unsigned thoughts, made one.

    Texts are mended after joining: a surrogate pair may be split between two pieces.
    """
    found: list[Part] = []
    pieces: list[str] = []
    for place, part in enumerate(parts, start=1):
        following = parts[place] if place < len(parts) else None
        if not isinstance(part, (TextPart, ReasoningPart)):
            found.append(part)
            continue
        pieces.append(part.content)
        if type(following) is type(part) and not (isinstance(part, ReasoningPart) and part.signature):
            continue
        text = mend_text("".join(pieces))
        pieces = []
        if isinstance(part, TextPart):
            found.append(TextPart(text))
        else:
            found.append(ReasoningPart(content=text, signature=part.signature))
    return tuple(found)
