"""Describe in words what decided a report, and what makes its two sides hard to compare."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.reports.columns import Bools, Columns
from harness.reports.report import Attribution, MetricChange, Report, ShareChange, TotalChange
from harness.reports.words import amount, metric_words, percent_change, share_words
from runtime.core.stop import parse_stop

_IDENTITY = (
    ("environment", "environments"),
    ("price_table", "price tables"),
    ("model", "models"),
    ("agent", "agents"),
    ("prompt_hash", "prompts"),
    ("tools_hash", "tool schemas"),
    ("policy_hash", "policies"),
)
_TOOLS_SHOWN = 3


def find_causes(report: Report) -> list[str]:
    """Return one line for each gated regression, then one for its origin."""
    regressed = [m for m in report.metrics if m.decision == "regressed" and m.gated]
    lines = [_metric_line(metric, report) for metric in regressed]
    typical = {metric.metric for metric in regressed}
    lines += [
        _total_line(t)
        for t in report.totals
        if t.decision in {"regressed", "warn"} and t.metric not in typical
    ]
    lines += [
        _share_line(share, report.stop_reasons) for share in report.shares if share.decision == "regressed"
    ]
    names = {m.metric for m in regressed} | {t.metric for t in report.totals if t.decision == "regressed"}
    if names & {"cost_usd", "total_tokens"} and report.attribution:
        lines += _attribution_lines(report.attribution)
    if "tool_calls" in names:
        lines.append(_tools_line(report.by_tool))
    if report.production is not None and report.production.verdict == "regressed":
        lines += [
            f"runs without a task: {_metric_line(m, None)}"
            for m in report.production.metrics
            if m.gated and m.decision == "regressed"
        ]
    return lines


def find_differences(columns: Columns, paired: Bools, mixed: int) -> list[str]:
    """Return other differences between the sides, which may be the cause of a change instead of the deploy."""
    notes = []
    if mixed:
        notes.append(f"{mixed} paired tasks are replayed on one side and live on the other")
    for column, words in _IDENTITY:
        names = columns.names[column]
        sides = [set(names.codes[paired & (columns.side == side)].tolist()) - {-1} for side in (0, 1)]
        if all(sides) and sides[0] != sides[1]:
            notes.append(f"{words} differ")
    return [*notes, *_unknown(columns, paired)]


def _unknown(columns: Columns, paired: Bools) -> list[str]:
    """Return which values are unknown for some compared runs."""
    notes = []
    for column, words in (("cost_nanousd", "cost"), ("total_tokens", "tokens"), ("passed", "passed")):
        missing = np.isnan(columns.numbers[column]) & paired
        if missing.sum() == paired.sum():
            if column == "cost_nanousd":
                notes.append("cost is unknown on both sides")
            continue
        for side, label in enumerate(("baseline", "candidate")):
            count = int((missing & (columns.side == side)).sum())
            if count:
                notes.append(f"{words} is unknown for {count} runs of the {label}")
    return notes


def _metric_line(metric: MetricChange, report: Report | None) -> str:
    words = metric_words(metric.metric)
    first, second = amount(metric.metric, metric.baseline), amount(metric.metric, metric.candidate)
    line = (
        f"{words} {percent_change(metric.total_ratio)} over {metric.pairs} paired tasks ({first} -> {second}"
    )
    if metric.ci_low is not None and metric.ci_high is not None and metric.ratio is not None:
        line += (
            f"; typical task x{metric.ratio:.2f}, 95 % interval {metric.ci_low:.2f} to {metric.ci_high:.2f}"
        )
    line += ")"
    guilty = [] if report is None else [t for t in report.tasks if t.metric == metric.metric and t.q is None]
    exact = [t for t in guilty if t.decision == "regressed"]
    if exact:
        shown = [
            f"{t.task} ({amount(metric.metric, t.baseline)} -> {amount(metric.metric, t.candidate)})"
            for t in exact[:_TOOLS_SHOWN]
        ]
        more = len(exact) - len(shown)
        line += f", grew when replayed: {', '.join(shown)}{f' and {more} more' if more else ''}"
    return line


def _total_line(total: TotalChange) -> str:
    words, change = metric_words(total.metric), percent_change(total.ratio)
    line = (
        f"total {words} {change} ({amount(total.metric, total.baseline)} ->"
        f" {amount(total.metric, total.candidate)})"
    )
    if total.ci_low is not None and total.ci_high is not None:
        line += f", 95 % interval x{total.ci_low:.2f} to x{total.ci_high:.2f}"
    if total.heavy:
        line += f"; carried by {', '.join(total.heavy[:_TOOLS_SHOWN])}"
        line += ", too few to rule out chance" if total.decision == "warn" else ""
    return line


def _share_line(share: ShareChange, reasons: dict[str, dict[str, int]]) -> str:
    first, second = (100 * (value or 0.0) for value in (share.baseline, share.candidate))
    line = f"{share_words(share.metric)} {share.baseline_runs} -> {share.candidate_runs} runs"
    line += f" ({first:.1f} % -> {second:.1f} %)"
    if share.note:
        line += f": {share.note}"
    if share.metric == "loop" or share.metric.startswith("stop:"):
        kind = share.metric.rpartition(":")[2]
        mine = [r for r in reasons if parse_stop(r).stop_class.value == kind]
        parts = [f"{r} {reasons[r]['baseline']} -> {reasons[r]['candidate']}" for r in mine[:_TOOLS_SHOWN]]
        line += f": {', '.join(parts)}"
    return line


def _attribution_lines(attribution: Attribution) -> list[str]:
    """Return the largest factor and the largest prompt segment of a change."""
    lines = []
    for title, effects in (("cause", attribution.factors), ("part of the prompts", attribution.segments)):
        known = {name: value for name, value in effects.items() if value}
        if known:
            name = max(known, key=lambda n: abs(known[n]))
            change = amount(attribution.measure, abs(known[name]))
            sign = "more" if known[name] > 0 else "less"
            lines.append(f"largest {title} per run: {name.replace('_', ' ')} ({change} {sign})")
    return lines


def _tools_line(tools: list[dict[str, Any]]) -> str:
    parts = [
        f"{tool['tool']} {tool['baseline']['calls']} -> {tool['candidate']['calls']}"
        for tool in tools[:_TOOLS_SHOWN]
    ]
    return f"tools that changed most: {', '.join(parts)}"
