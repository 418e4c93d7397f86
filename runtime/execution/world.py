"""The world of a run: everything that answers it, in one frozen value that its child runs share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from runtime.core.checking import Problems
from runtime.core.effects import CallTool, Performer, ToolResult
from runtime.core.money import Rate
from runtime.execution.clock import Clock, SystemClock
from runtime.execution.governor import Governor
from runtime.ports.models import ModelPort, StreamObserver
from runtime.ports.prices import RateSource
from runtime.ports.state import Artifacts, MemoryAudit, RunState, SharedState
from runtime.ports.tools import ApprovalDesk, ChildRuns, InputSource, ToolPort

Wrap = Callable[[Performer], Performer]
"""Puts a performer around another: a recorder, a fault injector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What answers a run.

    Attributes:
        model: Answers model calls.
        tools: Tools by exact name, in place of the agent's.
        desk: Decides approvals; without one each is denied, or decided through the governor's store.
        inputs: Gives further turns; without one a run has none.
        observer: Sees text as it streams.
        clock: Time; the system's by default.
        prices: Price table; the offline snapshot by default.
        governor: Guards runs by a control store: switches, rates, slots, breakers, claims, approvals.
        state: What runs keep and share: memory, artifacts, cached results, credentials.
        artifacts: Keeps large tool results, in place of the state's.
        audit: Called with each change of memory before it counts; what it raises undoes the change.
        wrap: Puts a recorder or another performer around the whole chain of each run, child runs included.
    """

    model: ModelPort
    tools: Mapping[str, ToolPort] | None = None
    desk: ApprovalDesk | None = None
    inputs: InputSource | None = None
    observer: StreamObserver | None = None
    clock: Clock = field(default_factory=SystemClock)
    prices: RateSource | None = None
    governor: Governor | None = None
    state: SharedState | None = None
    artifacts: Artifacts | None = None
    audit: MemoryAudit | None = None
    wrap: Wrap | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot answer a run before it begins: later it would look like a bug of ours.

        Raises:
            UsageError: Names each of them.
        """
        problems = Problems("run_agent")
        for name, methods, optional in _PORTS:
            value = getattr(self, name)
            if value is None and optional:
                continue
            missing = [m for m in methods if not callable(getattr(value, m, None))]
            if missing or isinstance(value, type):
                problems.add(name, value, f"an object with {', '.join(f'{m}()' for m in methods)}")
        governor: object = self.governor
        if governor is not None and not isinstance(governor, Governor):
            problems.add("governor", governor, "a Governor: wrap a control store as Governor(store)")
        for name in ("audit", "wrap"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                problems.add(
                    name, value, "a function" if name == "audit" else "a function, such as recorder.wrap"
                )
        problems.refuse()


_PORTS: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    ("model", ("call", "aclose"), False),
    ("desk", ("ask",), True),
    ("inputs", ("next",), True),
    ("observer", ("on_text",), True),
    ("clock", ("monotonic_s", "now", "sleep"), False),
    ("prices", ("rate",), True),
    ("state", ("bind",), True),
    ("artifacts", ("put",), True),
)
"""What each port must be able to do, and whether a run can do without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBinding:
    """What of the world is bound to one run.

    Attributes:
        rates: Prices by model id.
        state: What the run keeps and shares; without it calls have none.
        cap: Shortens a tool's result to what a model is shown, and keeps the whole elsewhere.
        children: Makes the child runs of a call; without it a call has none.
        elapsed_s: Seconds that a resumed run has used before.
    """

    rates: Mapping[str, Rate] = field(default_factory=dict)
    state: RunState | None = None
    cap: Callable[[str, ToolResult], ToolResult] | None = None
    children: Callable[[CallTool], ChildRuns] | None = None
    elapsed_s: float = 0.0


UNBOUND = RunBinding()
"""The binding of a live performer that stands alone."""
