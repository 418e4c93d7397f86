"""Child runs: a tool starts another agent inside its own call, on a slice of the run's budget.

A child can only narrow: its budget is the smaller of its agent's and what is left of the slice, its tools are those
that both policies allow, and tenant and environment are the parent's. Its request id follows from the parent's and
the call's lane. What it used is charged to the parent with the call's outcome.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from runtime.core.effects import CallTool, Used
from runtime.core.ids import child_request_id
from runtime.core.messages import Message
from runtime.core.money import exact_usd
from runtime.core.policy import Budget, BudgetSlice, LoopLimits, Policy
from runtime.core.run import Header
from runtime.core.trace import Trace
from runtime.entry.agent import Agent
from runtime.execution.shared_slice import SharedSlice

Cut = Callable[[Trace], None]
"""Called with the trace of a child run that was cut off."""
Start = Callable[[Agent, "ChildRequest", SharedSlice, Cut], Awaitable[Any]]
"""Runs a child, which draws from a slice, and returns its `RunResult`."""


class ChildRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request of a child run.

    Attributes:
        prompt: Text or conversation.
        request_id: Follows from the parent's and the call's lane.
        parent: The parent's request id.
        policy: What both policies allow.
        budget: What is left of the slice, and no more than the agent's own.
    """

    prompt: str | tuple[Message, ...]
    request_id: str
    parent: str
    policy: Policy
    budget: Budget


class CallChildren:
    """The child runs of one call; each of their calls draws from its slice (`runtime.execution.shared_slice`).

    A child that is cut off counts with what its calls used and with what those under way may use.

    Attributes:
        in_doubt: Writes in doubt that they left behind; a parent that does not hear of them must not go on.
    """

    def __init__(
        self,
        header: Header,
        call: CallTool,
        start: Start,
        *,
        execution: int = 1,
        above: SharedSlice | None = None,
    ) -> None:
        """Begin with none.

        Args:
            header: Of the run that makes the call.
            call: The call.
            start: Runs a child.
            execution: One that took the run over names its children anew, which repeats no write.
            above: The slice that this run draws from itself, if it is a child.
        """
        self._again = "" if execution == 1 else f"~{execution}"
        self._header = header
        self._call = call
        self._start = start
        self._limit = call.limits.child_budget or BudgetSlice(max_steps=0)
        self._slice = SharedSlice(self._limit, above)
        self._count = 0
        self._wrote = False
        self._open_writers = 0
        self.in_doubt: int = 0

    @property
    def used(self) -> Used:
        """What they used so far."""
        return self._slice.used

    def close(self) -> None:
        """Let them make no further call: the call is over, and nobody would pay for it."""
        self._slice.close()

    @property
    def wrote(self) -> bool:
        """Whether they carried out writes; without claims, a call that is made again would make them again."""
        return self._wrote or self._open_writers > 0

    async def child(self, agent: Agent, prompt: str | Sequence[Message]) -> Any:
        """Run an agent as a child of this call and return its `RunResult`."""
        self._count += 1
        suffix = self._again if self._count == 1 else f"{self._again}#{self._count}"
        request = ChildRequest(
            prompt=prompt if isinstance(prompt, str) else tuple(prompt),
            request_id=child_request_id(self._header.request_id, self._call.lane) + suffix,
            parent=self._header.request_id,
            policy=narrowed_policy(agent, self._header.policy),
            budget=narrowed(agent.budget, self._limit, self._slice.used),
        )
        writes = any(tool.decl.write for tool in agent.tools)
        self._open_writers += writes
        try:
            result = await self._start(agent, request, self._slice, self._cut)
            self._cut(result.trace)
        finally:
            self._open_writers -= writes
        return result

    def _cut(self, trace: Trace) -> None:
        self.in_doubt += trace.totals.in_doubt
        self._wrote |= any(call.write and call.attempts for call in trace.tool_calls)


def narrowed(own: Budget, slice_: BudgetSlice, used: Used) -> Budget:
    """Return the smaller of an agent's budget and what is left of a slice."""
    nanos = _least(own.max_usd_nanos, slice_.max_usd_nanos, used.nanos)
    return Budget(
        max_steps=_least(own.max_steps, slice_.max_steps, used.steps),
        max_seconds=min((s for s in (own.max_seconds, slice_.max_seconds) if s is not None), default=None),
        max_usd=None if nanos is None else exact_usd(nanos),
        max_tokens=_least(own.max_tokens, slice_.max_tokens, used.tokens),
        max_tool_calls=_least(own.max_tool_calls, slice_.max_tool_calls, used.tool_calls),
        max_parallel=own.max_parallel,
    )


def narrowed_policy(agent: Agent, parent: Policy) -> Policy:
    """Return the child's policy: only tools that its parent's allows too, and the rules of both for each."""
    names = {t.name for t in agent.tools}
    allow = agent.policy.allow
    if parent.allow is not None:
        allow = tuple(sorted((names if allow is None else set(allow)) & set(parent.allow)))
    approve = tuple(sorted({*agent.policy.approve, *(set(parent.approve) & names)}))
    arguments = dict(agent.policy.arguments)
    for tool in set(parent.arguments) & names:
        arguments[tool] = (*arguments.get(tool, ()), *parent.arguments[tool])
    return msgspec.structs.replace(
        agent.policy,
        allow=allow,
        approve=approve,
        arguments=arguments,
        scopes=narrowed_scopes(agent.policy.scopes, parent.scopes),
        max_refusals=min(agent.policy.max_refusals, parent.max_refusals),
        loop=_narrowed_loop(agent.policy.loop, parent.loop),
    )


def _narrowed_loop(own: LoopLimits | None, parent: LoopLimits | None) -> LoopLimits | None:
    if own is None or parent is None:
        return parent if own is None else own
    return LoopLimits(
        same_call=min(own.same_call, parent.same_call),
        cycle=min(own.cycle, parent.cycle),
        same_error=min(own.same_error, parent.same_error),
        no_progress=_least(own.no_progress, parent.no_progress, 0),
    )


def narrowed_scopes(own: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return the scopes that both hold; `None` holds every scope."""
    if own is None or other is None:
        return other if own is None else own
    return tuple(sorted(set(own) & set(other)))


def _least(own: int | None, slice_: int | None, used: int) -> int | None:
    left = None if slice_ is None else max(slice_ - used, 0)
    known = [limit for limit in (own, left) if limit is not None]
    return min(known) if known else None
