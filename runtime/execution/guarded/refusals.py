"""Where a call's amount counts, and what a refusal of the store means to the flow."""

from __future__ import annotations

from runtime.control.ledger import Caps, SpendScope
from runtime.control.scopes import run_scope
from runtime.core.effects import Admission, Failure, FailureKind
from runtime.core.run import Header
from runtime.execution.interruption import interruption
from runtime.ports.control_values import CallAnswer


def tree_scope(header: Header) -> SpendScope:
    """Return where all that a run and its child runs use counts together, under the caps of its own budget."""
    key = run_scope(header.tenant, header.environment, header.root or header.request_id)
    return SpendScope(key, Caps(nanos=header.budget.max_usd_nanos, tokens=header.budget.max_tokens))


def refusal_of(name: str, answer: CallAnswer) -> tuple[Admission, float | None]:
    """Return the refusal of a call, and after how many seconds it is worth trying again."""
    match answer.refused:
        case "breaker":
            return Admission(granted=False, cause="breaker", detail=f"{name} is unhealthy"), None
        case "slot":
            assert answer.slot is not None
            detail = f"{answer.slot.live} calls of {name} are under way"
            return Admission(granted=False, cause="concurrency", detail=detail), answer.slot.after_s
        case "rate":
            assert answer.rate is not None
            detail = f"{name} is called too often"
            return Admission(granted=False, cause="rate", detail=detail), answer.rate.after_s
        case _:
            full = None if answer.spend is None else answer.spend.refusal
            words = None if full is None else f"{full.unit} of {full.scope}: {full.used} of {full.cap} used"
            unit = None if full is None else full.unit
            return Admission(granted=False, cause="spend", detail=words, unit=unit), None


def refused_late(admission: Admission, name: str) -> Failure:
    """Return the failure of a call that is admitted as it begins, and is refused."""
    message = admission.detail or f"{name} may not be called now"
    match admission.cause:
        case "spend":
            return Failure(kind=FailureKind.INTERRUPTED, message=message, phase="connect", cause="spend")
        case "rate":
            kind = FailureKind.RATE_LIMITED
        case "breaker" | "concurrency":
            kind = FailureKind.UNAVAILABLE
        case "unavailable" | None:
            return interruption("control_unavailable", begun=False)
        case cause:
            return interruption(cause, begun=False)
    return Failure(kind=kind, message=message, retryable=True, phase="connect", cause=admission.cause)
