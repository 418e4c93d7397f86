"""One tool call: its slot, its context, its time limit, and what its exception or its late end becomes.

The order matters. A kept result needs no slot. A call waits for its slot before its time limit begins. The guard is
asked in the step of the event loop in which the call begins: between that step and the claim other runs had the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from runtime.core.effects import CallTool, Failure, FailureKind, ToolResult
from runtime.core.lanes import parse_lane
from runtime.core.run import Header
from runtime.errors import Signal
from runtime.execution.live.abandoned import AbandonedCalls, CallGuard
from runtime.execution.live.child_runs import with_children
from runtime.execution.live.run_time import EffectLimit, RunTime
from runtime.execution.live.timeouts import cancelled_inside, timed_out
from runtime.execution.thread_slots import SHARED, slots_of, wait_for_slot
from runtime.execution.time_limit import SelfCancelledError, TimeLimitError, bounded
from runtime.execution.world import RunBinding, World
from runtime.ports.state import CallState
from runtime.ports.tool_failures import failure_of
from runtime.ports.tools import ChildRuns, ToolContext, ToolPort


class ToolCalls:
    """Makes the tool calls of one run."""

    __slots__ = ("_abandoned", "_binding", "_guard", "_header", "_slots", "_time", "_tools")

    def __init__(
        self,
        world: World,
        binding: RunBinding,
        time: RunTime,
        guard: CallGuard | None,
        abandoned: AbandonedCalls,
    ) -> None:
        self._tools = world.tools or {}
        self._binding = binding
        self._time = time
        self._guard = guard
        self._abandoned = abandoned
        self._header: Header | None = None
        self._slots = SHARED

    def begin(self, header: Header) -> None:
        """Make calls for a run from now on."""
        self._header = header
        self._slots = slots_of(header)

    async def call(self, effect: CallTool) -> ToolResult | Failure:
        """Return a tool's result, or why there is none.

        Raises:
            HaltedError: If the guard stopped the call.
        """
        port, header = self._tools.get(effect.name), self._header
        if port is None or header is None:
            message = f"tool '{effect.name}' has no implementation here"
            return Failure(kind=FailureKind.ERROR, message=message)
        binding = self._binding
        state = None if binding.state is None else binding.state.call(effect.name)
        kept = None if state is None else state.cached(effect.arguments)
        if kept is not None:
            return self.capped(effect, kept)
        with self._slots.ticket(getattr(port, "kind", None)) as ticket:
            if not ticket.held:
                stopped = await wait_for_slot(ticket, effect, at=self._time.elapsed_s(), watch=self._guard)
                if stopped is not None:
                    return stopped
            limit = self._time.limit(effect.limits)
            children = None if binding.children is None else binding.children(effect)
            work = self._carry_out(port, effect, self._context(header, effect, limit, children, state))
            try:
                answer = await bounded(
                    work,
                    limit.seconds,
                    abandoned=self._abandoned.follow(effect),
                    watch=self._guard,
                    lane=effect.lane,
                )
            except asyncio.CancelledError:
                # The caller went away or the guard stopped the call; its thread, if it has one, goes on.
                self._abandoned.abandon(effect.lane)
                raise
            except SelfCancelledError as error:
                answer = cancelled_inside(f"tool '{effect.name}'", error)
            except TimeLimitError as error:
                answer = self._timed_out(effect, limit, error)
            except Exception as error:  # noqa: BLE001 - the edge where a tool's exception becomes data
                answer = failure_of(error, clean=None if state is None else state.failed)
            finally:
                if children is not None:
                    # What they used is reported now; a child of an abandoned call must use no more.
                    children.close()
            return self._ended(effect, answer, children, state)

    def _context(
        self,
        header: Header,
        effect: CallTool,
        limit: EffectLimit,
        children: ChildRuns | None,
        state: CallState | None,
    ) -> ToolContext:
        return ToolContext(
            request_id=header.request_id,
            tenant=header.tenant,
            environment=header.environment,
            lane=effect.lane,
            attempt=parse_lane(effect.lane).attempt,
            idempotency_key=effect.limits.idempotency_key,
            seconds_left=limit.seconds,
            child=None if children is None else children.child,
            on_late=self._late(effect, state),
            state=state,
        )

    async def _carry_out(
        self, port: ToolPort, effect: CallTool, context: ToolContext
    ) -> ToolResult | Failure:
        """Begin a call unless the guard refuses it now, and return what it gives."""
        refused = None if self._guard is None else self._guard.refusal(effect)
        if refused is not None:
            return refused
        if getattr(port, "can_be_abandoned", False):
            self._abandoned.thread_began(effect.lane)
        try:
            result = await port.call(effect.bound, context)
        except (Exception, asyncio.CancelledError, KeyboardInterrupt, Signal):
            raise
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a tool must not end the process's other runs
            return failure_of(error)
        return self._shown(effect, context.state, result)

    def _shown(self, effect: CallTool, state: CallState | None, result: ToolResult) -> ToolResult:
        """Return a result as the model and the log may see it; an artifact is made of what is clean already."""
        return self.capped(effect, result if state is None else state.ended(effect.arguments, result))

    def capped(self, effect: CallTool, result: ToolResult) -> ToolResult:
        """Return a result shortened to what a model is shown."""
        cap = self._binding.cap
        return result if cap is None else cap(effect.name, result)

    def _timed_out(self, effect: CallTool, limit: EffectLimit, error: TimeLimitError) -> Failure:
        self._abandoned.abandon(effect.lane)
        goes_on = error.abandoned is not None or effect.lane in self._abandoned
        phase = "abandoned" if goes_on else "run"
        return timed_out(f"tool '{effect.name}'", effect.limits, limit, phase=phase)

    def _ended(
        self,
        effect: CallTool,
        answer: ToolResult | Failure,
        children: ChildRuns | None,
        state: CallState | None,
    ) -> ToolResult | Failure:
        self._abandoned.ended(effect.lane)
        if isinstance(answer, Failure) and state is not None:
            answer = msgspec.structs.replace(answer, message=state.failed(answer.message))
        if children is None:
            return answer
        return with_children(effect, answer, children, claimed=self._guard is not None)

    def _late(self, effect: CallTool, state: CallState | None) -> Callable[[ToolResult | None], None]:
        """Return what a thread calls with its result if it ends after its call was abandoned."""

        def late(result: ToolResult | None) -> None:
            shown: ToolResult | None = None
            try:
                shown = None if result is None else self._shown(effect, state, result)
            finally:  # the lease is free, whatever the result is worth
                self._abandoned.end_late(effect, shown)

        return late
