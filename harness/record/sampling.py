"""Which runs are kept: always those worth a look, and a share of the others by the hash of their request id."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from runtime.core.signatures import fits
from runtime.core.stop import StopClass, parse_stop
from runtime.errors import UsageError

CUT_OFF = "cut_off"
_FLAG_OF = {
    StopClass.POLICY: "denied",
    StopClass.BUDGET: "over_budget",
    StopClass.OPERATOR: "killed",
    StopClass.TOOL: "failed",
    StopClass.MODEL: "failed",
    StopClass.LOOP: "failed",
    StopClass.FAULT: "failed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """A rule for sealing.

    Runs that failed, were denied something, were killed, ran over a budget, were slow or cut off are always
    kept. Of the others a share is kept, the same on every machine, and a child run with its parent.

    Attributes:
        share: Share of the other runs that is kept, 0 to 1.
        slow_s: Seconds from which a run counts as slow; `None` if none does.
    """

    share: float = 1.0
    slow_s: float | None = None

    def __post_init__(self) -> None:
        """Check the share.

        Raises:
            UsageError: If it is not between 0 and 1.
        """
        if not fits(self.share, float) or not 0.0 <= self.share <= 1.0:
            raise UsageError(f"sampling share {self.share!r} is not between 0 and 1")

    def flags(self, stop_reason: str | None, totals: dict[str, Any]) -> tuple[str, ...]:
        """Return why a run is always kept; nothing for an ordinary one.

        Args:
            stop_reason: From the run's end; `None` if it was cut off.
            totals: From the run's end.
        """
        if stop_reason is None:
            return (CUT_OFF,)
        found = {_stop_flag(stop_reason)}
        if totals.get("denials"):
            found.add("denied")
        duration = totals.get("duration_s")
        if self.slow_s is not None and duration is not None and duration >= self.slow_s:
            found.add("slow")
        return tuple(sorted(found - {""}))

    def keeps(self, request_id: str, flags: tuple[str, ...]) -> bool:
        """Return whether a run is kept."""
        return bool(flags) or self.share >= 1.0 or _unit(request_id) < self.share


def _stop_flag(stop_reason: str) -> str:
    try:
        return _FLAG_OF.get(parse_stop(stop_reason).stop_class, "")
    except ValueError:
        return "failed"


def _unit(request_id: str) -> float:
    """Return a value in [0, 1) from the request id of the outermost run."""
    root = request_id.partition("/")[0]
    return int.from_bytes(hashlib.sha256(root.encode("utf-8", "surrogatepass")).digest()[:7], "big") / 2**56
