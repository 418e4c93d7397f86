"""Decide about shares: how many runs complete, pass, loop, are denied, or end for a class of reasons."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from harness.reports.columns import Columns, Floats
from harness.reports.metrics import MIN_PAIRS, decide_exactly, worse_of
from harness.reports.pairing import PairedValues, Pairs, paired_values
from harness.reports.report import Decision, ShareChange
from harness.reports.stats import (
    holm,
    mcnemar_p,
    mean_interval,
    newcombe_paired,
    seed_for,
    sign_flip_p,
)

SHARE_MARGIN = 0.01
"""A share regresses from this absolute change on, so that a million runs do not make nothing a finding."""

ALPHA = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Trait:
    """Something a run has or has not.

    Attributes:
        name: As the report calls it.
        values: 1, 0 or NaN (unknown) for each row.
        wanted: Whether more of it is better.
    """

    name: str
    values: Floats
    wanted: bool


def main_traits(columns: Columns) -> list[Trait]:
    """Return completion, passed, loop and deny."""
    classes = columns.names["stop_class"]
    finished = (classes.codes == classes.code_of("finish")).astype(np.float64)
    return [
        Trait(name="completion", values=finished, wanted=True),
        Trait(name="passed", values=columns.numbers["passed"], wanted=True),
        Trait(name="loop", values=_some(columns.numbers["loops"]), wanted=False),
        Trait(name="deny", values=_some(columns.numbers["denials"]), wanted=False),
    ]


def stop_traits(columns: Columns) -> list[Trait]:
    """Return one trait for each stop class that occurs, but for `finish`, which is completion."""
    classes = columns.names["stop_class"]
    present = sorted(set(classes.codes.tolist()))
    names = sorted(classes.values[code] for code in present if code >= 0)
    return [
        Trait(
            name=f"stop:{name}",
            values=(classes.codes == classes.code_of(name)).astype(np.float64),
            wanted=False,
        )
        for name in names
        if name != "finish"
    ]


def decide_shares(traits: list[Trait], pairs: Pairs, *, labels: tuple[str, str]) -> list[ShareChange]:
    """Return what became of shares that are looked at together.

    A live share regresses if its 95 % interval of the paired difference leaves out 0, the exact one-sided p,
    corrected by Holm over the shares that changed at all, is at most 5 %, and it moved by `SHARE_MARGIN`.
    """
    measured = [paired_values(pairs, trait.values) for trait in traits]
    tests = [_test(trait, values, pairs, labels) for trait, values in zip(traits, measured, strict=True)]
    varying = [test for test in tests if test is not None and test.varies]
    corrected = dict(zip((id(t) for t in varying), holm([t.p for t in varying]), strict=True))
    return [
        _decide(trait, values, pairs, test and replace(test, p=corrected.get(id(test), 1.0)))
        for trait, values, test in zip(traits, measured, tests, strict=True)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareTest:
    """The live pairs of a share: interval of the difference, one-sided p of "worse"."""

    pairs: int
    gap: float
    low: float
    high: float
    p: float
    varies: bool


def _test(trait: Trait, values: PairedValues, pairs: Pairs, labels: tuple[str, str]) -> ShareTest | None:
    live = values.known & ~pairs.exact
    if not live.any():
        return None
    first, second = values.mean[:, live]
    gaps = second - first
    worse = -gaps if trait.wanted else gaps
    if bool((values.runs[:, live] == 1).all()):
        lost, gained = int((gaps < 0).sum()), int((gaps > 0).sum())
        both = int(((first > 0) & (second > 0)).sum())
        low, high = newcombe_paired(both, lost, gained, len(gaps) - both - lost - gained)
        p = mcnemar_p(int((worse > 0).sum()), int((worse < 0).sum()))
    else:
        seed = seed_for(*labels, trait.name)
        interval = mean_interval(gaps, seed=seed)
        low, high = interval.low, interval.high
        p = sign_flip_p(worse, np.random.default_rng(seed), one_sided=True)
    return ShareTest(
        pairs=len(gaps), gap=float(gaps.mean()), low=low, high=high, p=p, varies=bool(gaps.any())
    )


def _decide(trait: Trait, values: PairedValues, pairs: Pairs, test: ShareTest | None) -> ShareChange:
    known = values.known
    count = int(known.sum())
    if count == 0:
        return ShareChange(
            metric=trait.name,
            baseline=None,
            candidate=None,
            decision="not_available",
            ci_low=None,
            ci_high=None,
            p=None,
            baseline_runs=0,
            candidate_runs=0,
            pairs=0,
        )
    sign = -1.0 if trait.wanted else 1.0
    decision = decide_exactly(sign * values.mean, known & pairs.exact)
    if test is not None:
        found = _decide_live(test, sign)
        decision = found if decision is None else worse_of(decision, found)
    first, second = (float(side[known].mean()) for side in values.mean)
    runs = (values.mean * values.runs)[:, known].sum(axis=1)
    return ShareChange(
        metric=trait.name,
        baseline=first,
        candidate=second,
        decision=decision or "ok",
        ci_low=None if test is None else test.low,
        ci_high=None if test is None else test.high,
        p=None if test is None else test.p,
        baseline_runs=round(float(runs[0])),
        candidate_runs=round(float(runs[1])),
        pairs=count,
    )


def _decide_live(test: ShareTest, sign: float) -> Decision:
    if test.pairs < MIN_PAIRS:
        return "insufficient"
    clear = test.low > 0 or test.high < 0
    worse = sign * test.gap
    if not clear or worse == 0:
        return "ok"
    if worse < 0:
        return "improved" if -worse >= SHARE_MARGIN else "ok"
    return "regressed" if test.p <= ALPHA and worse >= SHARE_MARGIN else "warn"


def _some(counts: Floats) -> Floats:
    return np.where(np.isnan(counts), np.nan, (counts > 0).astype(np.float64))
