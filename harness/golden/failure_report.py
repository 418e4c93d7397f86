"""What a failed golden task prints: the cause in its first line, then every divergence and failed rule."""

from __future__ import annotations

from typing import Any

from harness.golden.rules.facts import CheckFailure
from harness.golden.runner import GoldenOutcome
from harness.replay.divergence import describe, headline
from harness.text import safe_text
from runtime.errors import GoldrunError

SHOWN_DIVERGENCES = 5
SHOWN_CELLS = 106
"""Longest form of a value: with what stands before it, a line of 120."""
HEADLINE_CELLS = 160
"""Longest first line."""


def headline_of(outcome: GoldenOutcome) -> str:
    """Return one line: the cause of a failure and what changed, or the first rule that does not hold."""
    if outcome.divergences:
        return safe_text(headline(outcome.divergences[0]), HEADLINE_CELLS)
    first = next(iter(outcome.failures), None)
    return "as expected" if first is None else safe_text(_rule_line(first), HEADLINE_CELLS)


def _rule_line(failure: CheckFailure) -> str:
    return f"{failure.rule}: expected {failure.expected}, got {failure.actual}"


def effect_of(outcome: GoldenOutcome) -> str:
    """Return what a change did to the run, in words; it separates tasks of one cause."""
    before, now = outcome.recorded, outcome.trace
    if before.stop_reason != now.stop_reason:
        return f"stop reason {before.stop_reason} -> {now.stop_reason}"
    pairs = [
        ("tool executions", before.totals.tool_executions, now.totals.tool_executions),
        ("tool calls", before.totals.tool_calls, now.totals.tool_calls),
        ("model calls", before.totals.model_calls, now.totals.model_calls),
    ]
    changed = next((f"{name} {a} -> {b}" for name, a, b in pairs if a != b), None)
    if changed is not None:
        return changed
    if outcome.divergences:
        return "same behaviour over the recorded replies"
    return "" if not outcome.failures else "the run is as recorded"


def failure_text(outcome: GoldenOutcome) -> str:
    """Return one screen about a failed task: cause first, then every failed rule."""
    lines = [headline_of(outcome), f"  task: {outcome.task.task}"]
    if outcome.divergences:
        first = outcome.divergences[0]
        lines.append(f"  first divergence: {describe(first)}")
        if first.recorded is not None or first.replayed is not None:
            lines.append(f"    recorded: {_short(first.recorded)}")
            lines.append(f"    now:      {_short(first.replayed)}")
        rest = outcome.divergences[1 : SHOWN_DIVERGENCES + 1]
        lines += [f"  then: {describe(d)}" for d in rest]
        more = len(outcome.divergences) - 1 - len(rest)
        if more > 0:
            lines.append(f"  and {more} more that follow from it")
    lines += _change_lines(outcome)
    lines += _validation_lines(outcome)
    for failure in outcome.failures:
        lines += [f"  {line}" for line in failure.message.splitlines()]
    lines.append(f"  next: {_next_step(outcome)}")
    return "\n".join(lines)


def _change_lines(outcome: GoldenOutcome) -> list[str]:
    before, now = outcome.recorded, outcome.trace
    rows = [
        ("stop reason", before.stop_reason, now.stop_reason),
        ("tool calls", before.totals.tool_calls, now.totals.tool_calls),
        ("tool executions", before.totals.tool_executions, now.totals.tool_executions),
        ("model calls", before.totals.model_calls, now.totals.model_calls),
    ]
    changed = [f"{name} {a} -> {b}" for name, a, b in rows if a != b]
    return [f"  recorded -> now: {', '.join(changed)}"] if changed else []


def _validation_lines(outcome: GoldenOutcome) -> list[str]:
    """Return the validation errors that the recording does not have; equal ones once."""
    errors = {
        c.error: c.name for c in outcome.trace.tool_calls if c.status == "invalid_arguments" and c.error
    }
    before = {c.error for c in outcome.recorded.tool_calls}
    shown = [(name, text) for text, name in errors.items() if text not in before][:SHOWN_DIVERGENCES]
    return [f"  validation errors of {name}: {_short(_problems(text))}" for name, text in shown]


def _problems(text: str) -> str:
    return "; ".join(line.removeprefix("- ") for line in text.splitlines()[1:])


def _next_step(outcome: GoldenOutcome) -> str:
    task = outcome.task
    if not outcome.divergences:
        return "correct the rule in the task file, or the agent"
    wanted = "import or lift its recording again" if task.is_recorded else f"`goldrun record {task.task}`"
    return f"undo the change; if it is wanted, {wanted}"


def _short(value: Any) -> str:
    return safe_text(value if isinstance(value, str) else repr(value), SHOWN_CELLS)


def error_text(error: GoldrunError) -> str:
    """Return an error that kept a task from running, what is wrong in the first line."""
    lines = [f"could not run: {error.what}"]
    lines += [f"  at:   {error.where}"] if error.where else []
    lines += [f"  next: {error.next_step}"] if error.next_step else []
    return "\n".join(lines)
