"""Rules about the run as a whole: stop reason, counts, loops, cost, tokens, output, baseline."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from harness.golden.baseline import aligned, baseline_changes
from harness.golden.rules.expect import Cost, Counts, Output, Range, Tokens
from harness.golden.rules.facts import Facts, Finding, RulePath, suggestion
from harness.golden.rules.matchers import compiled, mismatches, shown
from harness.golden.rules.vacuity import vacuous
from runtime.core.money import usd_text, usd_to_nanos
from runtime.core.totals import LOOP_LENGTH

_TOOL_KINDS = frozenset(
    {
        "approval_denied",
        "approval_timeout",
        "tool_timeout",
        "tool_error_exhausted",
        "tool_unhealthy",
        "tool_rate_limited",
        "tool_disabled",
        "in_doubt",
        "concurrency_limited",
    }
)
"""Stop reasons whose subject is a tool of the agent. A denial is not among them: it may name an unknown tool."""
_MODEL_KINDS = frozenset(
    {"model_timeout", "model_error_exhausted", "model_unhealthy", "model_refused", "model_rate_limited"}
)
"""Stop reasons whose subject is a model."""
_ACCEPT = "accept it, if it is wanted, with `pytest FILE --golden-update=changed`"
_NO_BASELINE = "no baseline is stored"
_RECORD_BASELINE = "accept one with --golden-update=new"


def check_stop_reason(
    patterns: tuple[str, ...], facts: Facts, path: RulePath = ("expect", "stop_reason")
) -> Iterator[Finding]:
    """Yield a finding if no pattern matches the stop reason, and one for each pattern with an unknown tool."""
    for pattern in patterns:
        kind, _, subject = pattern.partition(":")
        if not subject or set(subject) & set("*?["):
            continue
        if kind in _TOOL_KINDS and (vague := vacuous(path, subject, facts)) is not None:
            yield vague
        # A denial may name a tool that the agent has not: a similar name is a misspelled one.
        if kind == "policy_deny" and (vague := vacuous(path, subject, facts)) is not None and vague.nearest:
            yield vague
        if kind in _MODEL_KINDS and facts.models and subject not in facts.models:
            near = suggestion(subject, facts.models)
            yield Finding(
                path=path,
                expected="a model that the run may ask",
                actual=f"{subject!r} is not one; models are {', '.join(sorted(facts.models))}",
                nearest=None if near is None else f"did you mean {near!r}?",
                kind="vacuous",
            )
    actual = facts.trace.stop_reason
    if any(fnmatch.fnmatchcase(actual, p) for p in patterns):
        return
    near = suggestion(actual, patterns)
    last = facts.trace.steps[-1].index if facts.trace.steps else None
    yield Finding(
        path=path,
        expected=" or ".join(patterns),
        actual=actual,
        nearest=None if near is None or len(patterns) == 1 else near,
        step=last,
    )


def check_counts(rule: Counts, facts: Facts, path: RulePath = ("expect", "counts")) -> Iterator[Finding]:
    """Yield each count outside its bounds."""
    totals = facts.trace.totals
    for name in Counts.model_fields:
        bounds = getattr(rule, name)
        if isinstance(bounds, Range) and not bounds.holds(count := getattr(totals, name)):
            nearest = _count_hint(name, facts)
            yield Finding(path=(*path, name), expected=str(bounds), actual=str(count), nearest=nearest)
    for tool, bounds in rule.by_tool.items():
        if (vague := vacuous((*path, "by_tool", tool), tool, facts)) is not None:
            yield vague
            continue
        count = sum(c.tool.name == tool for c in facts.calls)
        if not bounds.holds(count):
            yield Finding(
                path=(*path, "by_tool", tool), expected=f"{bounds} calls of {tool}", actual=str(count)
            )
    for status, bounds in rule.by_status.items():
        count = sum(c.tool.status == status for c in facts.calls)
        if not bounds.holds(count):
            where = (*path, "by_status", status)
            yield Finding(path=where, expected=f"{bounds} calls with status {status}", actual=str(count))


def check_loop_free(facts: Facts, path: RulePath = ("expect", "loop_free")) -> Iterator[Finding]:
    """Yield the loops of the run."""
    loops = facts.trace.totals.loops
    if loops:
        what = f"no tool called {LOOP_LENGTH} times in a row with equal arguments"
        yield Finding(
            path=path, expected=what, actual=f"{loops} such stretches", nearest=_count_hint("loops", facts)
        )


def check_cost(rule: Cost, facts: Facts, path: RulePath = ("expect", "cost")) -> Iterator[Finding]:
    """Yield each cost limit that is exceeded; an unknown price fails."""
    nanos = facts.trace.totals.cost_nanousd
    if rule.max_usd is not None:
        limit = usd_to_nanos(rule.max_usd)
        if nanos is None:
            yield Finding(
                path=(*path, "max_usd"), expected=f"at most {usd_text(limit)} USD", actual=_unpriced(facts)
            )
        elif nanos > limit:
            actual = f"{usd_text(nanos)} USD in {facts.trace.totals.model_calls} model calls"
            yield Finding(path=(*path, "max_usd"), expected=f"at most {usd_text(limit)} USD", actual=actual)
    if rule.vs_baseline is None:
        return
    where = (*path, "vs_baseline")
    ratio, least = rule.vs_baseline.max_ratio, rule.vs_baseline.min_delta_usd
    expected = f"at most {ratio:g} times the baseline, or less than {least:g} USD above it"
    if facts.baseline is None:
        yield Finding(path=where, expected=expected, actual=_NO_BASELINE, nearest=_RECORD_BASELINE)
        return
    base = facts.baseline.totals.cost_nanousd
    if nanos is None or base is None:
        actual = _unpriced(facts) if nanos is None else "the baseline's cost is unknown"
        yield Finding(path=where, expected=expected, actual=actual)
        return
    over = Decimal(nanos) > Decimal(base) * Decimal(str(ratio))
    if over and nanos > base and nanos - base >= usd_to_nanos(least):
        times = f", {nanos / base:.3g} times" if base else ""
        actual = f"{usd_text(nanos)} USD, baseline {usd_text(base)} USD{times}"
        yield Finding(path=where, expected=expected, actual=actual)


def check_tokens(rule: Tokens, facts: Facts, path: RulePath = ("expect", "tokens")) -> Iterator[Finding]:
    """Yield each token count outside its bounds; unknown usage fails."""
    totals = facts.trace.totals
    counts = {"input": totals.input_tokens, "output": totals.output_tokens, "total": totals.total_tokens}
    for name, count in counts.items():
        bounds: Range | None = getattr(rule, name)
        if bounds is None:
            continue
        if count is None:
            actual = (
                "unknown: a reply came without usage" if facts.trace.model_calls else "unknown: no model call"
            )
            yield Finding(path=(*path, name), expected=f"{bounds} {name} tokens", actual=actual)
        elif not bounds.holds(count):
            yield Finding(path=(*path, name), expected=f"{bounds} {name} tokens", actual=f"{count:,}")


def check_output(rule: Output, facts: Facts, path: RulePath = ("expect", "output")) -> Iterator[Finding]:
    """Yield each expectation that the output does not fulfil; a run without output fails."""
    output = facts.trace.output
    if output is None:
        actual = f"the run has no output; it ended with {facts.trace.stop_reason}"
        yield Finding(path=path, expected="an output", actual=actual)
        return
    for index, text in enumerate(rule.contains or ()):
        if text not in output:
            near = "the same with other capitals is there" if text.lower() in output.lower() else None
            where = (*path, "contains", index)
            yield Finding(path=where, expected=f"output with {text!r}", actual=shown(output), nearest=near)
    for index, text in enumerate(rule.not_contains or ()):
        if text in output:
            at = output.index(text)
            around = shown(output[max(at - 40, 0) : at + len(text) + 40])
            yield Finding(
                path=(*path, "not_contains", index), expected=f"output without {text!r}", actual=around
            )
    for index, pattern in enumerate(rule.regex or ()):
        if compiled(pattern).search(output) is None:
            where = (*path, "regex", index)
            yield Finding(path=where, expected=f"output with regex {pattern!r}", actual=shown(output))
    if "equals" in rule.model_fields_set:
        yield from _equals(rule.equals, output, (*path, "equals"))
    if rule.json_schema is not None:
        yield from _schema(rule.json_schema, output, facts, (*path, "json_schema"))


def check_trace(facts: Facts, path: RulePath = ("expect", "trace")) -> Iterator[Finding]:
    """Yield the first difference from the baseline; a missing baseline fails."""
    if facts.baseline is None:
        expected = "the stored baseline trace"
        yield Finding(path=path, expected=expected, actual=_NO_BASELINE, nearest=_RECORD_BASELINE)
        return
    for number, difference in enumerate(baseline_changes(facts.baseline, facts.trace)):
        shown = f"\n{aligned(facts.baseline, facts.trace)}\n{_ACCEPT}" if number == 0 else ""
        yield Finding(
            path=path,
            expected=f"as in the baseline: {difference.baseline}",
            actual=difference.actual,
            nearest=f"{difference.place}{shown}",
            step=difference.step,
        )


def _count_hint(name: str, facts: Facts) -> str | None:
    """Return the calls that make up a count, as a hint."""
    totals = facts.trace.totals
    match name:
        case "tool_calls":
            names = [f"{tool} {n}" for tool, n in totals.tool_calls_by_name.items()]
        case "tool_executions" | "retries":
            names = [f"{c} in {c.tool.attempts} attempts" for c in facts.calls if c.tool.attempts > 1]
        case "errors":
            names = [str(c) for c in facts.calls if c.tool.status in {"error", "timeout"}]
        case "denials":
            names = [f"{d.tool or 'a call'} by {d.rule} at step {d.step}" for d in facts.trace.denials]
        case "in_doubt":
            names = [str(c) for c in facts.calls if c.tool.status == "in_doubt"]
        case "loops":
            names = _looping(facts)
        case _:
            names = []
    return ", ".join(names[:6]) or None


def _looping(facts: Facts) -> list[str]:
    found, streak = [], 0
    for before, call in zip((None, *facts.calls), facts.calls, strict=False):
        same = before is not None and (before.tool.name, before.tool.args_hash) == (
            call.tool.name,
            call.tool.args_hash,
        )
        streak = streak + 1 if same else 1
        if streak == LOOP_LENGTH:
            found.append(str(call))
    return found


def _unpriced(facts: Facts) -> str:
    models = [m for m in facts.trace.model_calls if m.cost_nanousd is None]
    if not models:
        return "the cost is unknown: no model call has a price"
    names = ", ".join(sorted({m.response_model or m.request_model for m in models}))
    return f"the cost is unknown: no price or usage for {names}"


def _equals(expected: Any, output: str, path: RulePath) -> Iterator[Finding]:
    value: Any = output
    if not isinstance(expected, str) and not mismatches(expected, output):
        return
    if not isinstance(expected, str):
        from json import JSONDecodeError, loads

        try:
            value = loads(output)
        except JSONDecodeError:
            value = output
    for wrong in mismatches(expected, value):
        yield Finding(
            path=path,
            expected=wrong.expected,
            actual=wrong.actual,
            nearest=str(wrong) if wrong.path else None,
        )


def _schema(schema: dict[str, Any] | str, output: str, facts: Facts, path: RulePath) -> Iterator[Finding]:
    from json import JSONDecodeError, loads

    from harness.golden.rules.output_schema import SchemaProblem, schema_problems

    try:
        value = loads(output)
    except JSONDecodeError as error:
        yield Finding(path=path, expected="output that is JSON", actual=f"{shown(output)}: {error}")
        return
    try:
        problems = schema_problems(schema, value, Path(facts.folder))
    except SchemaProblem as problem:
        yield Finding(path=path, expected="a JSON Schema", actual=str(problem), kind="vacuous")
        return
    for place, text in problems:
        yield Finding(path=path, expected=f"output by the schema at {place or 'its root'}", actual=text)
