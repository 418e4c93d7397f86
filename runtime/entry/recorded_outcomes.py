"""The outcomes that a cut-off run's journal holds: a source of known outcomes, for resuming it.

Rules.
1. An effect that was answered has its recorded outcome, whatever the world would say now. The effect must be the one
   that was recorded at its lane; another one means that the agent's code has changed, and the run is not carried on.
2. An intent without outcome was in flight. A read runs again. A write is looked up by its claim: a stored result is
   the outcome, a clean failure lets it run again. Else its tool is asked (`reconcile`). Else it is in doubt, unless
   repeating it does no harm.
3. A guard that let something pass left no record. It is taken as passed where what it guards was begun.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
    ReadControls,
    SingleEffect,
)
from runtime.core.keys import Cleaner, Keyer
from runtime.core.lanes import call_lane, parse_lane
from runtime.core.run import ToolDecl
from runtime.entry.assemble import RunParts
from runtime.entry.claim_lookup import ClaimLookup
from runtime.errors import UsageError
from runtime.execution.guarded.in_doubt import Reconciler
from runtime.journal.recording import Interaction, Recording
from runtime.ports.performers import PerformerError
from runtime.ports.tools import Reconcile


class ResumeRefusedError(PerformerError):
    """The run cannot be carried on as it was recorded.

    Attributes:
        reason: The error for the caller.
    """

    def __init__(self, reason: UsageError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def elapsed_s(recording: Recording) -> float:
    """Return the seconds that a run had used by its last record."""
    times = [i.record.at for i in recording.interactions if i.record.at is not None]
    return max(times, default=0.0)


class RecordedOutcomes:
    """Answers effects from a cut-off run's recording; see the rules of this module."""

    def __init__(
        self,
        recording: Recording,
        parts: RunParts,
        *,
        claims: ClaimLookup | None = None,
        reconcile: Mapping[str, Reconcile],
        cleaner: Callable[[], Cleaner | None],
        began: Callable[[], None] | None = None,
    ) -> None:
        """Index the recording.

        Args:
            recording: The run as it was cut off.
            parts: The resumed run.
            claims: Looks up writes in the store that guards the run.
            reconcile: How tools find out what became of a write, by tool name.
            cleaner: Makes what took secrets out of the recording; each numbers the secrets of the run anew.
            began: Called once, before anything is carried out; what it raises keeps all from being carried out.
        """
        self._recording = recording
        self._parts = parts
        self._claims = claims
        self._began = began
        self._by_lane = {i.lane: i for i in recording.interactions}
        self._at = elapsed_s(recording)
        self._reconciler = Reconciler(reconcile, None, lambda: self._at)
        self._keyer = Keyer(cleaner())
        self._cleaner = cleaner()
        self._refused: ResumeRefusedError | None = None
        self._has_begun = False

    async def answer(self, effect: SingleEffect) -> AnyOutcome | None:
        """Return the outcome of an effect as far as it is known without carrying it out.

        Raises:
            ResumeRefusedError: If the effect is not the one that was recorded at its lane, or may not be carried out.
        """
        if isinstance(effect, Begin | End):
            return None
        try:
            known = await self._known(effect)
            if known is None:
                self._begin()
        except UsageError as error:
            # Latched: the other calls of this turn must not be carried out either.
            self._refused = ResumeRefusedError(error)
            raise self._refused from error
        return known

    def _begin(self) -> None:
        """Let an effect be carried out; the first time, say so before."""
        if self._refused is not None:
            raise self._refused
        if not self._has_begun and self._began is not None:
            self._began()
        self._has_begun = True

    async def _known(self, effect: SingleEffect) -> AnyOutcome | None:
        assert not isinstance(effect, Begin | End)
        recorded = self._by_lane.get(effect.lane)
        # Keys are made in order: messages and numbered secrets build on what came before.
        key = self._keyer.key(effect)
        if recorded is None:
            return self._passed(effect)
        if recorded.kind is not KIND_OF[type(effect)] or recorded.key != key:
            raise UsageError(
                f"the agent asks for {type(effect).__name__} at {effect.lane}, which is not what was recorded there",
                where=self._recording.source,
                next_step="resume with the code that began the run, or start a new run",
            )
        if recorded.answered:
            return None if self._is_approved_otherwise(effect, recorded) else recorded.outcome()
        if isinstance(effect, CallTool) and effect.write:
            return await self._in_flight(effect, recorded)
        if isinstance(effect, CallTool) and self._claims is None and self._starts_runs(effect):
            # Its own answer does no harm twice, but no claim keeps the writes of its child runs from being repeated.
            return self._doubt(f"the process ended while child runs of '{effect.name}' may have written")
        return None

    async def _in_flight(self, effect: CallTool, recorded: Interaction) -> AnyOutcome | None:
        """Return what became of a write that was in flight; `None` if it may be carried out."""
        intent = recorded.intent or recorded.record
        key = intent.limits.idempotency_key if intent.limits else effect.limits.idempotency_key
        if self._parts.guard is not None:
            key = self._parts.guard.claims.key_of(effect) or key
        claims = self._claims
        if claims is not None and key is not None:
            done = await claims.result(key)
            if done is not None:
                return Outcome(self._parts.live.capped(effect, done), None, self._at)
            if await claims.never_happened(key):
                return None
        if effect.name in self._reconciler.tools and key is not None:
            return await self._reconciled(effect, key)
        decl = next((t for t in self._decls() if t.schema.name == effect.name), None)
        if decl is not None and decl.repeatable:
            if claims is not None and key is not None:
                await claims.settle(key, None)
            return None
        return self._doubt(
            f"the process ended while '{effect.name}' was running; whether it happened is not known"
        )

    async def _reconciled(self, effect: CallTool, key: str) -> AnyOutcome | None:
        """Return the outcome that the tool found out; `None` if the call did not happen."""
        answer = await self._reconciler.ask(effect, key)
        if isinstance(answer, str):
            return self._doubt(f"an earlier call of '{effect.name}' may have happened; {answer}")
        if self._claims is not None:
            await self._claims.settle(key, answer.result)
        if answer.result is None:
            return None
        return Outcome(self._parts.live.capped(effect, answer.result), None, self._at)

    def _doubt(self, message: str) -> AnyOutcome:
        return Outcome(None, Failure(kind=FailureKind.IN_DOUBT, message=message, phase="run"), self._at)

    def _is_approved_otherwise(self, effect: SingleEffect, recorded: Interaction) -> bool:
        """Return whether a recorded approval is of a call that would be carried out in another way now.

        Defaults may be made anew for each process. A call that was made already stays as it was.
        """
        if not isinstance(effect, AskApproval):
            return False
        call = self._by_lane.get(call_lane(effect.lane))
        approved = self._recording.effect(recorded)
        if (call is not None and call.answered) or not isinstance(approved, AskApproval):
            return False
        now = effect.arguments if self._cleaner is None else self._cleaner.value(effect.arguments)
        return fingerprint(now) != fingerprint(approved.arguments)

    def _decls(self) -> tuple[ToolDecl, ...]:
        tools = self._recording.header.tools
        return () if tools == "opaque" else tools

    def _starts_runs(self, effect: CallTool) -> bool:
        return any(t.children for t in self._decls() if t.schema.name == effect.name)

    def _passed(self, effect: SingleEffect) -> AnyOutcome | None:
        """Return that a guard without a record let something pass, if what it guards was begun."""
        match effect:
            case Admit() if call_lane(effect.lane) in self._by_lane:
                return Outcome(Admission())
            case ReadControls() if self._has_tools(parse_lane(effect.lane).step):
                return Outcome(Controls())
            case _:
                return None

    def _has_tools(self, step: int) -> bool:
        lanes = (parse_lane(lane) for lane in self._by_lane)
        return any(lane.step == step and lane.what == "tool" for lane in lanes)
