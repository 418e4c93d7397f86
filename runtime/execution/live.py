"""The live performer: carries out effects against the ports it is handed."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any, assert_never

import msgspec

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
    Limits,
    Outcome,
    ReadControls,
    Refuse,
    SingleEffect,
    ToolResult,
    Wait,
)
from runtime.core.lanes import parse_lane
from runtime.core.messages import Message, ModelReply
from runtime.core.run import Header
from runtime.execution.asking import ask_desk
from runtime.execution.bounded import SelfCancelledError, TimeLimitError, Watch, bounded
from runtime.execution.faults import held_in, with_children
from runtime.execution.handed import Ports
from runtime.execution.places import SHARED, called, room_of
from runtime.ports.faults import failure_of
from runtime.ports.state import CallState
from runtime.ports.tools import (
    Aftermath,
    ToolContext,
    ToolPort,
)

Answer = tuple[Any, Failure | None]
_NoCall = End | Refuse | Admit | AskApproval | ReadControls | Wait | Input


class LivePerformer:
    """Carries out the effects of one run; `elapsed_s` is the time a resumed run has used before."""

    __slots__ = (
        "_before",
        "_began",
        "_conversation",
        "_elapsed_s",
        "_going_on",
        "_header",
        "_listeners",
        "_monotonic_s",
        "_ports",
        "_room",
        "_streamed",
        "_threads",
        "_watch",
    )

    def __init__(self, ports: Ports, *, elapsed_s: float = 0.0) -> None:
        self._ports = ports
        self._elapsed_s = elapsed_s
        self._monotonic_s = ports.clock.monotonic_s
        self._began = self._monotonic_s() - elapsed_s
        self._header: Header | None = None
        self._room = SHARED
        self._conversation: tuple[Message, ...] = ()
        self._streamed = False
        self._before: Callable[[CallTool], Failure | None] | None = None
        self._listeners: tuple[Callable[[CallTool, ToolResult | None], None], ...] = ()
        self._watch: Watch | None = None
        self._going_on: list[str] = []  # mostly empty, which is smaller than an empty set
        self._threads: list[str] = []  # of calls that began and are not known to have ended

    def elapsed_s(self) -> float:
        """Return the seconds since the run began."""
        return self._monotonic_s() - self._began

    def attend(
        self,
        aftermath: Aftermath,
        *,
        before: Callable[[CallTool], Failure | None] | None = None,
        watch: Watch | None = None,
    ) -> None:
        """Tell somebody of tool calls as they begin and as they end after they were given up.

        Args:
            aftermath: Told of calls that end late.
            before: Asked in the very step of the event loop in which a call begins; a failure keeps it from
                beginning and is its outcome.
            watch: Stops what is under way; `perform` raises `HaltedError` then.
        """
        self._ports = dataclasses.replace(self._ports, aftermath=aftermath)
        self._before = before
        self._watch = watch

    def on_late(self, listener: Callable[[CallTool, ToolResult | None], None]) -> None:
        """Tell somebody of calls that were given up and ended after all."""
        self._listeners = (*self._listeners, listener)

    def goes_on(self, lane: str) -> bool:
        """Return whether a call that was given up still runs."""
        return lane in self._going_on

    async def perform(self, effect: SingleEffect) -> AnyOutcome:
        """Return an effect's outcome; time counts from `Begin`."""
        if isinstance(effect, Begin):
            self._began = self._monotonic_s() - self._elapsed_s
            self._header = effect.header
            self._room = room_of(effect.header)
            return Outcome(at=0.0, duration_s=0.0)
        started = self._monotonic_s()
        if isinstance(effect, CallModel):
            value, failure = await self._call_model(effect)
        elif isinstance(effect, CallTool):
            value, failure = await self._call_tool(effect)
        else:
            value, failure = await self._carry_out(effect)
        ended = self._monotonic_s()
        return Outcome(value, failure, round(ended - self._began, 6), round(ended - started, 6))

    async def _carry_out(self, effect: _NoCall) -> Answer:
        match effect:
            case Admit():
                return Admission(), None
            case AskApproval():
                return await self._ask(effect)
            case ReadControls():
                return Controls(), None
            case Wait(seconds=seconds):
                sleep = self._ports.clock.sleep(seconds)
                watch = self._watch
                await (sleep if watch is None else bounded(sleep, None, watch=watch, lane=effect.lane))
                return None, None
            case Input():
                return await self._input(effect)
            case Refuse() | End():
                return None, None
            case _:
                assert_never(effect)

    async def _input(self, effect: Input) -> Answer:
        inputs = self._ports.inputs
        if inputs is None:
            return InputReply(end="finish"), None
        limit, _ = self._limit_s(self._run_limits())
        try:
            asked = inputs.next(self._conversation)
            return await bounded(asked, limit, watch=self._watch, lane=effect.lane), None
        except TimeLimitError:
            message = "no further input came before the run's time was over"
            return None, Failure(kind=FailureKind.INTERRUPTED, message=message, phase="run", cause="deadline")

    async def _call_model(self, effect: CallModel) -> Answer:
        ports = self._ports
        self._conversation = effect.request.messages
        if ports.observer is not None and self._streamed and parse_lane(effect.lane).attempt > 1:
            ports.observer.on_restart()
        self._streamed = True
        try:
            call = ports.model.call(effect.request, effect.limits, ports.observer)
            answer: object = await self._within(call, effect, f"model {effect.request.model!r}")
        except Exception as error:
            failure = failure_of(error)
            if failure.phase in {"connect", "lost"}:
                return None, failure
            raise
        if isinstance(answer, Failure):
            return None, answer
        if not isinstance(answer, ModelReply):
            message = f"the client of model {effect.request.model!r} gave {type(answer).__name__}, no reply"
            return None, Failure(kind=FailureKind.ERROR, message=message, phase="run")
        return self._priced(effect, answer), None

    def _priced(self, effect: CallModel, reply: ModelReply) -> ModelReply:
        if reply.usage is not None and not reply.usage.is_possible:
            reply = msgspec.structs.replace(reply, usage=None, cost_nanousd=None)
        rate = self._ports.rates.get(effect.request.model)
        if reply.cost_nanousd is not None or reply.usage is None or rate is None:
            return reply
        return msgspec.structs.replace(reply, cost_nanousd=rate.cost(reply.usage))

    async def _call_tool(self, effect: CallTool) -> Answer:
        port = self._ports.tools.get(effect.name)
        header = self._header
        if port is None or header is None:
            return None, Failure(
                kind=FailureKind.ERROR, message=f"tool '{effect.name}' has no implementation here"
            )
        state = None if self._ports.state is None else self._ports.state.call(effect.name)
        kept = None if state is None else state.cached(effect.arguments)
        if kept is not None:
            return self.capped(effect, kept), None
        with self._room.ticket(getattr(port, "kind", None)) as ticket:
            if not ticket.held:
                stopped = await called(ticket, effect, at=self.elapsed_s(), watch=self._watch)
                if stopped is not None:
                    return None, stopped
            return await self._call_port(port, header, effect, state)

    async def _call_port(
        self, port: ToolPort, header: Header, effect: CallTool, state: CallState | None
    ) -> Answer:
        limit = self._limit_s(effect.limits)[0]
        runs = None if self._ports.children is None else self._ports.children(effect)
        context = ToolContext(
            request_id=header.request_id,
            tenant=header.tenant,
            environment=header.environment,
            lane=effect.lane,
            attempt=parse_lane(effect.lane).attempt,
            idempotency_key=effect.limits.idempotency_key,
            seconds_left=limit,
            child=None if runs is None else runs.child,
            on_late=self._late(effect, state),
            state=state,
        )
        try:
            work = self._begun(port, effect, context)
            answer = await self._within(work, effect, f"tool '{effect.name}'", of=effect)
        except Exception as error:  # noqa: BLE001 - the edge where a tool's exception becomes data
            answer = failure_of(error, clean=None if state is None else state.failed)
        self._thread_ended(effect.lane)
        if isinstance(answer, Failure) and state is not None:
            answer = msgspec.structs.replace(answer, message=state.failed(answer.message))
        if runs is not None:
            answer = with_children(effect, answer, runs, claimed=self._before is not None)
        return (None, answer) if isinstance(answer, Failure) else (answer, None)

    async def _begun(self, port: ToolPort, effect: CallTool, context: ToolContext) -> ToolResult | Failure:
        """Begin a call, unless it may not begin any more: other runs had the loop since that was asked last."""
        refused = None if self._before is None else self._before(effect)
        if refused is not None:
            return refused
        if getattr(port, "lingers", False):
            self._threads.append(effect.lane)
        result = await held_in(port.call(effect.bound, context))
        return result if isinstance(result, Failure) else self._told(effect, context.state, result)

    def _told(self, effect: CallTool, state: CallState | None, result: ToolResult) -> ToolResult:
        """Return a result as the model and the log may see it; an artifact is made of what is clean already."""
        return self.capped(effect, result if state is None else state.ended(effect.arguments, result))

    def capped(self, effect: CallTool, result: ToolResult) -> ToolResult:
        """Return a result of a call as a model may see it."""
        return result if self._ports.cap is None else self._ports.cap(effect.name, result)

    async def _ask(self, effect: AskApproval) -> Answer:
        limit, by_deadline = self._limit_s(self._run_limits(effect.timeout_s))
        answer = await ask_desk(self._ports.desk, effect, limit, watch=self._watch)
        if answer is not None:
            return answer, None
        if not by_deadline:
            return ApprovalAnswer(decision="timeout"), None
        message = f"'{effect.name}' was not approved before the run's time was over"
        return None, Failure(kind=FailureKind.INTERRUPTED, message=message, phase="run", cause="deadline")

    def _late(self, effect: CallTool, state: CallState | None) -> Callable[[ToolResult | None], None]:
        def late(result: ToolResult | None) -> None:
            told: ToolResult | None = None
            try:
                told = None if result is None else self._told(effect, state, result)
            finally:  # the slot is free, whatever the result is worth
                self._ended_late(effect, told)

        return late

    def _ended_late(self, effect: CallTool, result: ToolResult | None) -> None:
        """Tell all who listen: first who keeps claims and slots, then who tells people."""
        self._thread_ended(effect.lane)
        self._goes_on_no_more(effect.lane)
        if self._ports.aftermath is not None:
            self._ports.aftermath.ended(effect, result)
        for listener in self._listeners:
            listener(effect, result)

    async def _within(
        self,
        work: Awaitable[Any],
        effect: CallModel | CallTool,
        what: str,
        *,
        of: CallTool | None = None,
    ) -> Any:
        limits = effect.limits
        limit, by_deadline = self._limit_s(limits)
        follow = None if of is None else self._follower(of)
        try:
            return await bounded(work, limit, abandoned=follow, watch=self._watch, lane=effect.lane)
        except asyncio.CancelledError:
            self._mark(effect.lane)
            raise
        except SelfCancelledError as error:
            return Failure(
                kind=FailureKind.ERROR, message=f"{what}: {error}", phase="run", error_type="cancelled"
            )
        except TimeLimitError as error:
            self._mark(effect.lane)
            lingers = error.abandoned is not None or self.goes_on(effect.lane)
            phase = "abandoned" if lingers else "run"
            if by_deadline:
                message = f"{what} was cut off: the run's time is over"
                return Failure(kind=FailureKind.INTERRUPTED, message=message, phase=phase, cause="deadline")
            return Failure(
                kind=FailureKind.TIMEOUT,
                message=f"{what} gave no answer within {limits.timeout_s:g} s",
                retryable=True,
                phase=phase,
                error_type="timeout",
            )

    def _mark(self, lane: str) -> None:
        """Note that a call was given up, if it has a thread that goes on."""
        if lane in self._threads:
            self._threads.remove(lane)
            if lane not in self._going_on:
                self._going_on.append(lane)

    def _thread_ended(self, lane: str) -> None:
        if lane in self._threads:
            self._threads.remove(lane)

    def _goes_on_no_more(self, lane: str) -> None:
        if lane in self._going_on:
            self._going_on.remove(lane)

    def _follower(self, effect: CallTool) -> Callable[[asyncio.Future[Any]], None]:
        """Return what tells the aftermath when an abandoned coroutine ends, and what it gave."""

        def ended(done: asyncio.Future[Any]) -> None:
            result = None if done.cancelled() or done.exception() is not None else done.result()
            self._ended_late(effect, result if isinstance(result, ToolResult) else None)

        def follow(task: asyncio.Future[Any]) -> None:
            self._going_on.append(effect.lane)
            task.add_done_callback(ended)

        return follow

    def _run_limits(self, timeout_s: float | None = None) -> Limits:
        deadline_s = None if self._header is None else self._header.budget.max_seconds
        return Limits(deadline_s=deadline_s, timeout_s=timeout_s)

    def _limit_s(self, limits: Limits) -> tuple[float | None, bool]:
        """Return the seconds an effect may take, and whether the run's deadline is what limits it."""
        if limits.deadline_s is None:
            return limits.timeout_s, False
        left = limits.deadline_s - (self._monotonic_s() - self._began)
        if limits.timeout_s is None or left < limits.timeout_s:
            return left, True
        return limits.timeout_s, False
