"""The ports that a live performer is handed for one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from runtime.core.effects import CallTool, ToolResult
from runtime.core.money import Rate
from runtime.execution.clock import Clock, SystemClock
from runtime.ports.models import ModelPort, StreamObserver
from runtime.ports.state import RunState
from runtime.ports.tools import Aftermath, ApprovalDesk, ChildRuns, InputSource, ToolPort


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The world a run is handed.

    Attributes:
        model: Answers model calls.
        tools: Tools by exact name.
        desk: Asked for approvals; without one each is denied.
        inputs: Gives further turns; without one a run has none.
        observer: Sees text as it streams.
        rates: Prices by model id.
        clock: Time.
        aftermath: Told of calls that were given up and ended after all.
        children: Makes the child runs of a call; without it a call has none.
        cap: Makes a result of a tool small enough for a model, and keeps the whole elsewhere.
        state: What the run keeps and shares; without it calls have none.
    """

    model: ModelPort
    tools: Mapping[str, ToolPort] = field(default_factory=dict)
    desk: ApprovalDesk | None = None
    inputs: InputSource | None = None
    observer: StreamObserver | None = None
    rates: Mapping[str, Rate] = field(default_factory=dict)
    clock: Clock = field(default_factory=SystemClock)
    aftermath: Aftermath | None = None
    children: Callable[[CallTool], ChildRuns] | None = None
    cap: Callable[[str, ToolResult], ToolResult] | None = None
    state: RunState | None = None
