"""The broken-deploy rules: a candidate that is cheaper because it does nothing is a regression."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.reports.metrics import MIN_PAIRS, Measured
from harness.reports.pairing import Pairs
from harness.reports.report import MetricChange, ShareChange
from harness.reports.stats import mcnemar_p

USED_SHARE = 0.5
"""Tool use collapsed when at most this part of the tasks that used tools still does."""

COLLAPSE_P = 0.01

SUSPICIOUS_RATIO = 0.25
"""Below this ratio of tool calls nothing is called improved unless `passed` says the work was still done."""


def tool_use_collapsed(calls: Measured, pairs: Pairs) -> str | None:
    """Return what happened if the candidate no longer uses tools, else `None`.

    Replayed goldens must not lose their last call in a single task; live tasks need the share of tasks that
    use tools to fall to `USED_SHARE` of what it was, and McNemar's p to be at most `COLLAPSE_P`.
    """
    known = calls.plain.known
    used = calls.plain.mean > 0
    silent = known & pairs.exact & used[0] & ~used[1]
    if silent.any():
        return f"{int(silent.sum())} replayed tasks make no tool call any more"
    live = known & ~pairs.exact
    before, after = (int(side[live].sum()) for side in used)
    if int(live.sum()) < MIN_PAIRS or before == 0 or after > USED_SHARE * before:
        return None
    lost, gained = (int((live & used[i] & ~used[1 - i]).sum()) for i in (0, 1))
    if mcnemar_p(lost, gained) > COLLAPSE_P:
        return None
    return f"tool use collapsed: {before} tasks used tools, {after} still do"


def judge_cheapness(
    metrics: list[MetricChange], shares: list[ShareChange], collapsed: str | None
) -> list[MetricChange]:
    """Return the metrics with no `improved` that is owed to work not done.

    Args:
        metrics: Decisions by the numbers alone.
        shares: Decisions about completion and passed among others.
        collapsed: Text of `tool_use_collapsed`.
    """
    by_name = {share.metric: share for share in shares}
    failing = [n for n in ("completion", "passed") if n in by_name and by_name[n].decision == "regressed"]
    calls = next(m for m in metrics if m.metric == "tool_calls")
    unproven = (
        by_name["passed"].decision == "not_available"
        and calls.ratio is not None
        and calls.ratio <= SUSPICIOUS_RATIO
    )
    judged = []
    for metric in metrics:
        if collapsed and metric.metric == "tool_calls":
            judged.append(replace(metric, decision="regressed", note=collapsed))
        elif metric.decision != "improved":
            judged.append(metric)
        elif collapsed or failing:
            why = collapsed or f"lower while {' and '.join(failing)} regressed"
            judged.append(replace(metric, decision="warn", note=why))
        elif unproven:
            note = "tool calls fell to a quarter or less, and nothing says whether tasks passed"
            judged.append(replace(metric, decision="warn", note=note))
        else:
            judged.append(metric)
    return judged


def lost_usage(measured: list[Measured]) -> list[str]:
    """Return warnings about metrics the baseline knows and the candidate does not, or the reverse."""
    notes = []
    for one in measured:
        runs = one.plain.runs > 0
        for side, other, label in ((0, 1, "candidate"), (1, 0, "baseline")):
            missing = int(np.sum(runs[side] & ~runs[other]))
            if missing:
                notes.append(f"{one.metric.name} of {missing} paired tasks is unknown in the {label}")
    return notes
