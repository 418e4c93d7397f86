"""The headline of a report: the verdict, the change of cost, what broke, what was fixed, and warnings."""

from __future__ import annotations

from harness.reports.metrics import COVERAGE
from harness.reports.report import Judged, MetricChange, Report, TotalChange
from harness.reports.words import amount, metric_words, percent_change, plural, share_words

_VERDICTS = {
    "ok": "OK: no regression",
    "regressed": "REGRESSED",
    "insufficient": "INSUFFICIENT",
    "not_comparable": "NOT COMPARABLE",
}
_SHOWN = 2


def headline_of(report: Report) -> str:
    """Return the headline: verdict, regressions and costs, both halves of quality, coverage and warnings."""
    parts = [*_money(report), *_regressed(report), *_quality(report), *_less(report)]
    parts += [*_coverage(report), *_warnings(report), *_production(report)]
    warned = report.verdict == "ok" and has_warnings(report)
    verdict = "WARN: no regression shown" if warned else _VERDICTS[report.verdict]
    return f"{verdict}: {report.candidate} against {report.baseline}: {'; '.join(dict.fromkeys(parts))}"


def has_warnings(report: Report) -> bool:
    """Return whether anything gated is a warning, on which `--fail-on warn` fails."""
    return any(map(_warned, _populations(report)))


def _populations(report: Report) -> list[Report | Judged]:
    return [report] if report.production is None else [report, report.production]


def _warned(judged: Report | Judged) -> bool:
    gated = {m.metric for m in judged.metrics if m.gated}
    return (
        any(m.decision == "warn" for m in judged.metrics if m.gated)
        or any(t.decision == "warn" for t in judged.totals if t.metric in gated)
        or any(s.decision == "warn" for s in judged.shares)
    )


def _money(report: Report) -> list[str]:
    """Return the change of cost; if costs are unknown, that of the gated metric with the clearest change."""
    known = [m for m in report.metrics if m.gated and m.decision != "not_available" and m.ratio]
    if not known:
        return []
    first = known[0]
    total = next((t for t in report.totals if t.metric == first.metric), None)
    return [_change(first, total)]


def _change(metric: MetricChange, total: TotalChange | None) -> str:
    words = metric_words(metric.metric)
    if metric.baseline is None or metric.candidate is None:
        return f"{words} not comparable"
    if metric.baseline == metric.candidate and abs((metric.ratio or 1.0) - 1) < 1e-9:
        return f"{words} unchanged at {amount(metric.metric, metric.baseline)}"
    text = (
        f"{words} {percent_change(metric.total_ratio)} ({amount(metric.metric, metric.baseline)} ->"
        f" {amount(metric.metric, metric.candidate)}"
    )
    if metric.ratio is not None:
        text += f"; typical x{metric.ratio:.2f}"
    text += ")"
    if total is not None and total.decision == "warn" and total.heavy:
        text += f", carried by {', '.join(total.heavy[:_SHOWN])}"
    return text


def _regressed(report: Report) -> list[str]:
    """Return the other regressions, shares with the values of both sides."""
    shown = {m.metric for m in report.metrics[:1]}
    parts = [
        _change(m, None)
        for m in report.metrics
        if m.gated and m.decision == "regressed" and m.metric not in shown
    ]
    parts += [
        f"total {_total(t)}"
        for t in report.totals
        if t.decision == "regressed"
        and not any(m.metric == t.metric and m.decision == "regressed" for m in report.metrics)
        and t.metric not in shown
    ]
    for share in report.shares:
        if share.decision == "regressed" and share.gated:
            note = f" ({share.note})" if share.note else ""
            parts.append(
                f"{share_words(share.metric)} {share.baseline_runs} -> {share.candidate_runs} runs{note}"
            )
    return parts


def _total(total: TotalChange) -> str:
    return f"{metric_words(total.metric)} {percent_change(total.ratio)}"


def _quality(report: Report) -> list[str]:
    flips = report.flips
    if not flips.broken and not flips.fixed:
        return []
    unit = "task" if report.pairs.paired else "stratum"
    named = f" ({', '.join(flips.broken[:_SHOWN])}{', ...' if len(flips.broken) > _SHOWN else ''})"
    return [
        f"{plural(len(flips.broken), unit)} broken{named if flips.broken else ''}, {len(flips.fixed)} fixed"
    ]


def _less(report: Report) -> list[str]:
    """Return what cheaper means here, if anything got cheaper."""
    for metric in report.metrics:
        match metric.decision:
            case "does_less":
                return ["cheaper, does less"]
            case "cheaper_unproven":
                return ["cheaper; quality not shown"]
            case "improved" if metric.gated:
                return [f"{metric_words(metric.metric)} improved, quality held"]
            case _:
                pass
    return []


def _coverage(report: Report) -> list[str]:
    parts = []
    coverage = report.coverage
    if coverage.tasks < COVERAGE:
        what = (
            "of the baseline's tasks ran" if report.pairs.paired else "of the baseline's traffic is covered"
        )
        parts.append(f"only {100 * coverage.tasks:.0f} % {what}")
    parts += [
        f"{metric_words(metric.metric)} known for only {100 * metric.coverage:.0f} % of runs"
        for metric in report.metrics
        if metric.gated and metric.decision != "not_available" and metric.coverage < COVERAGE
    ]
    if report.verdict == "insufficient" and not parts:
        parts.append("fewer than 8 pairs decide nothing")
    if coverage.rest > 0:
        parts.append(f"{100 * coverage.rest:.0f} % of the traffic is too rare for a stratum of its own")
    return parts


def _warnings(report: Report) -> list[str]:
    parts = [
        f"mind {metric_words(m.metric)} {percent_change(m.total_ratio)}"
        for m in report.metrics[1:]
        if m.gated and m.decision == "warn"
    ]
    parts += [
        f"mind total {_total(t)} (carried by {', '.join(t.heavy[:_SHOWN])})"
        for t in report.totals[1:]
        if t.decision == "warn"
    ]
    parts += [
        f"mind {share_words(s.metric)} {s.baseline_runs} -> {s.candidate_runs} runs"
        for s in report.shares
        if s.decision == "warn"
    ]
    more = [f"and {len(parts) - _SHOWN} more to mind"] if len(parts) > _SHOWN else []
    return [*parts[:_SHOWN], *more, *(note for note in report.comparability if note.startswith("new tasks"))]


def _production(report: Report) -> list[str]:
    if report.production is None:
        return []
    found = report.production
    bad = [metric_words(m.metric) for m in found.metrics if m.gated and m.decision == "regressed"]
    bad += [f"total {metric_words(t.metric)}" for t in found.totals if t.decision == "regressed"]
    bad += [share_words(s.metric) for s in found.shares if s.gated and s.decision == "regressed"]
    return [f"runs without a task: {found.verdict}{f' ({chr(44).join(bad)})' if bad else ''}"]
