"""Recorded verdicts on arguments: they hold where a run is replayed from its recording alone.

The header keeps JSON Schemas, and a schema cannot say all that the agent's own check says: pydantic refuses more
(a date that is none), and a redacted value (`<secret#1>`) may break a rule that the live value kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runtime.core.canonical import fingerprint
from runtime.core.effects import CallTool, EffectKind, Refuse
from runtime.journal.recording import Recording
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
        self._refused = {
            i.name
            for i in recording.interactions
            if i.guard and i.kind is EffectKind.TOOL and i.guard_status() == "invalid_arguments"
        }

    def check(self, name: str, validate: Callable[[Any], Checked]) -> Callable[[Any], Checked]:
        def recorded_check(arguments: Any) -> Checked:
            checked = validate(arguments)
            if not checked.problems and name not in self._refused:
                return checked
            return self._verdicts().get((name, fingerprint(arguments)), checked)

        return recorded_check

    def _verdicts(self) -> dict[tuple[str, str], Checked]:
        if self._known is None:
            self._known = {}
            for interaction in self._recording.interactions:
                if interaction.kind is EffectKind.TOOL:
                    effect = self._recording.effect(interaction)
                    assert isinstance(effect, CallTool | Refuse)
                    verdict = _verdict(effect)
                    if verdict is not None:
                        self._known[effect.name, fingerprint(effect.arguments)] = verdict
        return self._known


def _verdict(effect: CallTool | Refuse) -> Checked | None:
    """Return what was said of a call's arguments; `None` where a guard refused it for another reason."""
    if isinstance(effect, CallTool):
        return Checked(value=effect.arguments)
    if effect.status != "invalid_arguments":
        return None
    return Checked(problems=tuple(effect.message.split("\n- ")[1:]))
