"""Finding out what became of a write whose answer was lost, by asking the tool that made it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from runtime.core.effects import AnyOutcome, CallTool, FailureKind, ToolResult
from runtime.execution.bounded import SelfCancelledError, TimeLimitError, Watch, bounded
from runtime.ports.tools import Reconcile

_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Found:
    """What was found out about a write: its result; `None` if it did not happen."""

    result: ToolResult | None


class Reconciler:
    """Asks tools about their writes, for one run.

    Attributes:
        tools: How each tool that can tell finds out, by name.
    """

    def __init__(
        self, tools: Mapping[str, Reconcile], watch: Watch | None, elapsed_s: Callable[[], float]
    ) -> None:
        """Ask until the run is halted.

        Args:
            tools: How each tool that can tell finds out, by name.
            watch: Stops the asking when the run must stop what it does.
            elapsed_s: Gives the seconds since the run began.
        """
        self.tools = tools
        self._watch = watch
        self._elapsed_s = elapsed_s

    async def ask(self, effect: CallTool, key: str) -> Found | str:
        """Return what a tool found out about a write, or in words why that is not known.

        Raises:
            HaltedError: If the run was halted meanwhile.
        """
        limit = effect.limits.timeout_s or _LIMIT_S
        if effect.limits.deadline_s is not None:
            limit = min(limit, effect.limits.deadline_s - self._elapsed_s())
        work: Awaitable[object] = self.tools[effect.name](effect.bound, key)
        try:
            found = await bounded(work, limit, watch=self._watch, lane=effect.lane)
        except (TimeLimitError, SelfCancelledError):
            return "what became of it could not be found out"
        except Exception as error:  # noqa: BLE001 - the edge where an exception of the tool's becomes data
            return f"finding out what became of it failed: {type(error).__name__}"
        if found is not None and not isinstance(found, ToolResult):
            return f"its reconcile function gave {type(found).__name__}, neither a ToolResult nor None"
        return Found(found)


def was_lost(outcome: AnyOutcome) -> bool:
    """Return whether a call was made and its answer never came."""
    failure = outcome.failure
    if failure is None or failure.phase in {"connect", "abandoned"}:
        return False
    return failure.kind is FailureKind.TIMEOUT or failure.phase == "lost"
