"""Matching: verdicts by dictionary look-up of lane and key; nothing is scanned and no diff is made here."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from runtime.core.canonical import fingerprint
from runtime.core.effects import RETIRED_KINDS, CallModel, CallTool, EffectKind, Refuse, SingleEffect
from runtime.core.keys import IdNames, Keyer, rename_ids, tool_key
from runtime.core.messages import Message
from runtime.core.stop import StopKind
from runtime.journal.recording import Interaction, Recording

ModelMatcher = Literal["strict", "position", "last_message"]

NEUTRAL = frozenset({EffectKind.ADMIT, EffectKind.CONTROLS, EffectKind.WAIT, *RETIRED_KINDS})
"""Guard effects, and records that no effect asks for any more: answered neutrally where they are not
recorded, and never missed."""


class Matchers(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a call must be as recorded.

    Attributes:
        model: `strict` compares the whole request, `last_message` its last message, `position` only the lane.
        ignore: Argument paths of tool calls that may differ, for example `request.at`.
    """

    model: ModelMatcher = "strict"
    ignore: tuple[str, ...] = ()


STRICT = Matchers()


class RecordingIndex:
    """A recording's interactions by lane and by key; built once, shared by replays of the same recording."""

    def __init__(self, recording: Recording, matchers: Matchers = STRICT) -> None:
        self.recording = recording
        self.matchers = matchers
        self.by_lane: dict[str, Interaction] = {}
        self.keys: dict[str, str | None] = {}
        self.by_key: dict[str, list[Interaction]] = {}
        for interaction in recording.interactions:
            key = self._key(interaction)
            self.by_lane[interaction.lane] = interaction
            self.keys[interaction.lane] = key
            if key is not None:
                self.by_key.setdefault(f"{interaction.kind}\0{key}", []).append(interaction)

    @property
    def is_cut_off(self) -> bool:
        """Whether the run ended where its flow did not: its process died, or a fault ended it."""
        reason = self.recording.stop_reason
        if reason == StopKind.INTERNAL_ERROR:
            # A call in flight shows where it died; what has no record of its begin leaves only the end of the file.
            return all(interaction.answered for interaction in self.recording.interactions)
        return reason == StopKind.CRASHED

    def _key(self, interaction: Interaction) -> str | None:
        matchers = self.matchers
        if interaction.kind is EffectKind.MODEL and matchers.model != "strict":
            if matchers.model == "position":
                return "position"
            return last_message_key(self.recording.messages(interaction))
        if interaction.kind is EffectKind.TOOL and matchers.ignore:
            effect = self.recording.effect(interaction)
            assert isinstance(effect, CallTool | Refuse)
            return loose_tool_key(effect.name, effect.arguments, matchers.ignore)
        return interaction.key


class EffectKeys:
    """Keys of the effects of one replayed run, by the same matchers as the index."""

    def __init__(self, keyer: Keyer, matchers: Matchers) -> None:
        self._keyer = keyer
        self._matchers = matchers
        self._exact = matchers == STRICT

    def key(self, effect: SingleEffect) -> str | None:
        """Return the key to look an effect up by; `None` where the lane alone decides."""
        if self._exact:
            return self._keyer.key(effect)
        matchers = self._matchers
        if isinstance(effect, CallModel) and matchers.model != "strict":
            if matchers.model == "position":
                return "position"
            return last_message_key(effect.request.messages)
        if isinstance(effect, CallTool | Refuse) and matchers.ignore:
            return loose_tool_key(effect.name, effect.arguments, matchers.ignore)
        return self._keyer.key(effect)


def last_message_key(messages: tuple[Message, ...]) -> str:
    """Return the key of a conversation's last message, ids renamed."""
    if not messages:
        return fingerprint([])
    return fingerprint(rename_ids(messages[-1], IdNames()))


def loose_tool_key(name: str, arguments: Any, ignore: tuple[str, ...]) -> str:
    """Return the key of a tool call without the ignored argument paths."""
    kept = arguments
    for path in ignore:
        kept = _without(kept, path.split("."))
    return tool_key(name, fingerprint(kept))


def _without(value: Any, path: list[str]) -> Any:
    if not isinstance(value, dict) or path[0] not in value:
        return value
    rest = {k: v for k, v in value.items() if k != path[0]}
    if len(path) > 1:
        rest[path[0]] = _without(value[path[0]], path[1:])
    return rest
