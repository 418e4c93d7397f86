"""Recorded verdicts on arguments: they hold where a run is replayed from its recording alone.

The header keeps JSON Schemas, and a schema cannot say all that the agent's own check says: pydantic refuses more
(a date that is none), and a redacted value (`<secret#1>`) may break a rule that the live value kept. Nor does it
say what the tool fills in: the recording keeps that where a person or an argument rule looked at it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from runtime.core.canonical import fingerprint
from runtime.core.effects import AskApproval, CallTool, EffectKind, Refuse, SingleEffect
from runtime.journal.recording import Interaction, Recording
from runtime.orchestrator.setup import Checked, ToolSpec


def hold_verdicts(recording: Recording, specs: Mapping[str, ToolSpec]) -> dict[str, ToolSpec]:
    """Return the tools with checks that say what was said of the recorded arguments, else what the schema says."""
    verdicts = _Verdicts(recording)
    return {n: ToolSpec(decl=s.decl, validate=verdicts.check(n, s.validate)) for n, s in specs.items()}


class _Verdicts:
    """The verdicts of one recording, looked up only where the schema's verdict may be another."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._known: dict[tuple[str, str], Checked] | None = None
        self._filled: dict[tuple[str, str], Any] = {}
        self._doubted = {i.name for i in recording.interactions if _may_differ(i)}

    def check(self, name: str, validate: Callable[[Any], Checked]) -> Callable[[Any], Checked]:
        def recorded_check(arguments: Any) -> Checked:
            checked = validate(arguments)
            if not checked.problems and name not in self._doubted:
                return checked
            call = (name, fingerprint(arguments))
            verdict = self._verdicts().get(call, checked)
            filled = self._filled.get(call)
            return verdict if filled is None else dataclasses.replace(verdict, filled=filled)

        return recorded_check

    def _verdicts(self) -> dict[tuple[str, str], Checked]:
        if self._known is None:
            self._known = {}
            for interaction in self._recording.interactions:
                if interaction.kind in _OF_CALLS:
                    self._note(self._recording.effect(interaction), self._known)
        return self._known

    def _note(self, effect: SingleEffect, known: dict[tuple[str, str], Checked]) -> None:
        match effect:
            case AskApproval():
                if effect.given_hash is not None:
                    self._filled[effect.name, fingerprint(effect.given)] = effect.arguments
            case CallTool() | Refuse():
                call = (effect.name, fingerprint(effect.arguments))
                verdict = _verdict(effect)
                if verdict is not None:
                    known[call] = verdict
                if isinstance(effect, Refuse) and effect.filled is not None:
                    self._filled[call] = effect.filled
            case _:
                pass


_OF_CALLS = frozenset({EffectKind.TOOL, EffectKind.APPROVAL})


def _may_differ(interaction: Interaction) -> bool:
    """Return whether the tool's own check may have said of the call what its schema does not."""
    if interaction.kind is EffectKind.APPROVAL:
        return True
    return (
        interaction.guard
        and interaction.kind is EffectKind.TOOL
        and interaction.guard_status() in {"invalid_arguments", "denied"}
    )


def _verdict(effect: CallTool | Refuse) -> Checked | None:
    """Return what was said of a call's arguments; `None` where a guard refused it for another reason."""
    if isinstance(effect, CallTool):
        return Checked(value=effect.arguments)
    if effect.status != "invalid_arguments":
        return None
    return Checked(problems=tuple(effect.message.split("\n- ")[1:]))
