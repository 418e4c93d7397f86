"""The summary of a golden run: one verdict line, and the tasks that changed."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.golden.runner import GoldenOutcome
from harness.text import safe_text, table
from runtime.core.money import usd_text
from runtime.core.trace import Trace, parse_trace, trace_json


def summary_row(outcome: GoldenOutcome) -> dict[str, Any]:
    """Return a task's outcome as plain values, which can be sent between processes."""
    before, now = outcome.recorded, outcome.trace
    return {
        "task": outcome.task.task,
        "cause": outcome.cause,
        "stop_reason": now.stop_reason,
        "stop_before": before.stop_reason,
        "tool_calls": now.totals.tool_calls,
        "tool_calls_before": before.totals.tool_calls,
        "executions": now.totals.tool_executions,
        "executions_before": before.totals.tool_executions,
        "cost_usd": usd_text(now.totals.cost_nanousd),
        "cost_before": usd_text(before.totals.cost_nanousd),
        "total_tokens": now.totals.total_tokens,
        "failures": len(outcome.failures),
        "divergences": len(outcome.divergences),
    }


def judged_trace(outcome: GoldenOutcome) -> Trace:
    """Return the replayed trace with the result of the task's rules among its labels."""
    verdict = {"passed": outcome.passed, "failed_rules": [f.rule for f in outcome.failures], "replayed": True}
    return msgspec.structs.replace(outcome.trace, labels={**outcome.trace.labels, **verdict})


def trace_text(outcome: GoldenOutcome) -> str:
    """Return the judged trace as JSON text."""
    return msgspec.json.encode(trace_json(judged_trace(outcome))).decode()


def traces_of(texts: list[str]) -> list[Trace]:
    """Return the traces of documents that `trace_text` made."""
    return [parse_trace(msgspec.json.decode(text)) for text in texts]


def summary_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return the verdict line and a table of tasks whose stop reason, calls or cost changed."""
    failed = [r for r in rows if r["outcome"] == "failed"]
    changed = [r for r in rows if _changed(r)]
    verdict = "ok" if not failed else "failed"
    lines = [f"verdict: {verdict}: {len(rows) - len(failed)} of {len(rows)} tasks as expected"]
    if failed:
        causes = sorted({r["cause"] or "expectation" for r in failed})
        lines[0] += f"; causes: {', '.join(causes)}"
    if changed:
        cells = [
            [
                safe_text(r["task"], 40),
                _pair(r["stop_before"], r["stop_reason"]),
                _pair(r["tool_calls_before"], r["tool_calls"]),
                _pair(r["executions_before"], r["executions"]),
                _pair(r["cost_before"] or "unknown", r["cost_usd"] or "unknown"),
                r["cause"] or "",
            ]
            for r in sorted(changed, key=lambda r: r["task"])
        ]
        lines += table(cells, ["task", "stop reason", "calls", "executions", "cost $", "cause"]).splitlines()
    return lines


def _changed(row: dict[str, Any]) -> bool:
    pairs = [("stop_before", "stop_reason"), ("tool_calls_before", "tool_calls")]
    pairs += [("executions_before", "executions"), ("cost_before", "cost_usd")]
    return any(row[a] != row[b] for a, b in pairs)


def _pair(before: Any, now: Any) -> str:
    return str(now) if before == now else f"{before} -> {now}"
