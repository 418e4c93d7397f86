"""The order in which the hypotheses of a verdict are tested, so that an unchanged deploy rarely raises an alarm.

Theory of operation. Each gated metric and share could raise a false alarm by chance. The verdict divides one error
rate, `ALPHA`, among all of them by the fallback procedure (Wiens 2003). It tests stages in a fixed order. Each stage
has a part of the rate and uses Holm's correction. If all hypotheses of a stage are rejected, or it has none, its part
passes on to the next stage. So cost keeps its power however many other hypotheses there are, and all of them together
raise a false alarm at most as often as a single test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

ALPHA = 0.06
"""One-sided error rate of the whole verdict."""

STAGES: tuple[tuple[str, float], ...] = (("cost", 0.4), ("work", 0.2), ("shares", 0.4))
"""Stages in order, with their parts of the rate: cost; tokens and tool calls; shares."""

EXTRA = "extra"
EXTRA_RATE = 0.025
"""Error rate of all additional metrics that the caller gates on, together; it is added to `ALPHA`."""


def rejections(stages: Mapping[str, Mapping[str, float]], *, alpha: float = ALPHA) -> frozenset[str]:
    """Return the names of the hypotheses that are rejected.

    Args:
        stages: One-sided p values by name, by stage of `STAGES`, or `EXTRA`.
        alpha: Error rate of all stages together.
    """
    rejected: set[str] = set()
    carried = 0.0
    for stage, part in STAGES:
        rate = carried + part * alpha
        found = stages.get(stage, {})
        here = _holm(found, rate)
        rejected |= here
        carried = rate if len(here) == len(found) else 0.0
    rejected |= _holm(stages.get(EXTRA, {}), EXTRA_RATE)
    return frozenset(rejected)


def _holm(p_values: Mapping[str, float], rate: float) -> set[str]:
    order: Sequence[str] = sorted(p_values, key=lambda name: (p_values[name], name))
    rejected: set[str] = set()
    for place, name in enumerate(order):
        if p_values[name] > rate / (len(order) - place):
            break
        rejected.add(name)
    return rejected
