"""The rules of golden tasks in Python, with the same names: `check(trace).stop_reason("finish").verify()`."""

from __future__ import annotations

import itertools
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.golden.rules import calls as call_rules
from harness.golden.rules import totals as run_rules
from harness.golden.rules.expect import (
    Approvals,
    Cost,
    Counts,
    Onces,
    Output,
    Pairs,
    Specs,
    StopPatterns,
    Tokens,
    Tools,
    Turns,
)
from harness.golden.rules.facts import CheckFailure, Finding, facts_of, failure_of
from harness.golden.rules.matchers import path_text
from harness.golden.rules.pairing import Mode
from runtime.core.run import ToolDecl
from runtime.core.signatures import checks_arguments
from runtime.core.trace import Trace
from runtime.errors import UsageError

_open: dict[int, tuple[str, list[CheckFailure]]] = {}
"""Checks that nobody verified yet: the place of their last rule, and their failures. They outlive the object."""
_keys = itertools.count(1)
_ADAPTERS: dict[str, TypeAdapter[Any]] = {}


@checks_arguments
def check(
    trace: Trace,
    *,
    baseline: Trace | None = None,
    known_tools: frozenset[str] | None = None,
    tools: Iterable[ToolDecl] = (),
    folder: Path = Path(),
) -> TraceCheck:
    """Return an object whose methods are the rules of golden tasks.

    Each method judges its rule at once. `verify()` or the end of a `with` block raises one AssertionError that
    lists all failures. A check that is never verified warns.

    Args:
        trace: The run's trace.
        baseline: The accepted trace, for rules that compare with it.
        known_tools: The agent's tools; `None` takes those that the trace knows.
        tools: Declarations of the agent's tools (`tool.decl`), against which argument names and values are checked.
        folder: Folder to which names of JSON Schema files are relative.
    """
    return TraceCheck(trace, baseline=baseline, known_tools=known_tools, tools=tools, folder=folder)


class TraceCheck:
    """Rules on one trace; each method returns the object itself.

    Attributes:
        failures: The failures so far.
    """

    @checks_arguments
    def __init__(
        self,
        trace: Trace,
        *,
        baseline: Trace | None,
        known_tools: frozenset[str] | None,
        tools: Iterable[ToolDecl],
        folder: Path,
    ) -> None:
        declared = tuple(tools)
        if known_tools is None and declared:
            known_tools = frozenset(decl.schema.name for decl in declared)
        self._facts = facts_of(
            trace, baseline=baseline, known_tools=known_tools, tools=declared, folder=folder.as_posix()
        )
        self.failures: list[CheckFailure] = []
        self._key: int | None = None

    def stop_reason(self, *patterns: str) -> TraceCheck:
        """Expect the stop reason to match one of some texts or globs."""
        return self._judge("stop_reason", StopPatterns, list(patterns), run_rules.check_stop_reason)

    def tools(self, mode: Mode, *calls: str | dict[str, Any]) -> TraceCheck:
        """Expect calls in a mode: exact, in_order, any_order, subset or superset."""
        return self._judge("tools", Tools, {"mode": mode, "calls": list(calls)}, call_rules.check_tools)

    def tools_exact(self, *calls: str | dict[str, Any]) -> TraceCheck:
        """Expect these calls in this order and no others."""
        return self.tools("exact", *calls)

    def tools_in_order(self, *calls: str | dict[str, Any]) -> TraceCheck:
        """Expect these calls in this order; other calls may come between."""
        return self.tools("in_order", *calls)

    def tools_any_order(self, *calls: str | dict[str, Any]) -> TraceCheck:
        """Expect these calls in any order and no others."""
        return self.tools("any_order", *calls)

    def tools_subset(self, *calls: str | dict[str, Any]) -> TraceCheck:
        """Expect no calls other than these."""
        return self.tools("subset", *calls)

    def tools_superset(self, *calls: str | dict[str, Any]) -> TraceCheck:
        """Expect at least these calls."""
        return self.tools("superset", *calls)

    def never(self, *calls: str | dict[str, Any]) -> TraceCheck:
        """Expect that the model requests none of these calls."""
        return self._judge("never", Specs, list(calls), call_rules.check_never)

    def before(self, first: str | dict[str, Any], second: str | dict[str, Any]) -> TraceCheck:
        """Expect that, if the second call starts, the first call started in an earlier turn."""
        return self._judge("before", Pairs, [[first, second]], call_rules.check_before)

    def same_turn(self, *calls: str | dict[str, Any]) -> TraceCheck:
        """Expect one turn that requests all these calls."""
        return self._judge("same_turn", Turns, [list(calls)], call_rules.check_same_turn)

    def at_most_once(self, *calls: str | dict[str, Any]) -> TraceCheck:
        """Expect that the effect of each call happens at most once."""
        return self._judge("at_most_once", Onces, list(calls), call_rules.check_at_most_once)

    def approvals(self, tool: str, decision: str | None = None) -> TraceCheck:
        """Expect that an approval of a tool was requested, and optionally its decision."""
        rule = [{"tool": tool, "decision": decision}]
        return self._judge("approvals", Approvals, rule, call_rules.check_approvals)

    def counts(self, **bounds: Any) -> TraceCheck:
        """Expect counts: numbers, or `{"min": n, "max": n}`; names as in a task file."""
        return self._judge("counts", Counts, bounds, run_rules.check_counts)

    def loop_free(self) -> TraceCheck:
        """Expect no tool called three times in a row with equal arguments."""
        return self._add(run_rules.check_loop_free(self._facts, ("loop_free",)))

    def cost(self, **limits: Any) -> TraceCheck:
        """Expect a cost: `max_usd=0.03`, `vs_baseline={"max_ratio": 1.1}`."""
        return self._judge("cost", Cost, limits, run_rules.check_cost)

    def tokens(self, **bounds: Any) -> TraceCheck:
        """Expect token counts: `input`, `output`, `total`."""
        return self._judge("tokens", Tokens, bounds, run_rules.check_tokens)

    def output(self, **rules: Any) -> TraceCheck:
        """Expect things of the output: `contains`, `not_contains`, `regex`, `equals`, `json_schema`."""
        return self._judge("output", Output, rules, run_rules.check_output)

    def trace(self) -> TraceCheck:
        """Expect the same trace as the baseline."""
        return self._add(run_rules.check_trace(self._facts, ("trace",)))

    def verify(self) -> None:
        """Raise one AssertionError that lists all failures, if there are any."""
        self.close()
        if self.failures:
            count = len(self.failures)
            head = f"{count} rule{'s do' if count > 1 else ' does'} not hold"
            raise AssertionError("\n".join([head, *(f.message for f in self.failures)]))

    @property
    def unverified(self) -> bool:
        """Whether rules were judged since they were last verified."""
        return self._key in _open

    def close(self) -> None:
        """Count the rules as verified; for a caller that reports `failures` in its own way."""
        _open.pop(self._key or 0, None)

    def __enter__(self) -> TraceCheck:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        if kind is None:
            self.verify()

    def __del__(self) -> None:
        # A test of pytest that leaves a check open fails; the plugin says so.
        in_test = "harness.plugin" in sys.modules and "PYTEST_CURRENT_TEST" in os.environ
        if getattr(self, "_key", None) in _open and not in_test:
            warnings.warn("a trace check was never verified; call verify()", ResourceWarning, stacklevel=2)

    def _judge(
        self,
        name: str,
        shape: Any,
        rule: Any,
        judge: Callable[[Any, Any, tuple[str | int, ...]], Iterator[Finding]],
    ) -> TraceCheck:
        return self._add(judge(self._read(name, shape, rule), self._facts, (name,)))

    def _read(self, name: str, shape: Any, rule: Any) -> Any:
        adapter = _ADAPTERS.setdefault(name + str(shape), TypeAdapter(shape))
        try:
            return adapter.validate_python(rule)
        except ValidationError as error:
            entries = error.errors(include_url=False)
            texts = [f"{path_text((name, *e['loc']))}: {e['msg']}, found {e['input']!r}" for e in entries]
            raise UsageError("; ".join(texts), where=_caller(), next_step="correct the rule") from error

    def _add(self, found: Iterator[Finding]) -> TraceCheck:
        where = _caller()
        if self._key is None:
            self._key = next(_keys)
        _open[self._key] = (where, self.failures)
        self.failures += [failure_of(finding, where) for finding in found]
        return self


def unverified_text() -> str | None:
    """Return what checks found that nobody verified; `None` where none is open. Internal to goldrun."""
    if not _open:
        return None
    lines = ["a check was never verified: call verify(), or use it in a with block"]
    for where, failures in _open.values():
        lines.append(f"  at {where}: {len(failures)} of its rules do not hold")
        lines += [f"  {line}" for failure in failures for line in failure.message.splitlines()]
    return "\n".join(lines)


def forget_unverified() -> None:
    """Count all checks as verified: the test that made them is over. Internal to goldrun."""
    _open.clear()


def _caller() -> str:
    """Return `file:line` of the nearest frame outside this file."""
    frame = sys._getframe(1)  # noqa: SLF001  # the only way to a caller's line without building a traceback
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
