"""The guarded entry point: authenticate, make the request id, bind tenant and environment, then run.

A duplicate delivery of a request id waits for the first run and gets it: its result if it ran here, its stop reason
from the index if another process had it. One whose process died gets `crashed`.
"""

from __future__ import annotations

import asyncio
import os
import warnings
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_type_hints

import msgspec

from runtime.core.canonical import fingerprint
from runtime.core.checking import Problems
from runtime.core.effects import Performer
from runtime.core.policy import Policy
from runtime.core.run import Totals
from runtime.core.signatures import fits, words
from runtime.core.stop import StopKind
from runtime.core.trace import Trace
from runtime.entry.agent import Agent
from runtime.entry.children import narrowed_scopes
from runtime.entry.run import DuplicateRunError, Request, RunResult, Wrap, run_agent_async
from runtime.entry.state import State
from runtime.errors import UsageError
from runtime.execution.breaker_views import BreakerViews
from runtime.execution.clock import new_request_id
from runtime.execution.governor import Governor
from runtime.observability.logs import run_names
from runtime.observability.metrics import MetricsSink
from runtime.observability.run_events import EventSink, ObservingPerformer, memory_event
from runtime.observability.service_events import ServiceEvents
from runtime.ports.control_store import ControlStore
from runtime.ports.control_values import ControlUnavailable, Run, RunKey
from runtime.ports.models import ModelPort
from runtime.ports.prices import RateSource
from runtime.ports.state import MemoryChange
from runtime.ports.tools import ApprovalDesk
from runtime.state.key_file import key_of_file

_KEPT_RESULTS = 1000
KEY_VARIABLE = "GOLDRUN_EVENT_KEY"


class RefusedError(UsageError):
    """Who asks is not known, or may not run this; nothing was started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks; what `Authenticate` makes of credentials.

    Attributes:
        name: Who, for logs.
        tenant: Whose runs they may start.
        environment: Which world they act in.
        agents: Agents they may run; `None` for all.
        scopes: What they hold for tools that ask for it; `None` for every scope.
    """

    name: str
    tenant: str
    environment: str
    agents: tuple[str, ...] | None = None
    scopes: tuple[str, ...] | None = None


Authenticate = Callable[[str], Awaitable[Principal | None]]
"""Makes a principal of credentials; `None` for those it does not know."""


@dataclass(slots=True, kw_only=True)
class Service:
    """Runs agents for those who may.

    Attributes:
        governor: Guards all runs by the control store.
        authenticate: Knows who asks.
        model: Answers model calls, where the agent has no client of its own.
        wrap: Puts a recorder around each run.
        sinks: Receive all events: logs, metrics, audit; changes of memory too. A `MetricsSink` also shows the
            breakers of the governor's store.
        state: What runs keep and share: memory, artifacts, cached results, credentials.
        event_key: Key of the argument hashes in events. By default `GOLDRUN_EVENT_KEY`, else a file beside the
            control store, so that all processes of a service have one; else, with a warning, a key of this process.
        desk: Asks people; by default they are asked through the control store.
        prices: Price table; the offline snapshot by default.
    """

    governor: Governor
    authenticate: Authenticate
    model: ModelPort | None = None
    wrap: Wrap | None = None
    sinks: Sequence[EventSink] = ()
    state: State | None = None
    event_key: bytes = b""
    desk: ApprovalDesk | None = None
    prices: RateSource | None = None
    _running: dict[RunKey, tuple[str, asyncio.Future[RunResult | None]]] = field(default_factory=dict)
    _events: ServiceEvents = field(init=False)
    _ended: OrderedDict[RunKey, tuple[str, RunResult]] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        problems = Problems("Service")
        for name, hint in get_type_hints(type(self)).items():
            if not name.startswith("_") and not fits(value := getattr(self, name), hint):
                problems.add(name, value, words(hint))
        problems.refuse()
        if not self.event_key:
            self.event_key = _event_key(self.governor.store)
        self._events = ServiceEvents(self.sinks)
        if self.sinks:
            self.governor.on_acts(self._events.acts)
        for sink in self.sinks:
            if isinstance(sink, MetricsSink):
                sink.watch(BreakerViews(self.governor.store))

    async def run(self, agent: Agent, request: Request, *, credentials: str) -> RunResult:
        """Run an agent for the principal of the credentials.

        Tenant and environment of the request are replaced by those of the principal.

        Raises:
            RefusedError: If the credentials are not known, or the principal may not run this agent.
            UsageError: If the request id was used for another request, or the run cannot begin as asked.
            ControlUnavailable: If the governor's store cannot be used.
        """
        principal = await self.authenticate(credentials)
        if principal is None:
            self._login(None, agent, request, refused="the credentials are not known")
            raise RefusedError("the credentials are not known", next_step="check the API key")
        if principal.agents is not None and agent.name not in principal.agents:
            self._login(principal, agent, request, refused="not one of the principal's agents")
            raise RefusedError(f"{principal.name!r} may not run agent {agent.name!r}")
        bound = replace(
            request,
            tenant=principal.tenant,
            environment=principal.environment,
            request_id=request.request_id or new_request_id(),
            policy=_narrowed(request.policy or agent.policy, principal),
        )
        assert bound.request_id is not None
        if not self._login(principal, agent, bound):
            raise ControlUnavailable(
                "who asks for the run cannot be kept in the audit log",
                next_step="look at the required sinks of the service",
            )
        key = RunKey(tenant=bound.tenant, environment=bound.environment, request_id=bound.request_id)
        with run_names(
            request_id=key.request_id, tenant=key.tenant, environment=key.environment
        ):  # for the log lines that tools write
            return await self._once(key, agent, bound)

    async def _once(self, key: RunKey, agent: Agent, request: Request) -> RunResult:
        request_hash = fingerprint([agent.name, request.prompt, request.policy, request.budget])
        while key in self._running:
            first, under_way = self._running[key]
            _check_same(key, request_hash, first)
            known = await asyncio.shield(under_way)
            if known is not None:
                return known
        if key in self._ended:
            _check_same(key, request_hash, self._ended[key][0])
            return self._ended[key][1]
        future: asyncio.Future[RunResult | None] = asyncio.get_running_loop().create_future()
        self._running[key] = (request_hash, future)
        try:
            result = await self._first(key, request_hash, agent, request)
        except asyncio.CancelledError:
            # The first caller went away, the others did not: the next of them asks the index.
            future.set_result(None)
            raise
        except BaseException as error:
            future.set_exception(error)
            future.exception()
            raise
        else:
            future.set_result(result)
            return result
        finally:
            self._running.pop(key, None)

    async def _first(self, key: RunKey, request_hash: str, agent: Agent, request: Request) -> RunResult:
        try:
            result = await run_agent_async(
                agent,
                request,
                model=self.model,
                wrap=self._wrapped,
                desk=self.desk,
                prices=self.prices,
                governor=self.governor,
                state=self.state,
                audit=self._audit,
            )
        except DuplicateRunError as duplicate:
            if duplicate.conflict:
                raise
            # Not kept: a run that crashed may be resumed and end otherwise.
            return indexed_result(await self._wait_for_end(duplicate.run))
        self._keep(key, request_hash, result)
        return result

    async def _wait_for_end(self, run: Run) -> Run:
        """Wait until a run of another process has ended; a run that missed its heartbeat has crashed."""
        governor = self.governor
        while run.stop_reason is None and run.alive_until is not None:
            if run.alive_until <= governor.now():
                await governor.store.sweep_runs(now=governor.now())
            else:
                await asyncio.sleep(governor.rules.poll_s)
            entries = await governor.store.find_runs(run.key.request_id)
            run = next(r for r in entries if r.key == run.key)
        return run

    def _login(
        self, principal: Principal | None, agent: Agent, request: Request, *, refused: str | None = None
    ) -> bool:
        """Send who asks for a run to the sinks; return whether the required ones have kept it."""
        return self._events.login(
            None if principal is None else principal.name,
            tenant="" if principal is None else principal.tenant,
            environment="" if principal is None else principal.environment,
            agent=agent.name,
            request_id=request.request_id or "",
            refused=refused,
        )

    def _wrapped(self, inner: Performer) -> Performer:
        observed: Performer = inner
        if self.sinks:
            observed = ObservingPerformer(inner, self.sinks, key=self.event_key)
        return observed if self.wrap is None else self.wrap(observed)

    def _audit(self, change: MemoryChange) -> None:
        """Send a change of memory to the sinks; a required one that cannot keep it undoes the change."""
        self._events.emit(memory_event(change))

    def _keep(self, key: RunKey, request_hash: str, result: RunResult) -> None:
        self._ended[key] = (request_hash, result)
        while len(self._ended) > _KEPT_RESULTS:
            self._ended.popitem(last=False)


def _narrowed(policy: Policy, principal: Principal) -> Policy:
    """Return the policy with the scopes that the principal holds too."""
    if principal.scopes is None:
        return policy
    return msgspec.structs.replace(policy, scopes=narrowed_scopes(policy.scopes, principal.scopes))


def _event_key(store: ControlStore) -> bytes:
    key = os.environ.get(KEY_VARIABLE)
    if key:
        return key.encode()
    path = getattr(store, "path", None)  # only a store in a file has one
    if isinstance(path, Path):
        try:
            return key_of_file(path.with_name(f"{path.name}.event-key"), "the key of the events")
        except OSError as error:
            warnings.warn(
                f"the key of the events cannot be kept beside {path}: {error.strerror}; argument hashes of this "
                f"process are its own. Set {KEY_VARIABLE}.",
                RuntimeWarning,
                stacklevel=4,
            )
    return os.urandom(32)


def _check_same(key: RunKey, request_hash: str, first: str) -> None:
    if request_hash != first:
        raise UsageError(
            f"request id {key.request_id!r} was used for another request",
            next_step="send each request under an id of its own",
        )


def indexed_result(run: Run) -> RunResult:
    """Return the result of another process's run: the index holds only its stop reason."""
    stop_reason = run.stop_reason or StopKind.OPEN.value
    trace = Trace(
        request_id=run.key.request_id,
        run_id=run.run_id,
        parent=run.parent,
        tenant=run.key.tenant,
        environment=run.key.environment,
        agent=run.agent,
        deploy=run.deploy,
        stop_reason=stop_reason,
    )
    return RunResult(
        request_id=run.key.request_id,
        run_id=run.run_id,
        stop_reason=stop_reason,
        output=None,
        totals=Totals(),
        trace=trace,
    )
