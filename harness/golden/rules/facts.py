"""Input and output of the rules: the facts of a run, findings and failures."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from harness.golden.rules.matchers import (
    Mismatch,
    all_argument_mismatches,
    argument_mismatches,
    described,
    exact_args,
    path_text,
    shown,
)
from runtime.core.run import ToolDecl
from runtime.core.trace import ToolStep, Trace

RulePath = tuple[str | int, ...]
FailureKind = Literal["failed", "vacuous"]
NOT_STARTED = frozenset({"denied", "unknown_tool", "invalid_arguments", "not_started"})
"""Statuses of calls whose tool was never invoked."""
SHOWN_CALLS = 8
"""Maximum number of calls that a message lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActualCall:
    """One tool call of the run; `position` is its index among all calls, `step` the index of its step."""

    position: int
    step: int
    tool: ToolStep

    @property
    def started(self) -> bool:
        """Whether the tool was invoked."""
        return self.tool.attempts > 0 and self.tool.status not in NOT_STARTED

    def __str__(self) -> str:
        status = "" if self.tool.status == "ok" else f" [{self.tool.status}]"
        return f"{self.tool.name}({shown(self.tool.arguments)}){status} at step {self.step}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts by which rules are judged.

    Attributes:
        trace: The run.
        calls: Its tool calls in order.
        baseline: The accepted trace, if one is stored.
        known_tools: The agent's tools, and those that the run or the baseline calls.
        all_tools_known: Whether the agent has no other tools; otherwise a name that is not known may be right.
        tools: Declarations of the agent's tools, from its code and from the recording.
        models: Models that the run may ask; empty if unknown.
        folder: Folder to which file names in the task are relative.
    """

    trace: Trace
    calls: tuple[ActualCall, ...]
    baseline: Trace | None = None
    known_tools: frozenset[str] = frozenset()
    all_tools_known: bool = False
    tools: tuple[ToolDecl, ...] = ()
    models: frozenset[str] = frozenset()
    folder: str = "."

    def declarations(self, tool: str) -> list[ToolDecl]:
        """Return the declarations of a tool; several where code and recording differ."""
        return [decl for decl in self.tools if decl.schema.name == tool]

    def schemas(self, tool: str) -> list[dict[str, Any]]:
        """Return the JSON Schemas of a tool's arguments, as far as they are known."""
        return [decl.schema.parameters for decl in self.declarations(tool)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A difference that a rule found.

    Attributes:
        path: The rule's place in the task.
        expected: What was expected, in words.
        actual: What the run has instead, in words.
        nearest: The nearest thing in the run, or a suggestion.
        step: Step of the run the finding is about; `None` for the run as a whole.
        kind: `vacuous` for a rule that can match nothing.
    """

    path: RulePath
    expected: str
    actual: str
    nearest: str | None = None
    step: int | None = None
    kind: FailureKind = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFailure:
    """A rule that does not hold, with its place in the task file.

    Attributes:
        rule: Its place in the task, for example `expect.tools.calls[0]`.
        where: `file:line`.
        expected: What was expected, in words.
        actual: What the run has instead, in words.
        nearest: The nearest thing in the run, or a suggestion; `None` if there is none.
        kind: `vacuous` for a rule that can match nothing. That is a mistake in the task, whatever the run does.
        step: Step of the run that the failure is about; `None` for the run as a whole.
        consequence: Whether it follows from a divergence of the replay; look at the divergence first.
    """

    rule: str
    where: str
    expected: str
    actual: str
    nearest: str | None = None
    kind: FailureKind = "failed"
    step: int | None = None
    consequence: bool = False

    @property
    def message(self) -> str:
        """The failure in two to four lines."""
        note = " (follows the divergence)" if self.consequence else ""
        text = f"{self.where}: {self.rule}{note}\n  expected: {self.expected}\n  actual:   {self.actual}"
        return text if self.nearest is None else f"{text}\n  nearest:  {self.nearest}"

    def __str__(self) -> str:
        return self.message


def failure_of(finding: Finding, where: str, *, tainted_from: int | None = None) -> CheckFailure:
    """Return a finding as a failure with its place in the file.

    Args:
        finding: The finding.
        where: `file:line` of the rule.
        tainted_from: Step of the first divergence. A finding about that step, a later step or the whole run is a
            consequence of it.
    """
    follows = tainted_from is not None and (finding.step is None or finding.step >= tainted_from)
    return CheckFailure(
        rule=path_text(finding.path),
        where=where,
        expected=finding.expected,
        actual=finding.actual,
        nearest=finding.nearest,
        kind=finding.kind,
        step=finding.step,
        consequence=follows and finding.kind == "failed",
    )


def facts_of(
    trace: Trace,
    *,
    baseline: Trace | None = None,
    known_tools: frozenset[str] | None = None,
    tools: Iterable[ToolDecl] = (),
    models: Iterable[str] = (),
    folder: str = ".",
) -> Facts:
    """Return the facts of a run.

    Args:
        trace: The run.
        baseline: The accepted trace, if one is stored.
        known_tools: Names of all tools of the agent; `None` takes those that the trace knows.
        tools: Declarations of tools, from the agent's code or from a recording.
        models: Models that the run may ask.
        folder: Folder to which file names in the task are relative.
    """
    calls = tuple(
        ActualCall(position=i, step=step, tool=tool)
        for i, (step, tool) in enumerate((s.index, c) for s in trace.steps for c in s.tool_calls)
    )
    if known_tools is None and trace.tools_known is not None:
        known_tools = frozenset(trace.tools_known)
    called = {c.tool.name for c in calls} | {d.tool for d in trace.denials if d.tool is not None}
    if baseline is not None:
        called |= {c.name for c in baseline.tool_calls}
    return Facts(
        trace=trace,
        calls=calls,
        baseline=baseline,
        known_tools=(known_tools or frozenset()) | called,
        all_tools_known=known_tools is not None,
        tools=tuple(tools),
        models=frozenset(models),
        folder=folder,
    )


def suggestion(word: str, names: Iterable[str]) -> str | None:
    """Return the name most similar to a word; `None` if none is similar."""
    return next(iter(difflib.get_close_matches(word, sorted(names), 1)), None)


def call_list(calls: Iterable[ActualCall]) -> str:
    """Return calls in words; only the first few if there are many."""
    all_calls = list(calls)
    text = "; ".join(str(call) for call in all_calls[:SHOWN_CALLS])
    more = len(all_calls) - SHOWN_CALLS
    return f"{text}; and {more} more" if more > 0 else text or "no call"


def spec_mismatches(
    tool: str, args: dict[str, object] | None, status: tuple[str, ...] | None, call: ActualCall
) -> list[Mismatch]:
    """Return where a call of the right tool differs from a specification; empty if it fits."""
    found: list[Mismatch] = []
    if call.tool.name != tool:
        found.append(Mismatch(("tool",), tool, call.tool.name))
    if status is not None and call.tool.status not in status:
        found.append(Mismatch(("status",), " or ".join(status), call.tool.status))
    if args is None:
        return found
    exact = exact_args(args)
    if exact is None:
        return found + argument_mismatches(args, call.tool.arguments)
    return found + all_argument_mismatches(exact, call.tool.arguments)


def spec_text(tool: str, args: dict[str, object] | None, status: tuple[str, ...] | None) -> str:
    """Return the specification of a call in words."""
    exact = exact_args(args)
    named = ((args if exact is None else exact) or {}).items()
    inside = ", ".join(f"{name}: {described(value)}" for name, value in named)
    if exact is not None:
        inside += " and nothing else" if inside else "no arguments"
    state = "" if status is None else f" [{' or '.join(status)}]"
    return f"{tool}({inside}){state}" if inside else f"{tool}{state}"
