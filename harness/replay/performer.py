"""The replay performer: answers effects from a recording, and records each divergence.

Theory of operation. Each recorded interaction has a lane (where in the run) and a key (what was decided, see
`runtime.core.keys`). An effect matches if the interaction at its lane has its key. If not, the key is looked up
elsewhere in the recording, which separates a reordered call from a changed one. Each interaction is used once.

Verdicts, in the order in which they are tried:
- `match`: the lane is recorded with this key.
- `moved`: an unused interaction at another lane has this key.
- `changed`: the lane is recorded and unused, but with another key.
- `repeated`: all interactions with this key are used.
- `extra`: nothing fits.
- `missing`: an interaction that is unused at the end.

Strict replay ends at the first divergence. Collecting replay continues: a moved or changed effect gets the recorded
outcome, a repeated one the last outcome again, and a guard effect a neutral answer. Any other effect fails as
unrecorded, which ends the run.
"""

from __future__ import annotations

from typing import assert_never

from harness.replay.divergence import EffectDivergence, ReplayDivergence, Verdict
from harness.replay.divergence_causes import explain, explain_missing
from harness.replay.matching import NEUTRAL, EffectKeys, RecordingIndex
from runtime.core.effects import (
    KIND_OF,
    Admission,
    Admit,
    AnyOutcome,
    AskApproval,
    Begin,
    CallModel,
    CallTool,
    Controls,
    EffectKind,
    End,
    Failure,
    FailureKind,
    Input,
    Outcome,
    ReadControls,
    Refuse,
    SingleEffect,
    Wait,
    name_of,
)
from runtime.core.keys import Cleaner, Keyer
from runtime.core.lanes import step_of
from runtime.core.run import Header
from runtime.core.stop import StopKind
from runtime.journal.recording import Interaction

_GRANTED = Admission()
_UNCHANGED = Controls()
_UNRECORDED = Failure(
    kind=FailureKind.INTERRUPTED, message="the recording holds no outcome for this call", cause="unrecorded"
)


class RecordedError(Exception):
    """Ends a replay where the recorded run died: in a call that raised and never answered."""


class ReplayPerformer:
    """Answers the effects of one run from a recording."""

    def __init__(
        self, index: RecordingIndex, *, collect: bool = False, cleaner: Cleaner | None = None
    ) -> None:
        self._index = index
        self._collect = collect
        self._cleaner = cleaner
        self._keys = EffectKeys(Keyer(), index.matchers)
        self._uncleaned: list[SingleEffect] | None = None if cleaner is None else []
        self._used: set[str] = set()
        self._now: float | None = None
        self._header: Header | None = None
        self.divergences: list[EffectDivergence] = []
        self.effects: int = 0

    def perform(self, effect: SingleEffect) -> AnyOutcome:
        """Return the recorded outcome of an effect.

        Raises:
            ReplayDivergence: In strict replay, at the first effect that differs from the recording.
        """
        self.effects += 1
        if isinstance(effect, (Begin, End)):
            if isinstance(effect, Begin):
                self._header = effect.header
            return Outcome(at=self._now)
        index = self._index
        lane = effect.lane
        recorded = index.by_lane.get(lane)
        if recorded is None and isinstance(effect, Admit):
            return self._neutral(effect)  # granted admissions, half of all effects, are not recorded
        key = self._keys.key(effect)
        if self._uncleaned is not None:
            self._uncleaned.append(effect)
            if key is not None and (recorded is None or index.keys[lane] != key):
                key = self._clean_keys(self._uncleaned)
        if recorded is not None and index.keys[lane] == key and _same_gate(effect, recorded):
            self._used.add(lane)
            return self._serve(recorded)
        return self._differs(effect, key, recorded)

    def _clean_keys(self, effects: list[SingleEffect]) -> str | None:
        """Use keys of redacted effects from here on; return the key of the last effect so far.

        Recorded keys are made from redacted effects. As long as unredacted effects have the recorded keys, they
        contain no secrets, and redacting them would change nothing. So nothing is searched until a key differs.
        """
        self._uncleaned = None
        self._keys = EffectKeys(Keyer(self._cleaner), self._index.matchers)
        return [self._keys.key(effect) for effect in effects][-1]

    def leftovers(self, stop_reason: str) -> list[EffectDivergence]:
        """Return a divergence for each recorded interaction that was not used."""
        tainted = bool(self.divergences)
        recording = self._index.recording
        unused = [i for i in recording.interactions if i.lane not in self._used and i.kind not in NEUTRAL]
        return [
            EffectDivergence(
                step=step_of(i.lane),
                lane=i.lane,
                kind=i.kind.value,
                name=i.name,
                verdict="missing",
                cause=why.cause,
                summary=why.summary,
                tainted=tainted,
            )
            for i in unused
            for why in (explain_missing(i, stop_reason, recording.header, self._header),)
        ]

    def _serve(self, interaction: Interaction) -> AnyOutcome:
        outcome = interaction.outcome()
        if outcome.at is not None:
            self._now = outcome.at
        if outcome.value is None and outcome.failure is None and not interaction.answered:
            end = self._index.recording.end
            if end is not None and end.stop_reason == StopKind.INTERNAL_ERROR:
                raise RecordedError(end.detail or "the run died in this call")
            return Outcome(failure=_UNRECORDED, at=self._now)
        return outcome

    def _differs(self, effect: SingleEffect, key: str | None, recorded: Interaction | None) -> AnyOutcome:
        kind = KIND_OF[type(effect)]
        if recorded is None and kind in NEUTRAL:
            return self._neutral(effect)
        same_key = [] if key is None else self._index.by_key.get(f"{kind}\0{key}", [])
        unused = next((i for i in same_key if i.lane not in self._used and _same_gate(effect, i)), None)
        if unused is not None:
            self._used.add(unused.lane)
            return self._diverged(effect, "moved", unused, served=unused)
        if recorded is not None and recorded.lane not in self._used:
            self._used.add(recorded.lane)
            served = recorded if recorded.kind is kind and not isinstance(effect, Refuse) else None
            return self._diverged(effect, "changed", recorded, served=served)
        if same_key:
            return self._diverged(effect, "repeated", same_key[-1], served=same_key[-1])
        return self._diverged(effect, "extra", None, served=None)

    def _diverged(
        self,
        effect: SingleEffect,
        verdict: Verdict,
        recorded: Interaction | None,
        *,
        served: Interaction | None,
    ) -> AnyOutcome:
        assert not isinstance(effect, Begin | End)
        why = explain(effect, recorded, self._index.recording, verdict, self._cleaner, self._header)
        divergence = EffectDivergence(
            step=step_of(effect.lane),
            lane=effect.lane,
            kind=KIND_OF[type(effect)].value,
            name=name_of(effect) or (recorded.name if recorded else None),
            verdict=verdict,
            path=why.path,
            cause=why.cause,
            recorded=why.recorded,
            replayed=why.replayed,
            summary=why.summary,
            tainted=bool(self.divergences),
        )
        self.divergences.append(divergence)
        if not self._collect:
            raise ReplayDivergence(divergence)
        if isinstance(effect, Refuse):
            return Outcome(at=self._now)
        if served is None or served.guard:
            return Outcome(failure=_UNRECORDED, at=self._now)
        return self._serve(served)

    def _neutral(self, effect: SingleEffect) -> AnyOutcome:
        match effect:
            case Admit():
                return Outcome(_GRANTED, None, self._now)
            case ReadControls():
                return Outcome(_UNCHANGED, None, self._now)
            case Begin() | End() | CallModel() | CallTool() | Refuse() | AskApproval() | Wait() | Input():
                return Outcome(at=self._now)
            case _:
                assert_never(effect)


def _same_gate(effect: SingleEffect, interaction: Interaction) -> bool:
    """Return whether both calls were started, or both were refused by a guard with the same status."""
    if interaction.kind is not EffectKind.TOOL:
        return interaction.kind is KIND_OF[type(effect)]
    if not isinstance(effect, Refuse):
        return not interaction.guard
    return interaction.guard and interaction.guard_status() == effect.status
