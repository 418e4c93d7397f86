"""Start a run: request id, tenant and environment bound, budget checked, ports wired, flow driven."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from runtime.core.canonical import fingerprint
from runtime.core.effects import Performer, ToolResult
from runtime.core.ids import run_id, seed_of
from runtime.core.messages import Message, user_message
from runtime.core.policy import Budget, Policy
from runtime.core.run import Header, with_hashes
from runtime.core.stop import StopKind
from runtime.entry.agent import Agent
from runtime.entry.children import CallChildren, ChildRequest, Start
from runtime.entry.request import Request, RunResult
from runtime.errors import UsageFault
from runtime.execution.clock import Clock, SystemClock, new_request_id
from runtime.execution.drivers import Finished, drive_async
from runtime.execution.governed import GovernedPerformer
from runtime.execution.governor import Governor
from runtime.execution.live import LivePerformer, Ports
from runtime.orchestrator.loop import run_flow
from runtime.orchestrator.model_step import configured_output
from runtime.orchestrator.setup import RunSetup
from runtime.ports.control_values import Run
from runtime.ports.models import ModelPort, StreamObserver
from runtime.ports.prices import RateSource
from runtime.ports.state import Artifacts
from runtime.ports.tools import ApprovalDesk, ControlPlane, InputSource
from runtime.tools.results import cap_result

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


def prepare(
    agent: Agent,
    request: Request,
    *,
    prices: RateSource | None = None,
    started_at: str | None = None,
    inputs: Literal["none", "recorded"] = "none",
) -> RunSetup:
    """Return the setup of a run, its budget and policy checked.

    Args:
        agent: What runs.
        request: Who asks for what; its `request_id` is set.
        prices: Price table; the offline snapshot by default.
        started_at: Wall time, ISO 8601 UTC.
        inputs: Whether further input is asked for after each step.

    Raises:
        UsageFault: If the policy names a tool the agent lacks, or dollars are limited without a known price
            or an output limit.
    """
    policy = agent.policy if request.policy is None else request.policy
    budget = agent.budget if request.budget is None else request.budget
    request_id = request.request_id or new_request_id()
    _check_names(agent, policy)
    table = _default_prices() if prices is None else prices
    models = (agent.model, *agent.fallbacks)
    rates = {m: rate for m in models if (rate := table.rate(m, agent.provider)) is not None}
    _check_limits(agent, budget, [m for m in models if m not in rates])
    header = Header(
        request_id=request_id,
        run_id=run_id(request_id, deploy=request.deploy, source=request.source, repeat=request.repeat),
        parent=request.parent,
        tenant=request.tenant,
        environment=request.environment,
        agent=agent.name,
        agent_version=agent.version,
        deploy=request.deploy,
        source=request.source,
        suite=request.suite,
        task=request.task,
        repeat=request.repeat,
        started_at=started_at,
        instructions=agent.instructions,
        input=(user_message(request.prompt),) if isinstance(request.prompt, str) else tuple(request.prompt),
        models=models,
        provider=agent.provider,
        parameters=agent.model_parameters,
        tools=tuple(t.decl for t in agent.tools),
        inputs=inputs,
        policy=policy,
        budget=budget,
        model_retry=agent.model_retry,
        tool_retry=agent.tool_retry,
        seed=seed_of(request_id) if request.seed is None else request.seed,
        price_table=table.id,
        rates=rates,
        labels=request.labels,
    )
    return RunSetup(
        header=with_hashes(header),
        tools=agent.specs,
        model_timeout_s=agent.model_timeout_s,
        root_request_id=request.root,
    )


async def run_agent_async(
    agent: Agent,
    prompt: str | Sequence[Message] | Request,
    *,
    model: ModelPort | None = None,
    wrap: Wrap | None = None,
    desk: ApprovalDesk | None = None,
    control: ControlPlane | None = None,
    inputs: InputSource | None = None,
    observer: StreamObserver | None = None,
    prices: RateSource | None = None,
    clock: Clock | None = None,
    governor: Governor | None = None,
    artifacts: Artifacts | None = None,
) -> RunResult:
    """Run an agent on a prompt; the result says how it ended.

    Args:
        agent: What runs.
        prompt: The user's text, the conversation so far, or a whole `Request`.
        model: Answers model calls, in place of the agent's client.
        wrap: Puts a recorder or another performer around the live one.
        desk: Asked for approvals.
        control: Admits calls and tells switches.
        inputs: Gives further turns.
        observer: Sees text as it streams.
        prices: Price table; the offline snapshot by default.
        clock: Time; the system's by default.
        governor: Guards the run by a control store: switches, rates, slots, breakers, claims, approvals.
        artifacts: Keeps tool results that are larger than `Agent.max_result_bytes`; without it none is cut.

    Raises:
        UsageFault: If the run cannot begin as asked.
        DuplicateRunError: If the governor's store knows another run of this request id.
        ControlUnavailable: If the governor's store cannot be used.
        asyncio.CancelledError: If the caller goes away; the run ends with `cancelled`.
    """
    request = prompt if isinstance(prompt, Request) else Request(prompt=prompt)
    port = _client(agent, model)
    time = clock or SystemClock()
    setup = prepare(
        agent,
        request,
        prices=prices,
        started_at=_stamp(time),
        inputs="none" if inputs is None else "recorded",
    )
    live = LivePerformer(
        Ports(
            model=port,
            tools={t.name: t for t in agent.tools},
            desk=desk,
            control=control,
            inputs=inputs,
            observer=observer,
            rates=setup.header.rates,
            clock=time,
            cap=None if artifacts is None else _cap(agent.max_result_bytes, artifacts),
        )
    )

    shared = _Shared(port, wrap, desk, prices, clock, governor, artifacts)
    live.raises(lambda call: CallChildren(setup.header, call, shared.starter(setup, request)))
    if governor is None:
        performer: Performer = live if wrap is None else wrap(live)
        finished = await drive_async(run_flow(setup), performer, setup.header)
        return result_of(setup.header, finished)
    return await _governed(agent, request, setup, live, governor, wrap=wrap, desk=desk)


@dataclass(frozen=True, slots=True)
class _Shared:
    """What a run hands on to its child runs."""

    model: ModelPort
    wrap: Wrap | None
    desk: ApprovalDesk | None
    prices: RateSource | None
    clock: Clock | None
    governor: Governor | None
    artifacts: Artifacts | None

    def starter(self, setup: RunSetup, request: Request) -> Start:
        """Return what starts a child of a run."""

        async def start(child: Agent, asked: ChildRequest) -> RunResult:
            return await run_agent_async(
                child,
                _child_request(asked, setup, request),
                model=child.client or self.model,
                wrap=self.wrap,
                desk=self.desk,
                prices=self.prices,
                clock=self.clock,
                governor=self.governor,
                artifacts=self.artifacts,
            )

        return start


def _cap(limit_bytes: int, artifacts: Artifacts) -> Callable[[ToolResult], ToolResult]:
    """Return what cuts a result to what a model is shown; the whole becomes an artifact."""

    def cap(result: ToolResult) -> ToolResult:
        content = cap_result(result.content, limit_bytes, artifacts.put).content
        return result if content is result.content else msgspec.structs.replace(result, content=content)

    return cap


async def _governed(
    agent: Agent,
    request: Request,
    setup: RunSetup,
    live: LivePerformer,
    governor: Governor,
    *,
    wrap: Wrap | None,
    desk: ApprovalDesk | None,
) -> RunResult:
    header = setup.header
    payload = fingerprint([agent.name, header.input, header.policy_hash])
    opened = governor.open_run(header, payload_hash=payload)
    if not opened.first:
        raise DuplicateRunError(opened.run, conflict=opened.conflict)
    guard = governor.attend(header, fencing=opened.run.fencing)
    reconcile = {t.name: t.reconcile for t in agent.tools if t.reconcile is not None}
    governed = GovernedPerformer(live, guard, governor.store, desk=desk, reconcile=reconcile)
    live.attend(governed, before=governed.before, watch=guard)
    stop_reason = StopKind.INTERNAL_ERROR.value
    try:
        performer: Performer = governed if wrap is None else wrap(governed)
        finished = await drive_async(run_flow(setup), performer, header)
        stop_reason = finished.end.stop_reason
        return result_of(header, finished)
    finally:
        # `End` closes the guard; this is for runs that could not even perform it.
        await guard.close(stop_reason)


def _child_request(asked: ChildRequest, setup: RunSetup, request: Request) -> Request:
    header = setup.header
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
        root=request.root or header.request_id,
        policy=asked.policy,
        budget=asked.budget,
    )


class DuplicateRunError(UsageFault):
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
) -> RunResult:
    """Run an agent on a prompt and wait for its end; see `run_agent_async`.

    Raises:
        UsageFault: If the run cannot begin as asked, or an event loop already runs here.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        port = model or agent.client
        run = run_agent_async(agent, prompt, model=port, wrap=wrap, desk=desk, prices=prices, clock=clock)
        return asyncio.run(_then_close(run, port))
    raise UsageFault(
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
    )


def _client(agent: Agent, model: ModelPort | None) -> ModelPort:
    port = model or agent.client
    if port is None:
        raise UsageFault(
            f"agent {agent.name!r} has no model client", next_step="pass model=... or set Agent.client"
        )
    return port


def _default_prices() -> RateSource:
    from runtime.models.prices import PriceTable

    return PriceTable.default()


def _check_names(agent: Agent, policy: Policy) -> None:
    known = {t.name for t in agent.tools}
    named = (
        ("allow", policy.allow or ()),
        ("approve", policy.approve),
        ("arguments", tuple(policy.arguments)),
    )
    for field_name, names in named:
        missing = sorted(set(names) - known)
        if missing:
            raise UsageFault(
                f"policy.{field_name} names {missing[0]!r}, which agent {agent.name!r} does not have",
                next_step=f"use one of {', '.join(sorted(known)) or 'no tools'}",
            )


def _check_limits(agent: Agent, budget: Budget, unpriced: list[str]) -> None:
    if budget.max_usd_nanos is not None and unpriced:
        raise UsageFault(
            f"budget limits dollars, but the price of model {unpriced[0]!r} is unknown",
            next_step="add it to a price file (PriceTable.default(override=...)) or drop the dollar limit",
        )
    metered = budget.max_usd_nanos is not None or budget.max_tokens is not None
    if metered and configured_output(agent.model_parameters) is None:
        raise UsageFault(
            f"budget limits dollars or tokens, but agent {agent.name!r} sets no output limit",
            next_step="set Agent.max_output_tokens",
        )


def _stamp(clock: Clock) -> str:
    return clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
