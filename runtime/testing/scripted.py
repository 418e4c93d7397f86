"""A model that answers from a script, for users' own tests: deterministic and without any I/O.

    model = ScriptedModel([calls(("kb.search", {"q": "refund"})), says("Your refund is on its way.")])

A script is a list that is read in order over all calls of the model, or a policy: a function of the request alone,
which can serve many runs at once. Missing parts of a turn (call ids, usage, names) are filled in from the request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from runtime.core.effects import Failure, FailureKind, Limits
from runtime.core.messages import ModelReply, ModelRequest, Part, TextPart, ToolCallPart
from runtime.errors import UsageError
from runtime.models.sizes import sized_usage
from runtime.ports.models import StreamObserver

Turn = ModelReply | Failure | str
"""One answer of a script; a plain text is a reply with that text."""

ReplyFunction = Callable[[ModelRequest], Turn]
"""Computes an answer from the request alone."""


def says(text: str) -> ModelReply:
    """Return a reply of plain text, which ends a run."""
    return ModelReply(parts=(TextPart(text),), finish_reason="stop")


def calls(*tools: tuple[str, Any], text: str = "") -> ModelReply:
    """Return a reply that calls tools, given as `(name, arguments)` in order.

    Arguments other than a dictionary are sent unchanged: a text simulates malformed JSON from the model.

    Raises:
        UsageError: If no tool is named.
    """
    if not tools:
        raise UsageError(
            "a reply of `calls` asks for at least one tool", next_step="use says() for plain text"
        )
    words: tuple[Part, ...] = (TextPart(text),) if text else ()
    calls_made = tuple(ToolCallPart(id="", name=name, arguments=arguments) for name, arguments in tools)
    return ModelReply(parts=words + calls_made, finish_reason="tool_call")


def fails(
    kind: FailureKind | str = FailureKind.ERROR,
    *,
    retryable: bool = False,
    message: str = "scripted failure",
    after_s: float | None = None,
    phase: str | None = "response",
) -> Failure:
    """Return a failed call.

    Args:
        kind: How it fails: `timeout`, `error`, `rate_limited`, `unavailable`.
        retryable: Whether the same call may be made again.
        message: Text for readers.
        after_s: Seconds that the provider wants the client to wait.
        phase: Where it fails: `connect`, `request`, `response`, `stream`.

    Raises:
        UsageError: If there is no such kind.
    """
    try:
        known = FailureKind(kind)
    except ValueError as error:
        raise UsageError(f"{kind!r} is no kind of failure; kinds are {', '.join(FailureKind)}") from error
    return Failure(
        kind=known, message=message, retryable=retryable, phase=phase, error_type="scripted", after_s=after_s
    )


def complete_turn(turn: Turn, request: ModelRequest, *, provider: str) -> ModelReply | Failure:
    """Return a turn as a complete reply: with call ids, finish reason, names and usage.

    Ids are `call_<n>`, counted over the calls of the conversation so far, so they depend only on the request.
    """
    if isinstance(turn, Failure):
        return turn
    reply = says(turn) if isinstance(turn, str) else turn
    parts = reply.parts
    if any(isinstance(part, ToolCallPart) and not part.id for part in parts):
        parts = _with_ids(parts, request)
    asks = any(isinstance(part, ToolCallPart) for part in parts)
    return msgspec.structs.replace(
        reply,
        parts=parts,
        finish_reason=reply.finish_reason or ("tool_call" if asks else "stop"),
        response_model=reply.response_model or request.model,
        provider=reply.provider or provider,
        usage=reply.usage or sized_usage(request, parts),
    )


def _with_ids(parts: tuple[Part, ...], request: ModelRequest) -> tuple[Part, ...]:
    number = sum(isinstance(part, ToolCallPart) for message in request.messages for part in message.parts)
    named: list[Part] = []
    for part in parts:
        if isinstance(part, ToolCallPart):
            number += 1
            if not part.id:
                part = ToolCallPart(id=f"call_{number}", name=part.name, arguments=part.arguments)
        named.append(part)
    return tuple(named)


class ScriptedModel:
    """A model port that answers from a script.

    Attributes:
        requests: Requests received, in order.
    """

    def __init__(self, script: Iterable[Turn] | ReplyFunction, *, provider: str = "scripted") -> None:
        """Take a list of turns, or a policy.

        Args:
            script: Turns in the order of calls, or a function from the request to a turn.
            provider: Provider name of the replies.

        Raises:
            UsageError: If the script is a bare text, or holds something that is not a turn.
        """
        if isinstance(script, str):
            raise UsageError(
                f"a script is a list of turns, not the text {script!r}", next_step="write [text]"
            )
        self._policy = script if callable(script) else None
        self._turns: list[Turn] = [] if callable(script) else [_checked(turn) for turn in script]
        self._provider = provider
        self.requests: list[ModelRequest] = []

    @property
    def remaining(self) -> int | None:
        """Number of unused turns; `None` for a policy."""
        return None if self._policy is not None else max(0, len(self._turns) - len(self.requests))

    async def call(
        self, request: ModelRequest, limits: Limits, observer: StreamObserver | None = None
    ) -> ModelReply | Failure:
        """Return the next turn; the observer receives its text in one piece.

        Raises:
            UsageError: If the script is used up, or the policy returned no turn.
        """
        number = len(self.requests)
        self.requests.append(request)
        answer = complete_turn(self._next(number, request), request, provider=self._provider)
        if observer is not None and isinstance(answer, ModelReply) and answer.text:
            observer.on_text(answer.text)
        return answer

    async def aclose(self) -> None:
        """Do nothing: a script holds no connection."""

    def _next(self, number: int, request: ModelRequest) -> Turn:
        if self._policy is not None:
            return _checked(self._policy(request))
        if number >= len(self._turns):
            raise UsageError(
                f"the script of {len(self._turns)} turns is used up: the agent makes model call {number + 1}",
                where="ScriptedModel",
                next_step="add a turn, or pass a policy (a function of the request) in place of the list",
            )
        return self._turns[number]


def _checked(turn: object) -> Turn:
    if isinstance(turn, ModelReply | Failure | str):
        return turn
    raise UsageError(
        f"{turn!r} is no turn of a script",
        where="ScriptedModel",
        next_step="use says(...), calls(...) or fails(...)",
    )
