"""Render a report as text for a terminal: the verdict first, then the causes, then the numbers."""

from __future__ import annotations

import shlex

from harness.reports.report import Attribution, MetricChange, Report, ShareChange, TaskChange, TotalChange
from harness.reports.words import amount, metric_words, percent_change, share_words
from harness.text import safe_text, table

TASKS_SHOWN = 10
_MODES = {
    "exact": "replayed goldens, compared exactly",
    "statistical": "paired by task, 95 % intervals",
    "standardised": "runs without a task by stratum, at the baseline's mix, 95 % intervals by tenant",
    "mixed": "replayed goldens exactly, the others paired by task with 95 % intervals",
}


def verdict_line(report: Report) -> str:
    """Return the headline."""
    return report.headline


def pairs_line(report: Report) -> str:
    """Return a line that says what was compared and how."""
    pairs = report.pairs
    strata = f"{len(report.strata)} strata of runs without a task" if report.strata else ""
    tasks = (
        f"{pairs.paired} tasks paired, {pairs.only_baseline} in the baseline only,"
        f" {pairs.only_candidate} in the candidate only"
    )
    what = ", ".join(part for part in (tasks if pairs.paired else "", strata) if part)
    covered = f"{100 * report.coverage.tasks:.0f} % covered, {100 * report.coverage.priced:.0f} % priced"
    return f"{what}; {_MODES[report.mode]}; {covered}"


def reproduce_command(report: Report) -> str:
    """Return the command that reproduces this report."""
    parts = ["goldrun", "report", "--baseline", report.baseline, "--candidate", report.candidate]
    parts += ["--history", report.history]
    if report.key != "task":
        parts += ["--key", report.key]
    for gate in report.gates:
        if gate in {"duration_s", "steps"}:
            parts += ["--gate", gate]
    return shlex.join(parts)


def render_text(report: Report) -> str:
    """Return the report as plain text without colours, ending in a newline."""
    parts = [safe_text(verdict_line(report), None), safe_text(pairs_line(report), None)]
    parts += _bullets("why", report.causes)
    parts += _bullets("mind", report.comparability)
    parts += ["", table(map(metric_cells, report.metrics), METRIC_HEADERS, "lrrrlll")]
    parts += ["", table(map(total_cells, report.totals), TOTAL_HEADERS, "lrrlrl")]
    parts += ["", table(map(share_cells, shown_shares(report)), SHARE_HEADERS, "lrrll")]
    parts += passed_lines(report)
    if report.production is not None:
        made = table(map(metric_cells, report.production.metrics), METRIC_HEADERS, "lrrrlll")
        parts += ["", "runs without a task:", made]
    shown = top_tasks(report)
    if shown:
        parts += ["", table(map(task_cells, shown), TASK_HEADERS, "llrrrll")]
    if report.attribution is not None:
        title = f"why {metric_words(report.attribution.measure)} per run changed"
        parts += ["", table(attribution_cells(report.attribution), (title, ""), "lr")]
        if report.attribution.segments:
            parts += [
                "",
                table(segment_cells(report.attribution), ("by prompt segment (estimated)", ""), "lr"),
            ]
    parts += ["", f"again: {safe_text(reproduce_command(report), None)}"]
    return "\n".join(parts) + "\n"


METRIC_HEADERS = ("metric", "baseline", "candidate", "change", "typical task", "95 % interval", "decision")
TOTAL_HEADERS = ("total", "baseline", "candidate", "95 % interval", "could be seen", "decision")
SHARE_HEADERS = ("share", "baseline", "candidate", "change, 95 % interval", "decision")
TASK_HEADERS = ("task", "metric", "baseline", "candidate", "ratio", "q", "decision")


def metric_cells(metric: MetricChange) -> list[str]:
    """Return a metric's row: totals over the paired tasks, then the typical task."""
    if metric.decision == "not_available":
        return [metric_words(metric.metric), "n/a", "n/a", "", "", "", "not available"]
    interval = ""
    if metric.ci_low is not None and metric.ci_high is not None:
        interval = f"{metric.ci_low:.3f} to {metric.ci_high:.3f}"
    note = "" if metric.gated else " (not gated)"
    return [
        metric_words(metric.metric),
        amount(metric.metric, metric.baseline),
        amount(metric.metric, metric.candidate),
        "" if metric.baseline == metric.candidate else percent_change(metric.total_ratio),
        "" if metric.ratio is None else f"x{metric.ratio:.3f}",
        interval,
        metric.decision.replace("_", " ") + note,
    ]


def total_cells(total: TotalChange) -> list[str]:
    """Return a total's row; "could be seen" is the smallest growth that is detected in nine of ten cases."""
    interval = ""
    if total.ci_low is not None and total.ci_high is not None:
        interval = f"x{total.ci_low:.3f} to x{total.ci_high:.3f}"
    seen = "" if total.smallest_seen is None else f"+{100 * total.smallest_seen:.0f} %"
    return [
        metric_words(total.metric),
        amount(total.metric, total.baseline),
        amount(total.metric, total.candidate),
        interval,
        seen,
        total.decision.replace("_", " "),
    ]


def shown_shares(report: Report) -> list[ShareChange]:
    """Return the shares to show: all except tools whose use did not change."""
    quiet = {"ok", "improved", "not_available", "insufficient"}
    return [s for s in report.shares if not (s.metric.startswith("tool:") and s.decision in quiet)]


def passed_lines(report: Report) -> list[str]:
    """Return lines about tasks whose outcome changed, and the cost of a passed run."""
    lines = []
    for title, tasks in (("broken", report.flips.broken), ("fixed", report.flips.fixed)):
        if tasks:
            more = f" and {len(tasks) - TASKS_SHOWN} more" if len(tasks) > TASKS_SHOWN else ""
            lines.append(safe_text(f"{title} ({len(tasks)}): {', '.join(tasks[:TASKS_SHOWN])}{more}", None))
    first, second = (report.cost_per_passed[side] for side in ("baseline", "candidate"))
    if first is not None or second is not None:
        lines.append(f"cost per passed run: {amount('cost_usd', first)} -> {amount('cost_usd', second)}")
    return ["", *lines] if lines else []


def segment_cells(attribution: Attribution) -> list[list[str]]:
    """Return the rows of the change by prompt segment, the largest first."""
    ordered = sorted(attribution.segments.items(), key=lambda item: (-abs(item[1]), item[0]))
    return [[name.replace("_", " "), _signed("cost_usd", value)] for name, value in ordered]


def _signed(measure: str, value: float) -> str:
    return ("+" if value >= 0 else "-") + amount(measure, abs(value))


def share_cells(share: ShareChange) -> list[str]:
    """Return a share's row: percent and number of runs on both sides."""
    if share.baseline is None or share.candidate is None:
        return [share_words(share.metric), "n/a", "n/a", "", "not available"]
    change = f"{100 * (share.candidate - share.baseline):+.1f} points"
    if share.ci_low is not None and share.ci_high is not None:
        change += f" ({100 * share.ci_low:+.1f} to {100 * share.ci_high:+.1f})"
    return [
        share_words(share.metric),
        f"{100 * share.baseline:.1f} % ({share.baseline_runs})",
        f"{100 * share.candidate:.1f} % ({share.candidate_runs})",
        change,
        share.decision.replace("_", " ") + ("" if share.gated else " (not gated)"),
    ]


def task_cells(task: TaskChange) -> list[str]:
    """Return a task's row."""
    return [
        task.task,
        metric_words(task.metric),
        amount(task.metric, task.baseline),
        amount(task.metric, task.candidate),
        f"x{task.ratio:.2f}",
        "" if task.q is None else f"{task.q:.3f}",
        "not tested" if task.decision == "insufficient" else task.decision,
    ]


def top_tasks(report: Report, limit: int = TASKS_SHOWN) -> list[TaskChange]:
    """Return the most important tasks: tested regressions of gated metrics, then the largest ratios."""
    order = {"regressed": 0, "insufficient": 1, "improved": 2}
    gated = [task for task in report.tasks if task.metric in report.gates]
    return sorted(gated, key=lambda t: (order.get(t.decision, 3), -max(t.ratio, 1 / t.ratio), t.task))[:limit]


def attribution_cells(attribution: Attribution) -> list[list[str]]:
    """Return the rows of the attribution: baseline, effects, candidate, and the constant-price mean."""
    measure = attribution.measure
    rows = [["baseline", amount(measure, attribution.baseline)]]
    for name, value in attribution.factors.items():
        if value is not None:
            rows.append([name.replace("_", " "), _signed(measure, value)])
    rows.append(["candidate", amount(measure, attribution.candidate)])
    if attribution.constant_price is not None:
        rows.append(
            ["candidate at baseline prices", amount(measure, attribution.constant_price["candidate"])]
        )
    return rows


def _bullets(title: str, lines: tuple[str, ...] | list[str]) -> list[str]:
    if not lines:
        return []
    return ["", f"{title}:", *(f"  - {safe_text(line, None)}" for line in lines)]
