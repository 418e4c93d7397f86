"""Causes: why an effect differs from the recorded one, found only after it did."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.first_difference import ABSENT, FirstDifference, first_difference, windows
from harness.replay.divergence import Cause, Verdict
from runtime.core.effects import AskApproval, CallModel, CallTool, EffectKind, Refuse, SingleEffect, Wait
from runtime.core.keys import Cleaner, IdNames, rename_ids
from runtime.core.lanes import is_first_attempt
from runtime.core.messages import Message
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


def explain(
    effect: SingleEffect,
    interaction: Interaction | None,
    recording: Recording,
    verdict: Verdict,
    cleaner: Cleaner | None,
) -> Explanation:
    """Return why an effect is not as recorded.

    Args:
        effect: What the flow asks for now.
        interaction: The recorded one it is compared with, if there is one.
        recording: The whole recording.
        verdict: How it differs.
        cleaner: Takes secrets out of what is shown.
    """
    if verdict == "moved":
        return Explanation(cause="order")
    if verdict == "repeated":
        return Explanation(cause="count")
    if verdict == "extra" or interaction is None:
        return Explanation(cause=_extra_cause(effect, recording), replayed=_shown(effect, cleaner))
    recorded = recording.effect(interaction)
    match effect, recorded:
        case CallModel(), CallModel():
            return _model(effect, recorded, recording, cleaner)
        case ((CallTool() | Refuse()), (CallTool() | Refuse())):
            return _tool(effect, recorded, interaction, cleaner)
        case Wait(), Wait():
            return Explanation(
                path="seconds", cause="policy", recorded=recorded.seconds, replayed=effect.seconds
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
        return _of(found, "tool schema")
    if before.model != now.model:
        return Explanation(path="model", cause="parameters", recorded=before.model, replayed=now.model)
    found = first_difference(
        _plain(before.parameters, cleaner), _plain(now.parameters, cleaner), "parameters"
    )
    if found is not None:
        return _of(found, "parameters")
    return _messages(before.messages, now.messages, recording, cleaner)


def _messages(
    before: tuple[Message, ...], now: tuple[Message, ...], recording: Recording, cleaner: Cleaner | None
) -> Explanation:
    ids_before, ids_now = IdNames(), IdNames()
    for i, (left, right) in enumerate(zip(before, now, strict=False)):
        a, b = _plain(rename_ids(left, ids_before), cleaner), _plain(rename_ids(right, ids_now), cleaner)
        found = first_difference(a, b, f"messages[{i}]")
        if found is not None:
            return _of(found, _message_cause(i, right, recording))
    if len(before) != len(now):
        i = min(len(before), len(now))
        extra = (before if len(before) > i else now)[i]
        cause = _message_cause(i, extra, recording)
        left_out = _plain(before[i], cleaner) if len(before) > i else None
        right_out = _plain(now[i], cleaner) if len(now) > i else None
        return Explanation(
            path=f"messages[{i}]",
            cause="count" if cause == "upstream result" else cause,
            recorded=left_out,
            replayed=right_out,
        )
    return Explanation(cause="code")


def _message_cause(index: int, message: Message, recording: Recording) -> Cause:
    opening = len(recording.header.input) + (recording.header.instructions is not None)
    if index < opening or message.role == "system":
        return "prompt"
    return "input" if message.role == "user" else "upstream result"


def _tool(
    effect: CallTool | Refuse, recorded: CallTool | Refuse, interaction: Interaction, cleaner: Cleaner | None
) -> Explanation:
    if effect.name != recorded.name:
        return Explanation(path="name", cause="order", recorded=recorded.name, replayed=effect.name)
    found = first_difference(
        _plain(recorded.arguments, cleaner), _plain(effect.arguments, cleaner), "arguments"
    )
    if found is not None:
        return _of(found, "upstream result")
    was = recorded.status if isinstance(recorded, Refuse) else "started"
    now = effect.status if isinstance(effect, Refuse) else "started"
    refused = now if now != "started" else was
    if interaction.guard and isinstance(effect, Refuse) and was == now:
        return Explanation(
            path="message", cause=_REFUSAL_CAUSE.get(now, "policy"), recorded=was, replayed=now
        )
    return Explanation(path="status", cause=_REFUSAL_CAUSE.get(refused, "policy"), recorded=was, replayed=now)


def _extra_cause(effect: SingleEffect, recording: Recording) -> Cause:
    if isinstance(effect, AskApproval):
        return "policy"
    if _is_retry(effect):
        return "count"
    ended_by = recording.stop_reason.partition(":")[0]
    if ended_by.startswith("max_") or ended_by == "loop_detected":
        return "budget"
    return "count"


def missing_cause(interaction: Interaction, stop_reason: str) -> Cause:
    """Return why a recorded interaction was not used."""
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


def _of(found: FirstDifference | None, cause: Cause) -> Explanation:
    if found is None:
        return Explanation(cause="code")
    recorded, replayed = (None if side is ABSENT else side for side in (found.a, found.b))
    if isinstance(recorded, str) and isinstance(replayed, str):
        recorded, replayed = windows(recorded, replayed, WINDOW)
    return Explanation(path=found.path, cause=cause, recorded=recorded, replayed=replayed)


def _plain(value: Any, cleaner: Cleaner | None) -> Any:
    plain = msgspec.to_builtins(value)
    return plain if cleaner is None else cleaner.value(plain)


def _shown(effect: SingleEffect, cleaner: Cleaner | None) -> Any:
    if isinstance(effect, CallTool | Refuse | AskApproval):
        return _plain(effect.arguments, cleaner)
    if isinstance(effect, CallModel) and effect.request.messages:
        return _plain(effect.request.messages[-1], cleaner)
    return None
