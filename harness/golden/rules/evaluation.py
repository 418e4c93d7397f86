"""Judge a trace by the rules of a golden task, and report every rule that does not hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.golden.rules.calls import (
    check_approvals,
    check_at_most_once,
    check_before,
    check_never,
    check_same_turn,
    check_tools,
)
from harness.golden.rules.expect import Expect
from harness.golden.rules.facts import CheckFailure, Facts, Finding, facts_of, failure_of, suggestion
from harness.golden.rules.totals import (
    check_cost,
    check_counts,
    check_loop_free,
    check_output,
    check_stop_reason,
    check_tokens,
    check_trace,
)
from harness.golden.rules.vacuity import vacuous
from harness.golden.task import GoldenTask
from runtime.core.run import Header, ToolDecl
from runtime.core.trace import Trace

__all__ = ["CheckFailure", "evaluate", "findings", "judged", "task_facts"]


def evaluate(
    task: GoldenTask,
    trace: Trace,
    *,
    baseline: Trace | None,
    known_tools: frozenset[str] | None,
    header: Header | None = None,
    tools: Iterable[ToolDecl] = (),
    tainted_from: int | None = None,
) -> list[CheckFailure]:
    """Return each rule of a task that the run's trace breaks, in file order.

    Args:
        task: The golden task.
        trace: The run's trace.
        baseline: The accepted trace, if one is stored; rules that need it fail without it.
        known_tools: The agent's tools; `None` takes those of the header or the trace, if they are known.
        header: The run's header; it declares tools and models.
        tools: Declarations of the agent's own tools.
        tainted_from: Step of the replay's first divergence. Failures about that step, a later step or the whole
            run are marked as its consequence.

    Returns:
        The failures. A rule that can match nothing is a failure of kind `vacuous`.
    """
    facts = task_facts(task, trace, baseline=baseline, known_tools=known_tools, header=header, tools=tools)
    return judged(task, facts, tainted_from=tainted_from)


def judged(task: GoldenTask, facts: Facts, *, tainted_from: int | None = None) -> list[CheckFailure]:
    """Return each rule of a task that does not hold; as `evaluate`, from facts."""
    found = [*_policy_names(task, facts), *findings(task.expect, facts)]
    failures = [(f, failure_of(f, task.where(f.path), tainted_from=tainted_from)) for f in found]
    failures.sort(key=lambda pair: task.line_of(pair[0].path))
    return [failure for _, failure in failures]


def task_facts(
    task: GoldenTask,
    trace: Trace,
    *,
    baseline: Trace | None,
    known_tools: frozenset[str] | None,
    header: Header | None,
    tools: Iterable[ToolDecl] = (),
) -> Facts:
    """Return the facts of a task's run; arguments as of `evaluate`."""
    declared = () if header is None or header.tools == "opaque" else header.tools
    if known_tools is None and header is not None and header.tools != "opaque":
        known_tools = frozenset(tool.schema.name for tool in header.tools)
    return facts_of(
        trace,
        baseline=baseline,
        known_tools=known_tools,
        tools=(*tools, *declared),
        models=() if header is None else header.models,
        folder=task.path.parent.as_posix(),
    )


def findings(expect: Expect, facts: Facts) -> Iterator[Finding]:
    """Yield the findings of each rule."""
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


def _policy_names(task: GoldenTask, facts: Facts) -> Iterator[Finding]:
    """Yield the names in the policy that no tool has.

    A misspelled name in `approve` would let a call start without approval. A name in `allow` is reported only if
    another tool has a similar name: a shared list may allow more tools than an agent has.
    """
    if task.policy is None or not facts.all_tools_known:
        return
    for index, tool in enumerate(task.policy.approve):
        if (vague := vacuous(("policy", "approve", index), tool, facts)) is not None:
            yield vague
    for index, tool in enumerate(task.policy.allow or ()):
        vague = vacuous(("policy", "allow", index), tool, facts)
        unlisted = facts.known_tools - set(task.policy.allow or ())
        if vague is not None and suggestion(tool, unlisted) is not None:
            yield vague
