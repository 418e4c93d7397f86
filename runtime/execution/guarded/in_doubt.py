"""Writes in doubt: nobody knows whether they happened. Their tool is asked, if it can find out.

A write is in doubt when its answer was lost: it ran into its timeout, or the connection broke after it was sent. A
tool with a `reconcile` function can find out what became of it. Without one the write is never repeated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from runtime.core.effects import AnyOutcome, CallTool, Failure, FailureKind, ToolResult
from runtime.execution.time_limit import SelfCancelledError, TimeLimitError, Watch, bounded
from runtime.ports.tools import Reconcile

_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What became of a write: its result; `None` if it did not happen."""

    result: ToolResult | None


class Reconciler:
    """Asks tools about their writes, for one run.

    Attributes:
        tools: `reconcile` functions by tool name.
    """

    def __init__(
        self, tools: Mapping[str, Reconcile], watch: Watch | None, elapsed_s: Callable[[], float]
    ) -> None:
        """Ask until the run is halted.

        Args:
            tools: `reconcile` functions by tool name.
            watch: Stops the asking when the run must stop what it does.
            elapsed_s: Gives the seconds since the run began.
        """
        self.tools = tools
        self._watch = watch
        self._elapsed_s = elapsed_s

    async def ask(self, effect: CallTool, key: str) -> Reconciled | str:
        """Return what became of a write, or in words why that is not known.

        Raises:
            HaltedError: If the run was halted meanwhile.
        """
        limit = effect.limits.timeout_s or _LIMIT_S
        if effect.limits.deadline_s is not None:
            limit = min(limit, effect.limits.deadline_s - self._elapsed_s())
        work: Awaitable[object] = self.tools[effect.name](effect.bound, key)
        try:
            answer = await bounded(work, limit, watch=self._watch, lane=effect.lane)
        except (TimeLimitError, SelfCancelledError):
            return "what became of it could not be found out"
        except Exception as error:  # noqa: BLE001 - the edge where an exception of the tool's becomes data
            return f"finding out what became of it failed: {type(error).__name__}"
        if answer is not None and not isinstance(answer, ToolResult):
            return f"its reconcile function gave {type(answer).__name__}, neither a ToolResult nor None"
        return Reconciled(answer)


def was_lost(outcome: AnyOutcome) -> bool:
    """Return whether a call was made and its answer never came."""
    failure = outcome.failure
    if failure is None or failure.phase in {"connect", "abandoned"}:
        return False
    return failure.kind is FailureKind.TIMEOUT or failure.phase == "lost"


def doubt(effect: CallTool, why: str) -> Failure:
    """Return the failure of a call whose key an earlier call left in doubt."""
    message = f"an earlier call of '{effect.name}' may have happened; {why}"
    return Failure(kind=FailureKind.IN_DOUBT, message=message)
