"""Start a run: request id, tenant and environment bound, budget checked, ports wired, flow driven."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace

from runtime.core.canonical import fingerprint
from runtime.core.effects import Performer
from runtime.core.messages import Message
from runtime.core.run import Header
from runtime.core.stop import StopKind
from runtime.entry.agent import Agent
from runtime.entry.children import ChildRequest, Cut, Start
from runtime.entry.prepare import prepare
from runtime.entry.request import Request, RunResult
from runtime.entry.state import State
from runtime.entry.wiring import Given, wire
from runtime.errors import UsageError
from runtime.execution.clock import Clock, SystemClock
from runtime.execution.drivers import Finished, drive_async
from runtime.execution.governed import GovernedPerformer
from runtime.execution.governor import Governor
from runtime.execution.live import LivePerformer
from runtime.orchestrator.loop import run_flow
from runtime.orchestrator.setup import RunSetup
from runtime.ports.control_values import Run
from runtime.ports.models import ModelPort, StreamObserver
from runtime.ports.prices import RateSource
from runtime.ports.state import Artifacts, MemoryAudit
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

Wrap = Callable[[Performer], Performer]
"""Puts a performer around another: a recorder, a fault injector."""


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
    state: State | None = None,
    artifacts: Artifacts | None = None,
    audit: MemoryAudit | None = None,
) -> RunResult:
    """Run an agent on a prompt; the result says how it ended.

    Args:
        agent: What runs.
        prompt: The user's text, the conversation so far, or a whole `Request`.
        model: Answers model calls, in place of the agent's client.
        wrap: Puts a recorder or another performer around the live one.
        desk: Asked for approvals.
        inputs: Gives further turns.
        observer: Sees text as it streams.
        prices: Price table; the offline snapshot by default.
        clock: Time; the system's by default.
        governor: Guards the run by a control store: switches, rates, slots, breakers, claims, approvals.
        state: What runs keep and share: memory, artifacts, cached results, credentials.
        artifacts: Keeps tool results that are larger than `Agent.max_result_bytes`, in place of the state's; where
            there is neither, a model sees the head of such a result and that the rest was not kept.
        audit: Told of each change of memory before it counts; what it raises undoes the change.

    Raises:
        UsageError: If the run cannot begin as asked.
        DuplicateRunError: If the governor's store knows another run of this request id.
        ControlUnavailable: If the governor's store cannot be used.
        asyncio.CancelledError: If the caller goes away; the run ends with `cancelled`.
    """
    given = Given(
        model=_client(agent, model),
        desk=desk,
        inputs=inputs,
        observer=observer,
        clock=clock,
        state=state,
        artifacts=artifacts,
        audit=audit,
    )
    request = prompt if isinstance(prompt, Request) else Request(prompt=prompt)
    return await _run(agent, request, given, Around(wrap, prices, governor))


@dataclass(frozen=True, slots=True)
class Around:
    """What surrounds a run and its children alike: recorder, prices, governor."""

    wrap: Wrap | None = None
    prices: RateSource | None = None
    governor: Governor | None = None


async def _run(
    agent: Agent, request: Request, given: Given, around: Around, *, cut: Cut | None = None
) -> RunResult:
    governor = around.governor
    setup = prepare(
        agent,
        request,
        prices=around.prices,
        started_at=_stamp(given.clock or SystemClock()),
        inputs="none" if given.inputs is None else "recorded",
        rules=None if governor is None else governor.rules,
    )
    header = setup.header
    live = wire(agent, header, given, start=child_starter(header, given, around)).live

    def told(finished: Finished) -> None:
        if cut is not None:
            cut(finished.trace)

    if governor is not None:
        return await _governed(agent, setup, live, given, around, told)
    performer: Performer = live if around.wrap is None else around.wrap(live)
    return result_of(header, await drive_async(run_flow(setup), performer, header, cut=told))


def child_starter(parent: Header, given: Given, around: Around) -> Start:
    """Return what starts the child runs of a run: in the same world, recorded and guarded alike."""

    async def start(child: Agent, asked: ChildRequest, cut: Cut) -> RunResult:
        own = replace(given, model=child.client or given.model, inputs=None, observer=None)
        return await _run(child, _child_request(asked, parent), own, around, cut=cut)

    return start


async def _governed(
    agent: Agent,
    setup: RunSetup,
    live: LivePerformer,
    given: Given,
    around: Around,
    told: Callable[[Finished], None],
) -> RunResult:
    header, governor = setup.header, around.governor
    assert governor is not None
    payload = fingerprint([agent.name, header.input, header.policy_hash])
    opened = governor.open_run(header, payload_hash=payload)
    if not opened.first:
        raise DuplicateRunError(opened.run, conflict=opened.conflict)
    guard = governor.attend(header, fencing=opened.run.fencing)
    reconcile = {t.name: t.reconcile for t in agent.tools if t.reconcile is not None}
    governed = GovernedPerformer(live, guard, governor.store, desk=given.desk, reconcile=reconcile)
    live.attend(governed, before=governed.before, watch=guard)
    stop_reason = StopKind.INTERNAL_ERROR.value

    def cut(finished: Finished) -> None:
        nonlocal stop_reason
        stop_reason = finished.end.stop_reason
        told(finished)

    try:
        performer: Performer = governed if around.wrap is None else around.wrap(governed)
        finished = await drive_async(run_flow(setup), performer, header, cut=cut)
        stop_reason = finished.end.stop_reason
        return result_of(header, finished)
    finally:
        # `End` closes the guard; this is for runs that could not even perform it.
        await guard.close(stop_reason)


def _child_request(asked: ChildRequest, header: Header) -> Request:
    return Request(
        prompt=asked.prompt,
        tenant=header.tenant,
        environment=header.environment,
        request_id=asked.request_id,
        deploy=header.deploy,
        source=header.source,
        suite=header.suite,
        task=header.task,
        repeat=header.repeat,
        parent=asked.parent,
        root=header.root or header.request_id,
        policy=asked.policy,
        budget=asked.budget,
    )


class DuplicateRunError(UsageError):
    """A request id was delivered before.

    Attributes:
        run: The run of the first delivery, as the index knows it.
        conflict: Whether the first delivery asked for something else.
    """

    def __init__(self, run: Run, *, conflict: bool) -> None:
        self.run = run
        self.conflict = conflict
        said = "for another request" if conflict else "before"
        super().__init__(
            f"request id {run.key.request_id!r} was used {said}",
            next_step="send each request under an id of its own",
        )


def run_agent(
    agent: Agent,
    prompt: str | Sequence[Message] | Request,
    *,
    model: ModelPort | None = None,
    wrap: Wrap | None = None,
    desk: ApprovalDesk | None = None,
    prices: RateSource | None = None,
    clock: Clock | None = None,
    governor: Governor | None = None,
    state: State | None = None,
) -> RunResult:
    """Run an agent on a prompt and wait for its end; see `run_agent_async`.

    Raises:
        UsageError: If the run cannot begin as asked, or an event loop already runs here.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        port = model or agent.client
        run = run_agent_async(
            agent,
            prompt,
            model=port,
            wrap=wrap,
            desk=desk,
            prices=prices,
            clock=clock,
            governor=governor,
            state=state,
        )
        return asyncio.run(_then_close(run, port))
    raise UsageError(
        "run_agent was called inside a running event loop", next_step="await run_agent_async(...)"
    )


async def _then_close(run: Coroutine[None, None, RunResult], port: ModelPort | None) -> RunResult:
    """Await a run, then let go of the model's connections: they belong to the loop that ends now."""
    try:
        return await run
    finally:
        if port is not None:
            await port.aclose()


def result_of(header: Header, finished: Finished) -> RunResult:
    """Return the result of a finished flow."""
    return RunResult(
        request_id=header.request_id,
        run_id=header.run_id,
        stop_reason=finished.end.stop_reason,
        output=finished.end.output,
        totals=finished.end.totals,
        trace=finished.trace,
        error=finished.error,
        spent=finished.end.spent,
    )


def _client(agent: Agent, model: ModelPort | None) -> ModelPort:
    port = model or agent.client
    if port is None:
        raise UsageError(
            f"agent {agent.name!r} has no model client", next_step="pass model=... or set Agent.client"
        )
    return port


def _stamp(clock: Clock) -> str:
    return clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
