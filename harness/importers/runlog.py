"""What an importer makes of a foreign run: messages and facts, before anything is converted.

This is the whole contract with importers, those of others included: a format turns one document into
`ForeignRunLog`s, and `harness.importers.conversion` turns each of these into records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from runtime.core.effects import ToolResult
from runtime.core.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One message of a foreign run.

    Attributes:
        message: The message; a reply's calls may have empty or repeated ids.
        result: How the call went, for a message of role `tool`.
        answers: Id of the call that a result answers; `None` pairs results with calls by position.
        call: Name and arguments of the call, where a result carries its call itself.
        is_denial: Whether a recorded guard tells a refusal with it.
        denied_tool: Tool that was refused, if the message names one.
    """

    message: Message
    result: ToolResult | None = None
    answers: str | None = None
    call: tuple[str, Any] | None = None
    is_denial: bool = False
    denied_tool: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRunLog:
    """A foreign run, recognised but not converted.

    Attributes:
        source: Names the run, the same on every machine.
        content: What the request id is made of besides the source: the run as it was recorded.
        messages: The conversation, in order.
        model: Model id; `unknown` where the format does not keep it.
        tenant: Tenant of the run's header: the format, unless the run names one.
        agent: Whose run it is, in reports.
        suite: Suite it belongs to, if any.
        task: Task it is of, if any.
        repeat: Number of the trial, from 0.
        labels: Facts about the run, for example `passed`.
        duration_s: Duration of the whole run, if recorded.
        tokens: Tokens of the whole run, if recorded.
        unanswered_end: How a run ended whose last reply still asks for tools.
        group: Names the segment when a file holds many runs.
    """

    source: str
    content: Any
    messages: tuple[Said, ...]
    model: str
    tenant: str
    agent: str
    suite: str | None = None
    task: str | None = None
    repeat: int = 0
    labels: dict[str, Any] = field(default_factory=dict)
    duration_s: float | None = None
    tokens: int | None = None
    unanswered_end: Literal["max_steps", "open"] = "open"
    group: str | None = None


Reader = Callable[[Any, str], Iterable[ForeignRunLog | None] | None]
"""Turns one document of a file, whose path is the second argument, into its runs.

Returns `None` if the document is not of the format at all; a `None` among the runs is an entry that is no run.
"""
