"""Invariants of every run, whatever its task: no secrets, results read, writes keyed, budgets kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from harness.golden.rules.facts import ActualCall, CheckFailure, Finding, facts_of, failure_of
from harness.golden.rules.matchers import path_text
from harness.golden.task import GoldenTask
from runtime.core.money import usd_text
from runtime.core.run import Header
from runtime.core.trace import Trace

LooksSecret = Callable[[bytes], str | None]
"""Returns the kind of secret that some bytes look like, for example `aws_access_key`, or `None`."""

_READ_BY_MODEL = frozenset({"finish"})
_FOREIGN = frozenset({"import", "lift"})
_DEADLINE_GRACE_S = 1.0
"""Seconds by which a run may end after its deadline, because interrupting calls in flight takes a moment."""


def check_invariants(
    task: GoldenTask | None,
    trace: Trace,
    *,
    header: Header | None = None,
    looks_secret: LooksSecret | None = None,
    tainted_from: int | None = None,
) -> list[CheckFailure]:
    """Return each invariant that a run breaks.

    Args:
        task: The run's task, for messages; without it they name the run.
        trace: The run's trace.
        header: The run's header; without it budgets and approvals are not checked.
        looks_secret: Recognises secrets by their form; messages never show the secret. A run that was recorded with
            redaction switched off is not searched.
        tainted_from: As in `evaluate`.
    """
    calls = facts_of(trace).calls
    found = [*_results_read(trace, calls), *_writes_keyed(trace, calls)]
    if looks_secret is not None and (header is None or header.redaction != "none"):
        found += _no_secrets(trace, looks_secret)
    if header is not None:
        found += [*_approvals_given(trace, calls, header), *_budget_kept(trace, calls, header)]
    place = trace.request_id if task is None else task.where("task")
    return [failure_of(finding, place, tainted_from=tainted_from) for finding in found]


def _results_read(trace: Trace, calls: tuple[ActualCall, ...]) -> Iterator[Finding]:
    """Yield results that no later model decision could read, although the run finished."""
    if trace.stop_reason not in _READ_BY_MODEL:
        return
    last_reply = max((s.index for s in trace.steps if s.model is not None), default=-1)
    unread = [c for c in calls if c.step >= last_reply and c.started]
    if unread:
        yield Finding(
            path=("invariant", "results_consumed"),
            expected="a model decision after each tool result",
            actual=f"the run finished without reading {_names(unread)}",
            step=unread[0].step,
        )


def _writes_keyed(trace: Trace, calls: tuple[ActualCall, ...]) -> Iterator[Finding]:
    # Recordings of other agent frameworks hold no idempotency keys.
    if trace.source in _FOREIGN:
        return
    for call in calls:
        if call.tool.write and call.started and call.tool.idempotency_key is None:
            yield Finding(
                path=("invariant", "writes_keyed"),
                expected="an idempotency key on each write",
                actual=f"{call.tool.name} at step {call.step} started without one",
                step=call.step,
            )


def _approvals_given(trace: Trace, calls: tuple[ActualCall, ...], header: Header) -> Iterator[Finding]:
    granted = [(a.tool, a.args_hash) for a in trace.approvals if a.decision == "granted"]
    for call in calls:
        if call.tool.name not in header.policy.approve or not call.started:
            continue
        answer = (call.tool.name, call.tool.args_hash)
        if answer in granted:
            granted.remove(answer)  # an approval covers one call
            continue
        yield Finding(
            path=("invariant", "writes_approved"),
            expected="a granted approval of the exact call",
            actual=f"{call.tool.name} at step {call.step} started without one",
            step=call.step,
        )


def _budget_kept(trace: Trace, calls: tuple[ActualCall, ...], header: Header) -> Iterator[Finding]:
    budget, totals, stop = header.budget, trace.totals, trace.stop_reason
    started = sum(c.tool.attempts > 0 for c in calls)
    yield from _over("max_steps", totals.steps, budget.max_steps)
    yield from _over("max_tool_calls", started, budget.max_tool_calls)
    limit = budget.max_usd_nanos
    if limit is not None and totals.cost_nanousd is not None and totals.cost_nanousd > limit:
        yield _exceeded("max_usd", f"{usd_text(limit)} USD", f"{usd_text(totals.cost_nanousd)} USD")
    # Tokens are known only after the reply, so the call that crosses the limit is allowed, but must be the last.
    if stop != "max_tokens":
        yield from _over("max_tokens", totals.total_tokens, budget.max_tokens)
    seconds = budget.max_seconds
    if (
        seconds is not None
        and totals.duration_s is not None
        and totals.duration_s > seconds + _DEADLINE_GRACE_S
    ):
        yield _exceeded("max_seconds", f"{seconds:g} s", f"{totals.duration_s:.3f} s")


def _over(name: str, used: int | None, limit: int | None) -> Iterator[Finding]:
    if used is not None and limit is not None and used > limit:
        yield _exceeded(name, str(limit), str(used))


def _exceeded(name: str, limit: str, used: str) -> Finding:
    return Finding(path=("invariant", "budget_kept", name), expected=f"at most {limit}", actual=used)


def _no_secrets(trace: Trace, looks_secret: LooksSecret) -> Iterator[Finding]:
    texts = [entry for entry in _texts(trace) if entry[3]]
    # Search all texts at once first: nearly every run is clean.
    if looks_secret("\n".join([text for _, _, _, text in texts]).encode("utf-8", "replace")) is None:
        return
    for step, words, path, text in texts:
        shape = looks_secret(text.encode("utf-8", "replace"))
        if shape is not None:
            place = " ".join(part for part in (words, path_text(path)) if part)
            place = place if step is None else f"step {step}, {place}"
            if looks_secret(place.encode("utf-8", "replace")) is not None:
                place = f"step {step}, below a key that looks secret too,"
            yield Finding(
                path=("invariant", "no_secrets"),
                expected="no text that looks like a secret",
                actual=f"{place} looks like {shape}",
                nearest="name the value for redaction, then record again",
                step=step,
            )


def _texts(trace: Trace) -> Iterator[tuple[int | None, str, tuple[str | int, ...], str]]:
    """Yield each text of a trace with its place: step, words, and path in arguments."""
    if trace.output is not None:
        yield None, "the output", (), trace.output
    for step in trace.steps:
        if step.model is not None:
            yield step.index, "model text", (), step.model.text
            yield step.index, "reasoning", (), step.model.reasoning or ""
        for call in step.tool_calls:
            for path, text in _leaves(call.arguments, ()):
                yield step.index, f"{call.name} arguments", path, text
            yield step.index, f"{call.name} result", (), call.result or ""
            yield step.index, f"{call.name} error", (), call.error or ""
    for denial in trace.denials:
        yield denial.step, "denial", (), denial.message
    for approval in trace.approvals:
        yield approval.step, "approval", (), approval.reason or ""


def _leaves(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, "a key"), key
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*path, index))


def _names(calls: list[ActualCall]) -> str:
    return ", ".join(f"{c.tool.name} at step {c.step}" for c in calls)
