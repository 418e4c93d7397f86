"""The doors of a run: `run_agent` and `run_agent_async` make one world of what they are given, and start the run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from runtime.core.messages import Message
from runtime.entry.agent import Agent
from runtime.entry.assemble import begin_run, result_of
from runtime.entry.prepare import prepare
from runtime.entry.request import DuplicateRunError, Request, RunResult
from runtime.errors import UsageError
from runtime.execution.clock import Clock, SystemClock
from runtime.execution.governor import Governor
from runtime.execution.world import World, Wrap
from runtime.ports.models import ModelPort, StreamObserver
from runtime.ports.prices import RateSource
from runtime.ports.state import Artifacts, MemoryAudit, SharedState
from runtime.ports.tools import ApprovalDesk, InputSource

__all__ = [
    "DuplicateRunError",
    "Request",
    "RunResult",
    "Wrap",
    "prepare",
    "result_of",
    "run_agent",
    "run_agent_async",
]


async def run_agent_async(
    agent: Agent,
    prompt: str | Sequence[Message] | Request,
    *,
    model: ModelPort | None = None,
    wrap: Wrap | None = None,
    desk: ApprovalDesk | None = None,
    inputs: InputSource | None = None,
    observer: StreamObserver | None = None,
    prices: RateSource | None = None,
    clock: Clock | None = None,
    governor: Governor | None = None,
    state: SharedState | None = None,
    artifacts: Artifacts | None = None,
    audit: MemoryAudit | None = None,
) -> RunResult:
    """Run an agent on a prompt; the result says how it ended.

    Args:
        agent: What runs.
        prompt: The user's text, the conversation so far, or a whole `Request`.
        model: Answers model calls, in place of the agent's client.
        wrap: Puts a recorder or another performer around the live one.
        desk: Decides approvals.
        inputs: Gives further turns.
        observer: Sees text as it streams.
        prices: Price table; the offline snapshot by default.
        clock: Time; the system's by default.
        governor: Guards the run by a control store: switches, rates, slots, breakers, claims, approvals.
        state: What runs keep and share: memory, artifacts, cached results, credentials.
        artifacts: Keeps tool results that are larger than `Agent.max_result_bytes`, in place of the state's; where
            there is neither, a model sees the head of such a result and that the rest was not kept.
        audit: Called with each change of memory before it counts; what it raises undoes the change.

    Raises:
        UsageError: If the run cannot begin as asked.
        DuplicateRunError: If the governor's store knows another run of this request id.
        ControlUnavailable: If the governor's store cannot be used.
        asyncio.CancelledError: If the caller goes away; the run ends with `cancelled`.
    """
    client = model or agent.client
    if client is None:
        raise UsageError(
            f"agent {agent.name!r} has no model client", next_step="pass model=... or set Agent.client"
        )
    world = World(
        model=client,
        desk=desk,
        inputs=inputs,
        observer=observer,
        clock=clock or SystemClock(),
        prices=prices,
        governor=governor,
        state=state,
        artifacts=artifacts,
        audit=audit,
        wrap=wrap,
    )
    request = prompt if isinstance(prompt, Request) else Request(prompt=prompt)
    return await (await begin_run(agent, request, world)).run()


def run_agent(
    agent: Agent,
    prompt: str | Sequence[Message] | Request,
    *,
    model: ModelPort | None = None,
    wrap: Wrap | None = None,
    desk: ApprovalDesk | None = None,
    inputs: InputSource | None = None,
    observer: StreamObserver | None = None,
    prices: RateSource | None = None,
    clock: Clock | None = None,
    governor: Governor | None = None,
    state: SharedState | None = None,
    artifacts: Artifacts | None = None,
    audit: MemoryAudit | None = None,
) -> RunResult:
    """Run an agent on a prompt and wait for its end; all arguments are those of `run_agent_async`.

    Raises:
        UsageError: If the run cannot begin as asked, or an event loop already runs here.
        DuplicateRunError: If the governor's store knows another run of this request id.
        ControlUnavailable: If the governor's store cannot be used.
    """
    if _runs_in_a_loop():
        raise UsageError(
            "run_agent was called inside a running event loop", next_step="await run_agent_async(...)"
        )
    client = model or agent.client
    with asyncio.Runner() as runner:
        try:
            return runner.run(
                run_agent_async(
                    agent,
                    prompt,
                    model=client,
                    wrap=wrap,
                    desk=desk,
                    inputs=inputs,
                    observer=observer,
                    prices=prices,
                    clock=clock,
                    governor=governor,
                    state=state,
                    artifacts=artifacts,
                    audit=audit,
                )
            )
        finally:
            # The model's connections belong to the loop that ends now.
            if client is not None and callable(getattr(client, "aclose", None)):
                runner.run(client.aclose())


def _runs_in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
