"""One model decision: budget, admission, call, retry, fallback, spend.

Order for each attempt: deadline -> reservation at worst case -> admission -> call -> settle with reported usage.
"""

from __future__ import annotations

from runtime.control.budgets import Allowance, allow_model_call, check_steps, check_time, never_reached
from runtime.control.retries import asks_too_much, backoff_s, may_retry
from runtime.core.effects import (
    Admission,
    Admit,
    CallModel,
    Failure,
    FailureKind,
    Flow,
    Limits,
    Outcome,
    Wait,
    perform,
)
from runtime.core.lanes import lane
from runtime.core.messages import ModelReply
from runtime.core.stop import StopKind, StopReason
from runtime.orchestrator.progress import Progress

SHORT_OF = {
    "nanos": StopKind.MAX_USD,
    "tokens": StopKind.MAX_TOKENS,
    "tool_calls": StopKind.MAX_TOOL_CALLS,
    "steps": StopKind.MAX_STEPS,
}
"""How a run ends that a cap across runs has nothing left for, by the unit that is short."""


def ask_model(progress: Progress) -> Flow[ModelReply | StopReason]:
    """Return the next reply, or the stop reason of a decision that could not be made.

    A decision that was paid for and not made counts as a step all the same: a child run that was cut off used it.
    """
    progress.has_lost = False
    answer = yield from _decide(progress)
    if isinstance(answer, StopReason) and progress.has_lost:
        progress.spent.steps += 1
    return answer


def _decide(progress: Progress) -> Flow[ModelReply | StopReason]:
    header = progress.setup.header
    last: StopReason = StopReason(StopKind.INTERNAL_ERROR)
    attempt = 0
    for model in header.models:
        tried = 0
        while True:
            attempt += 1
            tried += 1
            allowance = _allowance(progress, model)
            if isinstance(allowance, StopReason):
                return allowance
            outcome = yield from _attempt(progress, model, attempt, allowance)
            progress.see(outcome)
            if isinstance(outcome.value, ModelReply):
                progress.settle(outcome.value, allowance)
                return outcome.value
            if isinstance(outcome.value, Admission):
                stop = _not_admitted(outcome.value, model)
                if stop.subject is None:
                    return stop
                last = stop
                break
            failure = outcome.failure or Failure(kind=FailureKind.ERROR, message="no reply was given")
            # Whatever ended it: what may have reached the provider is paid for.
            if not never_reached(failure):
                progress.charge_lost(allowance)
            if failure.kind is FailureKind.INTERRUPTED and failure.cause == "disabled":
                last = StopReason(StopKind.MODEL_UNHEALTHY, model)
                break
            if failure.kind is FailureKind.INTERRUPTED:
                return interrupted(failure)
            last = _exhausted(failure, model)
            used = progress.model_retries
            if asks_too_much(header.model_retry, failure, header.budget):
                break
            if not may_retry(header.model_retry, failure, attempt=tried, retries_used=used):
                break
            stop_waiting = yield from _pause(progress, failure, attempt, tried)
            if stop_waiting is not None:
                return stop_waiting
    return last


def _allowance(progress: Progress, model: str) -> Allowance | StopReason:
    header = progress.setup.header
    stop = check_time(header.budget, progress.spent) or check_steps(header.budget, progress.spent)
    if stop is not None:
        return stop
    return allow_model_call(
        header.budget,
        progress.spent,
        rate=header.rates.get(model),
        input_bound=progress.input_bound(),
        configured=configured_output(header.parameters),
        metered=header.metered,
    )


def _attempt(
    progress: Progress, model: str, attempt: int, allowance: Allowance
) -> Flow[Outcome[ModelReply] | Outcome[Admission]]:
    """Return the reply's outcome, or that of an admission that was not granted."""
    limits = Limits(
        deadline_s=progress.setup.header.budget.max_seconds,
        timeout_s=progress.setup.model_timeout_s,
        max_output_tokens=allowance.max_output_tokens,
        reserved_nanousd=allowance.reserved_nanos,
        reserved_tokens=allowance.reserved_tokens,
    )
    where = lane(progress.step, "admit", attempt=attempt)
    admission = yield from perform(Admit(lane=where, subject="model", name=model, limits=limits))
    progress.see(admission)
    if admission.failure is not None or (admission.value is not None and not admission.value.granted):
        return admission
    request = progress.request(model)
    place = lane(progress.step, "model", attempt=attempt)
    return (yield from perform(CallModel(lane=place, request=request, limits=limits)))


def _pause(progress: Progress, failure: Failure, attempt: int, tried: int) -> Flow[StopReason | None]:
    header = progress.setup.header
    progress.model_retries += 1
    place = lane(progress.step, "wait", attempt=attempt + 1)
    seconds = backoff_s(header.model_retry, attempt=tried, seed=header.seed, purpose=place)
    seconds = max(seconds, failure.after_s or 0.0)
    if header.budget.max_seconds is not None and progress.spent.at + seconds >= header.budget.max_seconds:
        return StopReason(StopKind.MAX_SECONDS)
    outcome = yield from perform(Wait(lane=place, seconds=seconds))
    progress.see(outcome)
    return None if outcome.failure is None else interrupted(outcome.failure)


def configured_output(parameters: dict[str, object]) -> int | None:
    """Return the output limit an agent configures, in whichever of the dialects' names."""
    for name in ("max_output_tokens", "max_completion_tokens", "max_tokens"):
        value = parameters.get(name)
        if isinstance(value, int):
            return value
    return None


def interrupted(failure: Failure) -> StopReason:
    """Return the stop reason of an interruption's cause."""
    kinds = {
        "deadline": StopKind.MAX_SECONDS,
        "kill": StopKind.OPERATOR_KILL,
        "tenant": StopKind.TENANT_DISABLED,
        "cancelled": StopKind.CANCELLED,
        "control_unavailable": StopKind.CONTROL_UNAVAILABLE,
        "spend": StopKind.MAX_USD,
        "unrecorded": StopKind.OPEN,
    }
    return StopReason(kinds.get(failure.cause or "", StopKind.INTERNAL_ERROR))


def _not_admitted(admission: Admission, model: str) -> StopReason:
    match admission.cause:
        case "rate" | "concurrency":
            return StopReason(StopKind.MODEL_RATE_LIMITED, model)
        case "breaker" | "disabled":
            return StopReason(StopKind.MODEL_UNHEALTHY, model)
        case "spend":
            return StopReason(SHORT_OF.get(admission.unit or "nanos", StopKind.MAX_USD))
        case "tenant":
            return StopReason(StopKind.TENANT_DISABLED)
        case "kill":
            return StopReason(StopKind.OPERATOR_KILL)
        case _:
            return StopReason(StopKind.CONTROL_UNAVAILABLE)


def _exhausted(failure: Failure, model: str) -> StopReason:
    if failure.kind is FailureKind.TIMEOUT:
        return StopReason(StopKind.MODEL_TIMEOUT, model)
    if failure.kind is FailureKind.RATE_LIMITED:
        return StopReason(StopKind.MODEL_RATE_LIMITED, model)
    return StopReason(StopKind.MODEL_ERROR_EXHAUSTED, model)
