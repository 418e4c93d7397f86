"""Answers the effects of a resumed run: from its journal what was completed, live what was not."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from harness.replay.matching import NEUTRAL, EffectKeys, RecordingIndex
from harness.sessions.claims import Claims
from harness.sessions.redactors import redactor_for
from runtime.core.canonical import fingerprint
from runtime.core.effects import (
    KIND_OF,
    Admission,
    Admit,
    AnyOutcome,
    AskApproval,
    Begin,
    CallTool,
    Controls,
    End,
    Failure,
    FailureKind,
    Outcome,
    Performer,
    ReadControls,
    SingleEffect,
    ToolResult,
)
from runtime.core.keys import Keyer
from runtime.core.lanes import step_of
from runtime.core.run import ToolDecl
from runtime.errors import UsageError
from runtime.execution.drivers import PerformerError
from runtime.execution.governed import GovernedPerformer
from runtime.execution.reconciling import Reconciler
from runtime.journal.builder import RecordBuilder
from runtime.journal.files import JournalWriter
from runtime.journal.recording import Interaction, Recording
from runtime.ports.state import RunState
from runtime.ports.tools import Reconcile


def elapsed_s(recording: Recording) -> float:
    """Return the seconds that a run had used by its last record."""
    times = [i.record.at for i in recording.interactions if i.record.at is not None]
    return max(times, default=0.0)


class ResumePerformer:
    """Answers what was recorded, carries out the rest, and records the whole run again.

    Attributes:
        refused: Why the run cannot be carried on, if that showed; nothing is carried out or recorded from then on.
        has_begun: Whether anything was carried out.
    """

    def __init__(
        self,
        recording: Recording,
        live: Performer,
        journal: JournalWriter,
        *,
        claims: Claims | None = None,
        reconcile: Mapping[str, Reconcile] | None = None,
        state: RunState | None = None,
        began: Callable[[], None] | None = None,
        cap: Callable[[CallTool, ToolResult], ToolResult] = lambda _, result: result,
    ) -> None:
        self.refused: UsageError | None = None
        self.has_begun = False
        self._began = began
        self._state = state
        self._recording = recording
        self._index = RecordingIndex(recording)
        self._live = live
        self._journal = journal
        self._claims = claims
        self._cap = cap
        self._reconciler = Reconciler(reconcile or {}, None, lambda: elapsed_s(recording))
        self._cleaner = redactor_for(recording, os.environ)
        self._keys = EffectKeys(Keyer(redactor_for(recording, os.environ)), self._index.matchers)
        self._builder = RecordBuilder(
            run=recording.header.run_id, cleaner=redactor_for(recording, os.environ)
        )
        self._begun = {(step_of(i.lane), i.lane.partition(".")[2]) for i in recording.interactions}

    async def perform(self, effect: SingleEffect) -> AnyOutcome:
        """Return the recorded outcome of an effect, or carry it out.

        Raises:
            PerformerError: If the effect is not the one that was recorded at its lane, or may not be carried out.
        """
        try:
            known = await self._answer(effect)
            if known is None and not isinstance(effect, Begin | End):
                self._begin()
        except UsageError as error:
            self.refused = error
            raise PerformerError(str(error)) from error
        if known is not None and self._state is not None and isinstance(known.value, ToolResult):
            self._state.restore(known.value.saved or {})
        return await self._recorded(effect, known)

    def _begin(self) -> None:
        if self.refused is not None:
            raise self.refused
        if not self.has_begun and self._began is not None:
            self._began()
        self.has_begun = True

    async def _answer(self, effect: SingleEffect) -> AnyOutcome | None:
        """Return the outcome that is known without doing anything; `None` if the effect must be carried out."""
        if isinstance(effect, Begin | End):
            return None
        found = self._index.by_lane.get(effect.lane)
        key = self._keys.key(effect)
        if found is None:
            return self._neutral(effect) if self._was_passed(effect) else None
        if found.kind is not KIND_OF[type(effect)] or self._index.keys[effect.lane] != key:
            raise UsageError(
                f"the agent asks for {type(effect).__name__} at {effect.lane}, which is not what was recorded there",
                where=self._recording.source,
                next_step="resume with the code that began the run, or start a new run",
            )
        if found.answered:
            return None if self._is_approved_otherwise(effect, found) else found.outcome()
        return await self._in_flight(effect, found)

    async def _in_flight(self, effect: SingleEffect, found: Interaction) -> AnyOutcome | None:
        if not isinstance(effect, CallTool) or not effect.write:
            return None
        intent = found.intent or found.record
        key = intent.limits.idempotency_key if intent.limits else effect.limits.idempotency_key
        if isinstance(self._live, GovernedPerformer):
            key = self._live.claim_key(effect) or key
        done = None if self._claims is None or key is None else self._claims.result(key)
        at = elapsed_s(self._recording)
        if done is not None:
            return Outcome(self._cap(effect, done), None, at)
        if self._claims is not None and key is not None and self._claims.never_happened(key):
            return None
        if effect.name in self._reconciler.tools and key is not None:
            return await self._reconciled(effect, key, at)
        decl = next((t for t in self._decls() if t.schema.name == effect.name), None)
        if decl is not None and decl.repeatable:
            if self._claims is not None and key is not None:
                self._claims.settle(key, None)
            return None
        message = f"the process ended while '{effect.name}' was running; whether it happened is not known"
        return Outcome(None, Failure(kind=FailureKind.IN_DOUBT, message=message, phase="run"), at)

    async def _reconciled(self, effect: CallTool, key: str, at: float) -> AnyOutcome | None:
        """Return the outcome that was found out; `None` if the call did not happen; in doubt if nobody can tell."""
        found = await self._reconciler.ask(effect, key)
        if isinstance(found, str):
            message = f"an earlier call of '{effect.name}' may have happened; {found}"
            return Outcome(None, Failure(kind=FailureKind.IN_DOUBT, message=message, phase="run"), at)
        if self._claims is not None:
            self._claims.settle(key, found.result)
        return None if found.result is None else Outcome(self._cap(effect, found.result), None, at)

    def _is_approved_otherwise(self, effect: SingleEffect, found: Interaction) -> bool:
        """Return whether a recorded approval is of a call that would be carried out in another way now.

        Defaults may be made anew for each process. A call that was made already stays as it was.
        """
        if not isinstance(effect, AskApproval):
            return False
        call = self._index.by_lane.get(effect.lane.replace("approval", "tool", 1))
        recorded = self._recording.effect(found)
        if (call is not None and call.answered) or not isinstance(recorded, AskApproval):
            return False
        now = effect.arguments if self._cleaner is None else self._cleaner.value(effect.arguments)
        return fingerprint(now) != fingerprint(recorded.arguments)

    def _decls(self) -> tuple[ToolDecl, ...]:
        tools = self._recording.header.tools
        return () if tools == "opaque" else tools

    def _was_passed(self, effect: SingleEffect) -> bool:
        """Return whether a guard without a record was passed before the crash: what it guards was begun."""
        if KIND_OF[type(effect)] not in NEUTRAL:
            return False
        assert not isinstance(effect, Begin | End)
        step, _, rest = effect.lane.partition(".")
        if isinstance(effect, ReadControls):
            return any(s == int(step) and name.startswith("tool") for s, name in self._begun)
        guarded = rest.replace("admit/", "model/").replace("admit", "tool")
        return (int(step), guarded) in self._begun

    def _neutral(self, effect: SingleEffect) -> AnyOutcome:
        match effect:
            case Admit():
                return Outcome(Admission(), None, None)
            case ReadControls():
                return Outcome(Controls(), None, None)
            case _:
                return Outcome()

    async def _recorded(self, effect: SingleEffect, known: AnyOutcome | None) -> AnyOutcome:
        intent = self._builder.intent(effect)
        if intent is not None:
            self._journal.append(intent)
        outcome = await self._live.perform(effect) if known is None else known
        root = self._journal.root(self._recording.header.run_id) if isinstance(effect, End) else None
        record = self._builder.outcome(effect, outcome, root=root)
        if record is not None:
            self._journal.append(record)
        return outcome
