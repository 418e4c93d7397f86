"""In which order the hypotheses of a verdict are tested, so that no change rarely alarms as a whole.

Every gated metric and share could alarm by chance. The verdict spends one error rate, `ALPHA`, over all of them
by the fallback procedure (Wiens 2003): stages in a stated order, each with a part of the rate, Holm's correction
inside a stage. A stage whose hypotheses are all rejected, or which has none, passes its part on to the next. So
cost keeps its power whatever else is looked at, and all together alarm at most as often as one test would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

ALPHA = 0.06
"""One-sided error rate of the whole verdict."""

STAGES: tuple[tuple[str, float], ...] = (("cost", 0.4), ("work", 0.2), ("shares", 0.4))
"""Stages in order, with their parts of the rate: cost; tokens and tool calls; shares."""

ASKED = "asked"
ASKED_RATE = 0.025
"""Rate of the metrics someone asked to gate on, together; it comes on top of `ALPHA`."""


def rejections(stages: Mapping[str, Mapping[str, float]], *, alpha: float = ALPHA) -> frozenset[str]:
    """Return the names of the hypotheses that are rejected.

    Args:
        stages: One-sided p values by name, by stage of `STAGES`, or `ASKED`.
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
    rejected |= _holm(stages.get(ASKED, {}), ASKED_RATE)
    return frozenset(rejected)


def _holm(p_values: Mapping[str, float], rate: float) -> set[str]:
    order: Sequence[str] = sorted(p_values, key=lambda name: (p_values[name], name))
    rejected: set[str] = set()
    for place, name in enumerate(order):
        if p_values[name] > rate / (len(order) - place):
            break
        rejected.add(name)
    return rejected
