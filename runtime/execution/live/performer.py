"""The live performer: carries out effects against the ports of the world.

It measures each effect and turns whatever happens into an outcome; the jobs themselves stand in the files beside it.
A control store's guard is an optional parameter. It may stop what is under way, refuse a call in the step in which it
would begin, and it stores late ends. The performer that wraps this one is not known here.
"""

from __future__ import annotations

from typing import assert_never

from runtime.core.effects import (
    Admission,
    Admit,
    AnyOutcome,
    ApprovalAnswer,
    AskApproval,
    Begin,
    CallModel,
    CallTool,
    Controls,
    End,
    Failure,
    FailureKind,
    Input,
    InputReply,
    Outcome,
    ReadControls,
    Refuse,
    SingleEffect,
    ToolResult,
    Wait,
)
from runtime.execution.interruption import interruption, past_deadline, queue_refusal
from runtime.execution.live.abandoned import AbandonedCalls, CallGuard, Listener
from runtime.execution.live.approval_desk import ask_desk
from runtime.execution.live.model_call import ModelCalls
from runtime.execution.live.run_time import RunTime
from runtime.execution.live.tool_call import ToolCalls
from runtime.execution.time_limit import HaltedError, TimeLimitError, bounded
from runtime.execution.world import UNBOUND, RunBinding, World

_NoCall = End | Refuse | Admit | AskApproval | ReadControls | Wait | Input
_Answer = ApprovalAnswer | Admission | Controls | InputReply | Failure | None


class LivePerformer:
    """Carries out the effects of one run."""

    __slots__ = ("_abandoned", "_guard", "_models", "_time", "_tools", "_world")

    def __init__(
        self, world: World, binding: RunBinding = UNBOUND, *, guard: CallGuard | None = None
    ) -> None:
        """Stand ready for `Begin`.

        Args:
            world: What answers the run.
            binding: What of the world is bound to the run.
            guard: Guards its calls while they are under way.
        """
        self._world = world
        self._guard = guard
        self._time = RunTime(world.clock, elapsed_s=binding.elapsed_s)
        self._abandoned = AbandonedCalls(guard)
        self._models = ModelCalls(world, binding, self._time, guard)
        self._tools = ToolCalls(world, binding, self._time, guard, self._abandoned)

    def elapsed_s(self) -> float:
        """Return the seconds since the run began."""
        return self._time.elapsed_s()

    def on_late(self, listener: Listener) -> None:
        """Register a callback for calls that end after they were abandoned."""
        self._abandoned.listen(listener)

    def is_abandoned(self, lane: str) -> bool:
        """Return whether a call was abandoned and still runs."""
        return lane in self._abandoned

    def capped(self, effect: CallTool, result: ToolResult) -> ToolResult:
        """Return a result shortened to what a model is shown."""
        return self._tools.capped(effect, result)

    async def perform(self, effect: SingleEffect) -> AnyOutcome:
        """Return an effect's outcome; time counts from `Begin`."""
        time = self._time
        if isinstance(effect, Begin):
            time.begin(effect.header.budget.max_seconds)
            self._tools.begin(effect.header)
            return Outcome(at=0.0, duration_s=0.0)
        started = time.elapsed_s()
        answer: object
        try:
            if isinstance(effect, CallModel):
                answer = await self._models.call(effect)
            elif isinstance(effect, CallTool):
                answer = await self._tools.call(effect)
            else:
                answer = await self._carry_out(effect)
        except HaltedError as halted:
            answer = interruption(halted.cause, begun=True)
        ended = time.elapsed_s()
        value, failure = (None, answer) if isinstance(answer, Failure) else (answer, None)
        return Outcome(value, failure, round(ended, 6), round(ended - started, 6))

    async def _carry_out(self, effect: _NoCall) -> _Answer:
        match effect:
            case Admit():
                late = effect.queued and past_deadline(effect, self._time.elapsed_s())
                return queue_refusal(effect, late=late) or Admission()
            case ReadControls():
                return Controls()
            case AskApproval():
                return await self._ask(effect)
            case Wait(seconds=seconds):
                sleep, guard = self._world.clock.sleep(seconds), self._guard
                await (sleep if guard is None else bounded(sleep, None, watch=guard, lane=effect.lane))
                return None
            case Input():
                return await self._input(effect)
            case Refuse() | End():
                return None
            case _:
                assert_never(effect)

    async def _input(self, effect: Input) -> InputReply | Failure:
        inputs = self._world.inputs
        if inputs is None:
            return InputReply(end="finish")
        limit = self._time.run_limit()
        try:
            following = inputs.next(self._models.conversation)
            return await bounded(following, limit.seconds, watch=self._guard, lane=effect.lane)
        except TimeLimitError:
            return _past_deadline("no further input came before the run's time was over")

    async def _ask(self, effect: AskApproval) -> ApprovalAnswer | Failure:
        limit = self._time.run_limit(effect.timeout_s)
        answer = await ask_desk(self._world.desk, effect, limit.seconds, watch=self._guard)
        if answer is not None:
            return answer
        if not limit.by_deadline:
            return ApprovalAnswer(decision="timeout")
        return _past_deadline(f"'{effect.name}' was not approved before the run's time was over")


def _past_deadline(message: str) -> Failure:
    return Failure(kind=FailureKind.INTERRUPTED, message=message, phase="run", cause="deadline")
