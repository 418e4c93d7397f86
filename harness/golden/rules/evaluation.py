"""Judge a trace by the rules of a golden task; every rule that does not hold is reported."""

from __future__ import annotations

from collections.abc import Iterator

from harness.golden.rules.calls import (
    check_approvals,
    check_at_most_once,
    check_before,
    check_never,
    check_same_turn,
    check_tools,
)
from harness.golden.rules.expect import Expect
from harness.golden.rules.facts import CheckFailure, Facts, Finding, facts_of, failure_of, suggestion, vacuous
from harness.golden.rules.totals import (
    check_cost,
    check_counts,
    check_loop_free,
    check_output,
    check_stop_reason,
    check_tokens,
    check_trace,
)
from harness.golden.task import GoldenTask
from runtime.core.run import Header
from runtime.core.trace import Trace

__all__ = ["CheckFailure", "evaluate", "findings"]


def evaluate(
    task: GoldenTask,
    trace: Trace,
    *,
    baseline: Trace | None,
    known_tools: frozenset[str] | None,
    header: Header | None = None,
    tainted_from: int | None = None,
) -> list[CheckFailure]:
    """Return each rule of a task that the trace of its run breaks, in the order of the file.

    Args:
        task: The golden task.
        trace: What its run did.
        baseline: The accepted trace, if one is stored; rules that need it fail without.
        known_tools: Tools the agent has; `None` takes those of the header or the trace, where they are known.
        header: The run's header.
        tainted_from: Step of the replay's first divergence; failures about that step, a later one or the run
            as a whole are marked as its consequence.

    Returns:
        The failures; a rule that can match nothing is one of kind `vacuous`.
    """
    if known_tools is None and header is not None and header.tools != "opaque":
        known_tools = frozenset(tool.schema.name for tool in header.tools)
    folder = task.path.parent.as_posix()
    facts = facts_of(trace, baseline=baseline, known_tools=known_tools, folder=folder)
    found = [*_policy_names(task, facts, known_tools), *findings(task.expect, facts)]
    failures = [(f, failure_of(f, task.where(f.path), tainted_from=tainted_from)) for f in found]
    failures.sort(key=lambda pair: task.line_of(pair[0].path))
    return [failure for _, failure in failures]


def findings(expect: Expect, facts: Facts) -> Iterator[Finding]:
    """Yield what each rule finds."""
    if expect.stop_reason is not None:
        yield from check_stop_reason(expect.stop_reason, facts)
    if expect.tools is not None:
        yield from check_tools(expect.tools, facts)
    yield from check_never(expect.never or (), facts)
    yield from check_before(expect.before or (), facts)
    yield from check_same_turn(expect.same_turn or (), facts)
    yield from check_at_most_once(expect.at_most_once or (), facts)
    if expect.counts is not None:
        yield from check_counts(expect.counts, facts)
    yield from check_approvals(expect.approvals or (), facts)
    if expect.loop_free:
        yield from check_loop_free(facts)
    if expect.cost is not None:
        yield from check_cost(expect.cost, facts)
    if expect.tokens is not None:
        yield from check_tokens(expect.tokens, facts)
    if expect.output is not None:
        yield from check_output(expect.output, facts)
    if expect.trace is not None:
        yield from check_trace(facts)


def _policy_names(task: GoldenTask, facts: Facts, known_tools: frozenset[str] | None) -> Iterator[Finding]:
    """Yield names in the policy that no tool has.

    A misspelt name in `approve` would let a call go without approval. One in `allow` is told only where another
    tool has nearly that name: a shared list may well allow more tools than an agent has.
    """
    if task.policy is None or facts.known_tools is None:
        return
    for index, tool in enumerate(task.policy.approve):
        if (vague := vacuous(("policy", "approve", index), tool, facts)) is not None:
            yield vague
    allow = () if isinstance(task.policy.allow, str) else task.policy.allow
    for index, tool in enumerate(allow):
        vague = vacuous(("policy", "allow", index), tool, facts)
        unlisted = (known_tools or facts.known_tools) - set(allow)
        if vague is not None and suggestion(tool, unlisted) is not None:
            yield vague
