"""Say in words what decided a report, and what makes its two sides hard to compare."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.reports.columns import Columns
from harness.reports.pairing import Pairs
from harness.reports.report import Attribution, MetricChange, ShareChange
from runtime.core.stop import parse_stop

_WORDS = {
    "cost_usd": "cost",
    "total_tokens": "tokens",
    "tool_calls": "tool calls",
    "duration_s": "duration",
    "steps": "steps",
}
_SHARES = {
    "completion": "completion",
    "passed": "passed",
    "loop": "looping runs",
    "deny": "runs with a denied call",
}
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


def metric_words(name: str) -> str:
    """Return a metric's name as people say it."""
    return _WORDS.get(name, name)


def share_words(name: str) -> str:
    """Return a share's name as people say it."""
    return _SHARES.get(name) or f"runs stopped by {name.partition(':')[2]}"


def percent_change(ratio: float | None) -> str:
    """Return a ratio as a signed change in percent."""
    if ratio is None:
        return "new"
    change = (ratio - 1) * 100
    return f"{change:+.0f} %" if abs(change) >= 10 or round(change) == change else f"{change:+.1f} %"


def amount(metric: str, value: float | None) -> str:
    """Return a value of a metric with its unit; `n/a` where it is unknown."""
    if value is None:
        return "n/a"
    if metric == "cost_usd":
        return f"${value:,.6f}".rstrip("0").rstrip(".") if abs(value) < 1 else f"${value:,.2f}"
    if metric == "duration_s":
        return f"{value:,.1f} s"
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:,.2f}"


def find_causes(
    metrics: list[MetricChange],
    shares: list[ShareChange],
    reasons: dict[str, dict[str, int]],
    attribution: Attribution | None,
    tools: list[dict[str, Any]],
) -> list[str]:
    """Return one line for each regression the verdict follows, then where it comes from."""
    regressed = [m for m in metrics if m.decision == "regressed" and m.gated]
    lines = [_metric_line(metric) for metric in regressed]
    lines += [_share_line(share, reasons) for share in shares if share.decision == "regressed"]
    if any(metric.metric in {"cost_usd", "total_tokens"} for metric in regressed) and attribution:
        lines.append(_attribution_line(attribution))
    if any(metric.metric == "tool_calls" for metric in regressed):
        lines.append(_tools_line(tools))
    return lines


def find_differences(columns: Columns, pairs: Pairs) -> list[str]:
    """Return what else differs between the sides, so that a change may have another cause than the deploy."""
    notes = []
    if pairs.mixed_sources:
        notes.append(f"{pairs.mixed_sources} paired tasks are replayed on one side and live on the other")
    paired = pairs.cell >= 0
    for column, words in _IDENTITY:
        names = columns.names[column]
        sides = [set(names.codes[paired & (columns.side == side)].tolist()) - {-1} for side in (0, 1)]
        if all(sides) and sides[0] != sides[1]:
            notes.append(f"{words} differ")
    return [*notes, *_unknown_costs(columns, pairs)]


def _unknown_costs(columns: Columns, pairs: Pairs) -> list[str]:
    missing = np.isnan(columns.numbers["cost_nanousd"]) & (pairs.cell >= 0)
    if missing.sum() == (pairs.cell >= 0).sum():
        return ["cost is unknown on both sides"]
    counts = [int((missing & (columns.side == side)).sum()) for side in (0, 1)]
    sides = zip(counts, ("baseline", "candidate"), strict=True)
    return [f"cost is unknown for {count} runs of the {label}" for count, label in sides if count]


def _metric_line(metric: MetricChange) -> str:
    words = metric_words(metric.metric)
    first, second = amount(metric.metric, metric.baseline), amount(metric.metric, metric.candidate)
    line = (
        f"{words} {percent_change(metric.total_ratio)} over {metric.pairs} paired tasks ({first} -> {second}"
    )
    if metric.ci_low is not None and metric.ci_high is not None:
        line += (
            f"; typical task x{metric.ratio:.2f}, 95 % interval {metric.ci_low:.2f} to {metric.ci_high:.2f}"
        )
    return f"{line}){f': {metric.note}' if metric.note else ''}"


def _share_line(share: ShareChange, reasons: dict[str, dict[str, int]]) -> str:
    first, second = (100 * (value or 0.0) for value in (share.baseline, share.candidate))
    line = f"{share_words(share.metric)} {share.baseline_runs} -> {share.candidate_runs} runs"
    line += f" ({first:.1f} % -> {second:.1f} %)"
    if share.metric.startswith("stop:"):
        kind = share.metric.partition(":")[2]
        mine = [r for r in reasons if parse_stop(r).stop_class.value == kind]
        parts = [f"{r} {reasons[r]['baseline']} -> {reasons[r]['candidate']}" for r in mine[:_TOOLS_SHOWN]]
        line += f": {', '.join(parts)}"
    return line


def _attribution_line(attribution: Attribution) -> str:
    known = {name: value for name, value in attribution.effects.items() if value}
    if not known:
        return f"{metric_words(attribution.measure)} per run did not change over all runs"
    name = max(known, key=lambda n: abs(known[n]))
    change = amount(attribution.measure, abs(known[name]))
    sign = "more" if known[name] > 0 else "less"
    words = name.replace("_", " ")
    return f"largest part of the change per run: {words} ({change} {sign})"


def _tools_line(tools: list[dict[str, Any]]) -> str:
    parts = [
        f"{tool['tool']} {tool['baseline']['calls']} -> {tool['candidate']['calls']}"
        for tool in tools[:_TOOLS_SHOWN]
    ]
    return f"tools that changed most: {', '.join(parts)}"
