"""The base of all dialects' stream decoders: parse payloads to events, and turn damage into a failure.

Rules.
1. Nothing raises. The reply of a damaged or cut stream has everything that arrived, and `error` is the first failure.
2. A longer prefix of a stream only adds to the reply of a shorter one: texts, thoughts and arguments only grow, and
   calls are only appended. The finish reason is set when it arrives, never before.
3. `[DONE]` is not an event of any dialect, but gateways append it to streams of all of them.
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
        error: The first failure: an error event inside the stream, a payload that is not JSON, or a stream that ended
            before its reply did (known after `finish()`); `None` if there is none.
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
        """Take one parsed event and return its text deltas; never raises."""
        raise NotImplementedError

    def finish(self) -> ModelReply:
        """Return the reply as far as it arrived. Call it when the stream is over, however it ended."""
        raise NotImplementedError

    def fail(self, failure: Failure) -> None:
        """Record a failure; only the first one counts."""
        if self.error is None:
            self.error = failure

    def fail_if_cut(self, *, complete: bool) -> None:
        """Record a failure if the stream ended before the reply was complete."""
        if not complete:
            self.fail(stream_failure("the stream ended before the answer did", "stream_cut"))


def stream_failure(message: str, error_type: str) -> Failure:
    """Return the retryable failure of a stream that broke midway."""
    return Failure(
        kind=FailureKind.ERROR, message=message, retryable=True, phase="stream", error_type=error_type
    )


def joined(parts: list[Part]) -> tuple[Part, ...]:
    """Return parts with adjacent texts merged, and adjacent unsigned thoughts merged.

    Texts are repaired after merging, because two pieces may split a surrogate pair.
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
