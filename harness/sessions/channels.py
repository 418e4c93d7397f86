"""Channels: where the calls of a run that is recorded anew are answered.

Rules.
1. A write is carried out only where its tool was named, or every tool was. Else the old recording answers it, as often
   as it holds that very call. Reads are carried out (recording), or answered by the old recording (a new model over
   recorded tools): two settings of one `Channels`.
2. A stand-in of a tool answers before both; it is no write.
3. An approval is answered as was said for its tool, else as the old recording holds it for that very call. Nothing is
   granted by default.
4. What nothing answers stops the recording before it is carried out, and nothing is carried out after it. That holds
   for child runs too: all runs of one recording share their channels.

A recording holds pseudonyms where the run has secrets. There a call is the recorded one if both are equal once secrets
are taken out, and no other recorded call is equal to it too.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from harness.errors import RecordingStopped
from harness.text import safe_text
from runtime.core.canonical import canonical_bytes, said
from runtime.core.effects import (
    AnyOutcome,
    ApprovalAnswer,
    AskApproval,
    Begin,
    CallTool,
    EffectKind,
    End,
    Failure,
    FailureKind,
    Outcome,
    SingleEffect,
    ToolResult,
)
from runtime.core.keys import Cleaner
from runtime.entry.assemble import RunParts
from runtime.journal.recording import Interaction, Recording
from runtime.ports.performers import PerformerError
from runtime.ports.tool_failures import failure_of
from runtime.tools.results import text_of
from runtime.tools.tool import ToolError

EVERY_TOOL = "*"
"""Stands for each tool where tools are named that may be carried out."""
Decision = Literal["grant", "deny", "timeout"]
_DECISIONS: dict[Decision, Literal["granted", "denied", "timeout"]] = {
    "grant": "granted",
    "deny": "denied",
    "timeout": "timeout",
}
_PSEUDONYM = re.compile(r"<secret[#:][^>]{1,64}>")
_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """Who answers the calls of a recording.

    Attributes:
        reads: `live` carries out tools that do not write; `recorded` has the old recording answer them.
        live: Tools that are carried out by name, those that write too; `*` for each.
        approvals: Answers to approvals, by tool.
        stand_ins: Functions that answer in place of tools, by tool; called with the tool's arguments by name.
    """

    reads: Literal["live", "recorded"] = "live"
    live: frozenset[str] = frozenset()
    approvals: Mapping[str, Decision] = field(default_factory=dict)
    stand_ins: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def is_live(self, tool: str, *, write: bool) -> bool:
        """Return whether a tool's calls are carried out."""
        if tool in self.live or EVERY_TOOL in self.live:
            return True
        return self.reads == "live" and not write


class RunChannels:
    """The channels of one recording: its run and its child runs.

    Attributes:
        stopped: Why the recording was stopped; `None` if it was not.
    """

    def __init__(self, channels: Channels, old: Recording | None, cleaner: Cleaner | None) -> None:
        """Take over the settings.

        Args:
            channels: Who answers.
            old: The recording that is to be replaced, if there is one.
            cleaner: Takes secrets out of arguments, for look-ups and messages.
        """
        self.stopped: RecordingStopped | None = None
        self._channels = channels
        self._calls = _RecordedCalls(old, cleaner)
        self._cleaner = cleaner

    def source(self, parts: RunParts) -> _Source:
        """Return the source of known outcomes of one of the runs."""
        return _Source(self, parts)

    async def answer(self, effect: SingleEffect, parts: RunParts) -> AnyOutcome | None:
        """Return an effect's outcome; `None` if it is to be carried out.

        Raises:
            PerformerError: If nothing may answer it, or nothing answered an effect before it.
        """
        if isinstance(effect, Begin | End):
            return None
        if self.stopped is not None:
            raise PerformerError(str(self.stopped))
        match effect:
            case CallTool():
                return await self._tool(effect, parts)
            case AskApproval():
                return self._approval(effect, parts)
            case _:
                return None

    async def _tool(self, effect: CallTool, parts: RunParts) -> AnyOutcome | None:
        name = effect.name
        stand_in = self._channels.stand_ins.get(name)
        if stand_in is not None:
            return await _stand_in(stand_in, effect, parts)
        write = effect.write or self._calls.writes(name)
        if self._channels.is_live(name, write=write):
            return None
        recorded = self._calls.take(effect, again=not write)
        if recorded is not None:
            return _now(recorded.outcome(), parts)
        call = f"{name}({self._shown(effect.arguments)})"
        stands = f"`stand_ins: {{{name}: module:function}}` in the task answers it"
        if write:
            raise self._stop(
                f"the recording would make the write {call}, which the old cassette does not hold",
                f"`--allow-writes={name}` makes it; {stands} without it",
            )
        raise self._stop(
            f"the old cassette does not hold the call {call}", f"carry out {name!r}, or {stands}"
        )

    def _approval(self, effect: AskApproval, parts: RunParts) -> AnyOutcome:
        stated = self._channels.approvals.get(effect.name)
        if stated is not None:
            decision = _DECISIONS[stated]
            answer = ApprovalAnswer(decision=decision, by="rule", reason=f"{decision} for the recording")
            return Outcome(answer, None, parts.live.elapsed_s(), 0.0)
        recorded = self._calls.take(effect, again=True)
        if recorded is not None:
            return _now(recorded.outcome(), parts)
        raise self._stop(
            f"nobody answered the approval of {effect.name}({self._shown(effect.decided)})",
            f"say it in the task: `approvals: {{{effect.name}: grant}}` (or deny, or timeout)",
        )

    def _stop(self, what: str, next_step: str) -> PerformerError:
        self.stopped = RecordingStopped(what, next_step=next_step)
        return PerformerError(what)

    def _shown(self, arguments: Any) -> str:
        clean = arguments if self._cleaner is None else self._cleaner.value(arguments)
        return safe_text(canonical_bytes(clean).decode(), _SHOWN_CHARS)


class _Source:
    """Answers one run from the channels of its recording."""

    def __init__(self, channels: RunChannels, parts: RunParts) -> None:
        self._channels = channels
        self._parts = parts

    async def answer(self, effect: SingleEffect) -> AnyOutcome | None:
        """Return an effect's outcome; `None` if it is to be carried out.

        Raises:
            PerformerError: If nothing may answer it.
        """
        return await self._channels.answer(effect, self._parts)


class _RecordedCalls:
    """Answered calls and approvals of the old recording and its child runs, each used once."""

    def __init__(self, old: Recording | None, cleaner: Cleaner | None) -> None:
        self._cleaner = cleaner
        self._left: dict[tuple[str, str, bytes], deque[Interaction]] = defaultdict(deque)
        self._masked: dict[tuple[str, str, bytes], set[bytes]] = defaultdict(set)
        self._writes: set[str] = set()
        for kind, name, arguments, interaction in _answered(old):
            exact = canonical_bytes(arguments)
            self._left[kind, name, exact].append(interaction)
            self._masked[kind, name, self._mask(arguments)].add(exact)
            if interaction.record.write or (interaction.intent is not None and interaction.intent.write):
                self._writes.add(name)

    def writes(self, tool: str) -> bool:
        """Return whether a call of this tool was recorded as a write."""
        return tool in self._writes

    def take(self, effect: CallTool | AskApproval, *, again: bool) -> Interaction | None:
        """Return the next recorded interaction of a call; `again` gives the last one as often as it is wanted."""
        kind = "approval" if isinstance(effect, AskApproval) else "tool"
        arguments = effect.decided if isinstance(effect, AskApproval) else effect.arguments
        exact = canonical_bytes(arguments)
        if (kind, effect.name, exact) not in self._left:
            alike = self._masked.get((kind, effect.name, self._mask(arguments)), set())
            if len(alike) != 1:
                return None
            (exact,) = alike
        left = self._left[kind, effect.name, exact]
        if not left:
            return None
        return left[0] if again and len(left) == 1 else left.popleft()

    def _mask(self, arguments: Any) -> bytes:
        clean = arguments if self._cleaner is None else self._cleaner.value(arguments)
        return _PSEUDONYM.sub("<secret>", canonical_bytes(clean).decode()).encode()


def _answered(old: Recording | None) -> Iterator[tuple[str, str, Any, Interaction]]:
    """Yield what an old recording can answer; a call that was cut off has no outcome that holds."""
    for run in () if old is None else (old, *old.children):
        for interaction in run.interactions:
            if interaction.guard or not interaction.answered:
                continue
            failure = interaction.outcome().failure
            if failure is not None and failure.kind is FailureKind.INTERRUPTED:
                continue
            if interaction.kind is EffectKind.TOOL:
                effect = run.effect(interaction)
                assert isinstance(effect, CallTool)
                yield "tool", effect.name, effect.arguments, interaction
            elif interaction.kind is EffectKind.APPROVAL:
                approval = run.effect(interaction)
                assert isinstance(approval, AskApproval)
                yield "approval", approval.name, approval.decided, interaction


def _now(outcome: AnyOutcome, parts: RunParts) -> AnyOutcome:
    """Return a recorded outcome at the time of this run."""
    return msgspec.structs.replace(outcome, at=round(parts.live.elapsed_s(), 6))


async def _stand_in(function: Callable[..., Any], effect: CallTool, parts: RunParts) -> AnyOutcome:
    """Return what a stand-in answers; what it raises is a failure of the call, as of a tool."""
    started = parts.live.elapsed_s()
    bound = effect.bound
    arguments = {name: getattr(bound, name) for name in type(bound).model_fields}
    answer: ToolResult | Failure
    try:
        if inspect.iscoroutinefunction(function):
            result = await function(**arguments)
        else:
            result = await asyncio.to_thread(function, **arguments)
        answer = parts.live.capped(effect, ToolResult(content=text_of(result)))
    except ToolError as error:
        answer = ToolResult(content=said(error), status="error", error=said(error))
    except Exception as error:  # noqa: BLE001 - the edge where a stand-in's exception becomes data
        answer = failure_of(error)
    ended = parts.live.elapsed_s()
    value, failure = (None, answer) if isinstance(answer, Failure) else (answer, None)
    return Outcome(value, failure, round(ended, 6), round(ended - started, 6))
