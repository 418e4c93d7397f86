"""A report as text for a terminal: the verdict first, then why, then the numbers."""

from __future__ import annotations

import shlex

from harness.reports.causes import amount, metric_words, percent_change, share_words
from harness.reports.report import Attribution, MetricChange, Report, ShareChange, TaskChange
from harness.text import safe_text, table

TASKS_SHOWN = 10
_VERDICTS = {
    "ok": "OK: no regression",
    "regressed": "REGRESSED",
    "insufficient": "INSUFFICIENT: fewer than 8 paired tasks decide nothing",
    "not_comparable": "NOT COMPARABLE: a metric to gate on is not known on both sides",
}
_MODES = {
    "exact": "replayed goldens, compared exactly",
    "statistical": "paired by task, 95 % intervals",
    "mixed": "replayed goldens exactly, the others paired by task with 95 % intervals",
}


def verdict_line(report: Report) -> str:
    """Return the verdict in one line."""
    line = f"{_VERDICTS[report.verdict]}: {report.candidate} against {report.baseline}"
    if report.verdict == "regressed":
        gated = [metric_words(m.metric) for m in report.metrics if m.gated and m.decision == "regressed"]
        line += f": {', '.join([*gated, *regressed_shares(report)])}"
    return line


def regressed_shares(report: Report) -> list[str]:
    """Return the words for the shares that regressed."""
    return [share_words(share.metric) for share in report.shares if share.decision == "regressed"]


def pairs_line(report: Report) -> str:
    """Return what was compared and how."""
    pairs = report.pairs
    return (
        f"{pairs.paired} tasks paired, {pairs.only_baseline} in the baseline only,"
        f" {pairs.only_candidate} in the candidate only; {_MODES[report.mode]}"
    )


def reproduce_command(report: Report) -> str:
    """Return the command that makes this report again."""
    parts = ["goldrun", "report", "--baseline", report.baseline, "--candidate", report.candidate]
    parts += ["--history", report.history]
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
    parts += ["", table(map(share_cells, report.shares), SHARE_HEADERS, "lrrll")]
    shown = top_tasks(report)
    if shown:
        parts += ["", table(map(task_cells, shown), TASK_HEADERS, "llrrrll")]
    if report.attribution is not None:
        title = f"why {metric_words(report.attribution.measure)} per run changed"
        parts += ["", table(attribution_cells(report.attribution), (title, ""), "lr")]
    strata = [s for s in report.strata if s.decision == "warn"]
    if strata:
        notes = [
            f"{s.stratum}: {metric_words(s.metric)} x{s.ratio:.2f} ({s.ci_low:.2f} to {s.ci_high:.2f})"
            for s in strata[:TASKS_SHOWN]
        ]
        parts += _bullets("runs that name no task, by environment / tenant / agent / model", notes)
    parts += ["", f"again: {safe_text(reproduce_command(report), None)}"]
    return "\n".join(parts) + "\n"


METRIC_HEADERS = ("metric", "baseline", "candidate", "change", "typical task", "95 % interval", "decision")
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
        metric.decision + note,
    ]


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
        share.decision,
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
    """Return the tasks to look at first: tested regressions of gated metrics, then the largest ratios."""
    order = {"regressed": 0, "insufficient": 1, "improved": 2}
    gated = [task for task in report.tasks if task.metric in report.gates]
    return sorted(gated, key=lambda t: (order.get(t.decision, 3), -max(t.ratio, 1 / t.ratio), t.task))[:limit]


def attribution_cells(attribution: Attribution) -> list[list[str]]:
    """Return the rows of the attribution: baseline, effects, candidate, and the constant-price mean."""
    measure = attribution.measure
    rows = [["baseline", amount(measure, attribution.baseline)]]
    for name, value in attribution.effects.items():
        if value is not None:
            sign = "+" if value >= 0 else "-"
            rows.append([name.replace("_", " "), sign + amount(measure, abs(value))])
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
