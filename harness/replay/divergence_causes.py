"""Causes: why an effect differs from the recorded one, found only after it did."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.first_difference import ABSENT, FirstDifference, first_difference, windows
from harness.replay.change_names import (
    difference_text,
    limit_change,
    retry_change,
    schema_change,
    shown,
    text_change,
)
from harness.replay.divergence import Cause, Verdict
from runtime.core.effects import (
    KIND_OF,
    AskApproval,
    Begin,
    CallModel,
    CallTool,
    EffectKind,
    End,
    Refuse,
    SingleEffect,
    Wait,
    name_of,
)
from runtime.core.keys import Cleaner, IdNames, rename_ids
from runtime.core.lanes import is_first_attempt, parse_lane
from runtime.core.messages import Message, ModelRequest, ToolSchema
from runtime.core.run import Header
from runtime.journal.recording import Interaction, Recording

WINDOW = 60
"""Characters shown on each side of a change in a text."""
_REFUSAL_CAUSE: dict[str, Cause] = {
    "denied": "policy",
    "invalid_arguments": "tool schema",
    "unknown_tool": "tool schema",
    "not_started": "budget",
}


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Where two effects differ first, and why."""

    path: str | None = None
    cause: Cause | None = None
    recorded: Any = None
    replayed: Any = None
    summary: str | None = None


def explain(
    effect: SingleEffect,
    interaction: Interaction | None,
    recording: Recording,
    verdict: Verdict,
    cleaner: Cleaner | None,
    now: Header | None = None,
) -> Explanation:
    """Return why an effect is not as recorded.

    Args:
        effect: What the flow asks for now.
        interaction: The recorded one it is compared with, if there is one.
        recording: The whole recording.
        verdict: How it differs.
        cleaner: Takes secrets out of what is shown.
        now: Header of the run as it is now; settings that changed are named where it is known.
    """
    assert not isinstance(effect, Begin | End)
    before = recording.header
    name = name_of(effect) or KIND_OF[type(effect)].value
    if verdict == "moved":
        return Explanation(cause="order", summary=f"{name} comes at another place ({effect.lane})")
    retried = retry_change(before, now) if _is_retry(effect) else None
    if retried is not None:
        return Explanation(cause="count", summary=retried)
    if verdict == "repeated":
        return Explanation(cause="count", summary=f"{_what(effect.lane, name)} is one more than recorded")
    if verdict == "extra" or interaction is None:
        cause = _extra_cause(effect, recording)
        summary = (limit_change(before, now) if cause == "budget" else None) or _extra_text(
            effect, effect.lane, name
        )
        return Explanation(cause=cause, replayed=_shown(effect, cleaner), summary=summary)
    recorded = recording.effect(interaction)
    match effect, recorded:
        case CallModel(), CallModel():
            return _model(effect, recorded, recording, cleaner)
        case ((CallTool() | Refuse()), (CallTool() | Refuse())):
            return _tool(effect, recorded, interaction, cleaner, limit_change(before, now))
        case Wait(), Wait():
            summary = retry_change(before, now) or f"a wait of {recorded.seconds} s -> {effect.seconds} s"
            return Explanation(
                path="seconds",
                cause="retry",
                recorded=recorded.seconds,
                replayed=effect.seconds,
                summary=summary,
            )
        case AskApproval(), AskApproval():
            found = first_difference(recorded.decided, effect.decided, "arguments")
            return _of(found, "policy")
        case _:
            return Explanation(cause="code")


def _model(
    effect: CallModel, recorded: CallModel, recording: Recording, cleaner: Cleaner | None
) -> Explanation:
    before, now = recorded.request, effect.request
    found = first_difference(_plain(before.tools, cleaner), _plain(now.tools, cleaner), "tools")
    if found is not None:
        return _of(found, "tool schema", schema_change(_tools(before, cleaner), _tools(now, cleaner)))
    if before.model != now.model:
        summary = f"{before.model} -> {now.model}"
        return Explanation(
            path="model", cause="model", recorded=before.model, replayed=now.model, summary=summary
        )
    found = first_difference(
        _plain(before.parameters, cleaner), _plain(now.parameters, cleaner), "parameters"
    )
    if found is not None:
        name = found.path.removeprefix("parameters.")
        return _of(found, "parameters", difference_text(FirstDifference(name, found.a, found.b)))
    return _messages(before.messages, now.messages, recording, cleaner)


def _tools(request: ModelRequest, cleaner: Cleaner | None) -> tuple[ToolSchema, ...]:
    if cleaner is None:
        return request.tools
    return msgspec.convert(_plain(request.tools, cleaner), tuple[ToolSchema, ...])


def _messages(
    before: tuple[Message, ...], now: tuple[Message, ...], recording: Recording, cleaner: Cleaner | None
) -> Explanation:
    ids_before, ids_now = IdNames(), IdNames()
    for i, (left, right) in enumerate(zip(before, now, strict=False)):
        a, b = _plain(rename_ids(left, ids_before), cleaner), _plain(rename_ids(right, ids_now), cleaner)
        found = first_difference(a, b, f"messages[{i}]")
        if found is not None:
            summary = _message_change(i, left, right, found)
            return _of(found, _message_cause(i, right, recording), summary)
    if len(before) != len(now):
        i = min(len(before), len(now))
        extra = (before if len(before) > i else now)[i]
        cause = _message_cause(i, extra, recording)
        left_out = _plain(before[i], cleaner) if len(before) > i else None
        right_out = _plain(now[i], cleaner) if len(now) > i else None
        word = "removed" if len(before) > i else "added"
        return Explanation(
            path=f"messages[{i}]",
            cause="count" if cause == "upstream result" else cause,
            recorded=left_out,
            replayed=right_out,
            summary=f"message {i} ({extra.role}) {word}",
        )
    return Explanation(cause="code")


def _message_change(index: int, before: Message, now: Message, found: FirstDifference) -> str:
    if index == 0 and "system" in {before.role, now.role} and before.role != now.role:
        return f"instructions {'removed' if before.role == 'system' else 'added'}"
    place = "instructions" if index == 0 and now.role == "system" else f"message {index} ({now.role})"
    if isinstance(found.a, str) and isinstance(found.b, str):
        return f"{place} {text_change(found.a, found.b)}"
    return f"{place} {shown(found.a)} -> {shown(found.b)}"


def _message_cause(index: int, message: Message, recording: Recording) -> Cause:
    opening = len(recording.header.input) + (recording.header.instructions is not None)
    if index < opening or message.role == "system":
        return "prompt"
    return "input" if message.role == "user" else "upstream result"


def _tool(
    effect: CallTool | Refuse,
    recorded: CallTool | Refuse,
    interaction: Interaction,
    cleaner: Cleaner | None,
    limits: str | None,
) -> Explanation:
    if effect.name != recorded.name:
        summary = f"{effect.name} is called where {recorded.name} was"
        return Explanation(
            path="name", cause="order", recorded=recorded.name, replayed=effect.name, summary=summary
        )
    found = first_difference(
        _plain(recorded.arguments, cleaner), _plain(effect.arguments, cleaner), "arguments"
    )
    if found is not None:
        summary = f"arguments of {effect.name}: {difference_text(found)}"
        return _of(found, "upstream result", summary)
    was = recorded.status if isinstance(recorded, Refuse) else "started"
    now = effect.status if isinstance(effect, Refuse) else "started"
    refused = now if now != "started" else was
    if interaction.guard and isinstance(effect, Refuse) and was == now:
        return Explanation(
            path="message", cause=_REFUSAL_CAUSE.get(now, "policy"), recorded=was, replayed=now
        )
    cause = _REFUSAL_CAUSE.get(refused, "policy")
    summary = (limits if cause == "budget" else None) or f"{effect.name} was {was}, is {now}"
    return Explanation(path="status", cause=cause, recorded=was, replayed=now, summary=summary)


def _extra_text(effect: SingleEffect, lane: str, name: str) -> str:
    if isinstance(effect, AskApproval):
        return f"an approval of {name} is asked for now"
    return f"{_what(lane, name)} is not in the recording"


def _what(lane: str, name: str) -> str:
    """Return a call in words: `carrier.track at step 1`, with the attempt where it is a later one."""
    parts = parse_lane(lane)
    attempt = f"attempt {parts.attempt} of " if parts.attempt > 1 else ""
    return f"{attempt}{name} at step {parts.step}"


def _extra_cause(effect: SingleEffect, recording: Recording) -> Cause:
    if isinstance(effect, AskApproval):
        return "policy"
    if _is_retry(effect):
        return "count"
    ended_by = recording.stop_reason.partition(":")[0]
    if ended_by.startswith("max_") or ended_by == "loop_detected":
        return "budget"
    return "count"


def explain_missing(
    interaction: Interaction, stop_reason: str, before: Header, now: Header | None
) -> Explanation:
    """Return why a recorded interaction was not used."""
    name = interaction.name or interaction.kind.value
    cause = _missing_cause(interaction, stop_reason)
    if not is_first_attempt(interaction.lane) and (retried := retry_change(before, now)) is not None:
        return Explanation(cause=cause, summary=retried)
    if interaction.kind is EffectKind.APPROVAL:
        return Explanation(cause=cause, summary=f"an approval of {name} is not asked for any more")
    summary = (limit_change(before, now) if cause == "budget" else None) or (
        f"{_what(interaction.lane, name)} does not happen"
    )
    return Explanation(cause=cause, summary=summary)


def _missing_cause(interaction: Interaction, stop_reason: str) -> Cause:
    if interaction.kind is EffectKind.TOOL and not is_first_attempt(interaction.lane):
        return "count"
    if interaction.kind is EffectKind.APPROVAL:
        return "policy"
    ended_by = stop_reason.partition(":")[0]
    if ended_by.startswith("max_") or ended_by == "loop_detected":
        return "budget"
    return "policy" if ended_by.startswith("policy") else "count"


def _is_retry(effect: SingleEffect) -> bool:
    return isinstance(effect, CallTool | CallModel) and not is_first_attempt(effect.lane)


def _of(found: FirstDifference | None, cause: Cause, summary: str | None = None) -> Explanation:
    if found is None:
        return Explanation(cause="code")
    recorded, replayed = (None if side is ABSENT else side for side in (found.a, found.b))
    if isinstance(recorded, str) and isinstance(replayed, str):
        recorded, replayed = windows(recorded, replayed, WINDOW)
    return Explanation(
        path=found.path,
        cause=cause,
        recorded=recorded,
        replayed=replayed,
        summary=summary or difference_text(found),
    )


def _plain(value: Any, cleaner: Cleaner | None) -> Any:
    plain = msgspec.to_builtins(value)
    return plain if cleaner is None else cleaner.value(plain)


def _shown(effect: SingleEffect, cleaner: Cleaner | None) -> Any:
    if isinstance(effect, CallTool | Refuse | AskApproval):
        return _plain(effect.arguments, cleaner)
    if isinstance(effect, CallModel) and effect.request.messages:
        return _plain(effect.request.messages[-1], cleaner)
    return None
