"""Decide about shares of runs: completed, passed, looping, denied, stopped for a class of reasons, using a tool."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.reports.aggregates import ToolUse
from harness.reports.columns import Bools, Columns, Floats
from harness.reports.designs import Design
from harness.reports.metrics import CLEAR, COVERAGE, MIN_PAIRS, worst_of
from harness.reports.report import Decision, ShareChange
from harness.reports.stats import Estimate, benjamini_hochberg

SHARE_MARGIN = 0.01
"""Smallest absolute change of a share that is a regression: with a million runs, tiny changes are significant."""

NON_INFERIOR = 0.05
"""A share is proven to be no worse if its interval excludes a loss of this size."""

TOOL_FDR = 0.05
TOOL_USE = "tool_use"
_EQUAL = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Trait:
    """A property that a run has or does not have.

    Attributes:
        name: Its name in the report.
        values: 1, 0 or NaN (unknown) for each row.
        wanted: Whether more of it is better.
        gated: Whether a loss decides the verdict. The use of single tools is tested by false discovery rate instead.
        margin: Smallest change that is a regression.
    """

    name: str
    values: Floats
    wanted: bool
    gated: bool = True
    margin: float = SHARE_MARGIN


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredShare:
    """A trait over the units of a design.

    Attributes:
        trait: The trait.
        sides: Both sides' share in each unit.
        known: Units whose trait is known on both sides.
        live: Change over the live units, if any.
        lost: Replayed units that got worse.
        won: Replayed units that got better.
        vanished: Whether all units with the tool had it before and none has it now.
        runs: Runs with the trait, baseline and candidate.
        coverage: Share of runs with a known trait, on the side with fewer.
        in_baseline: Whether any run of the baseline knows it.
    """

    trait: Trait
    sides: Floats
    known: Bools
    live: Estimate | None
    lost: int
    won: int
    vanished: bool
    runs: tuple[int, int]
    coverage: float
    in_baseline: bool

    @property
    def worse(self) -> float:
        """How much the share of live units got worse, in parts of 1."""
        if self.live is None:
            return 0.0
        return -self.live.value if self.trait.wanted else self.live.value

    @property
    def p_worse(self) -> float | None:
        """One-sided p value of "got worse"; `None` if nothing changed at all."""
        if self.live is None or self.live.units < MIN_PAIRS or self.live.value == 0:
            return None
        return self.live.p_down if self.trait.wanted else self.live.p_up

    @property
    def no_worse(self) -> bool:
        """Whether a loss of `NON_INFERIOR` is ruled out; replayed units must not lose at all."""
        if not self.in_baseline or self.coverage < COVERAGE or self.lost:
            return False
        if self.live is None:
            return bool(self.known.any())
        if self.live.units < MIN_PAIRS:
            return False
        edge = self.live.low if self.trait.wanted else -self.live.high
        return edge >= -NON_INFERIOR


def traits_of(columns: Columns, tools: ToolUse) -> list[Trait]:
    """Return the traits in the order of the verdict: outcome, stops, loops, denials, tools."""
    numbers, classes = columns.numbers, columns.names["stop_class"]
    reasons = columns.names["stop_reason"]
    looped = [i for i, reason in enumerate(reasons.values) if reason.partition(":")[0] == "loop_detected"]
    used = [Trait(name=f"tool:{n}", values=v, wanted=True, gated=w) for n, v, w in tools.each()]
    return [
        Trait(name="completion", values=_is(classes.codes == classes.code_of("finish")), wanted=True),
        Trait(name="passed", values=numbers["passed"], wanted=True),
        Trait(name="loop", values=_is(np.isin(reasons.codes, looped)), wanted=False),
        Trait(name="loops", values=_some(numbers["loops"]), wanted=False),
        Trait(name="deny", values=_some(numbers["denials"]), wanted=False),
        *(
            Trait(name=f"stop:{name}", values=_is(classes.codes == classes.code_of(name)), wanted=False)
            for name in sorted(set(classes.values))
            if name not in {"finish", "loop"}
        ),
        Trait(name=TOOL_USE, values=_some(numbers["tool_calls"]), wanted=True, margin=NON_INFERIOR),
        *used,
    ]


def measure_share(trait: Trait, columns: Columns, design: Design, exact: Bools) -> MeasuredShare:
    """Return a trait over the units of a design."""
    rows = design.rows
    values = np.where(rows, trait.values, np.nan)
    sides = design.sides(values)
    known = np.asarray(~np.isnan(sides).any(axis=0))
    change = np.where(known & exact, sides[1] - sides[0], 0.0) * (1.0 if trait.wanted else -1.0)
    here = [rows & (columns.side == side) for side in (0, 1)]
    share = [float((~np.isnan(values[some])).mean()) for some in here]
    count = [int(np.nansum(values[some])) for some in here]
    vanished = trait.name.startswith("tool:") and bool(known.any()) and not np.nansum(sides[1])
    return MeasuredShare(
        trait=trait,
        sides=sides,
        known=known,
        live=design.share(trait.values, trait.name),
        lost=int((change < -_EQUAL).sum()),
        won=int((change > _EQUAL).sum()),
        vanished=vanished and bool((sides[0][known] > 0).all()),
        runs=(count[0], count[1]),
        coverage=min(share),
        in_baseline=share[0] > 0,
    )


def decide_shares(
    shares: list[MeasuredShare], *, rejected: frozenset[str], covered: bool, passed_held: bool
) -> list[ShareChange]:
    """Return the decisions about shares.

    Args:
        shares: The measured shares.
        rejected: Shares for which the ordered tests reject "not worse".
        covered: Whether enough of the baseline's units ran.
        passed_held: Whether `passed` is proven to be no worse; then tools may be used less.
    """
    others = [s for s in shares if not s.trait.gated and s.p_worse is not None]
    q_values = benjamini_hochberg(np.array([s.p_worse for s in others], dtype=np.float64)).tolist()
    fewer = {s.trait.name for s, q in zip(others, q_values, strict=True) if q <= TOOL_FDR}
    found = []
    for share in shares:
        decision = _decide(share, rejected=share.trait.name in rejected, fewer=share.trait.name in fewer)
        if share.trait.name == TOOL_USE and decision == "regressed" and passed_held:
            decision = "warn"
        thin = not covered or share.coverage < COVERAGE
        if share.in_baseline and thin and decision not in {"regressed", "warn"}:
            decision = "insufficient"
        found.append(_change(share, decision))
    return found


def _decide(share: MeasuredShare, *, rejected: bool, fewer: bool) -> Decision:
    if not share.in_baseline:
        return "not_available"
    if share.trait.gated and share.vanished:
        return "regressed"
    found: list[Decision] = []
    if share.lost or share.won or share.live is None:
        bad: Decision = "regressed" if share.trait.gated else "warn"
        found.append(bad if share.lost else "improved" if share.won else "ok")
    if share.live is not None:
        found.append(_decide_live(share, rejected=rejected, fewer=fewer))
    return worst_of(found)


def _decide_live(share: MeasuredShare, *, rejected: bool, fewer: bool) -> Decision:
    live = share.live
    if live is None or live.units < MIN_PAIRS:
        return "insufficient"
    if not share.trait.gated:
        return "warn" if fewer and share.worse >= NON_INFERIOR else "ok"
    if rejected and share.worse >= share.trait.margin:
        return "regressed"
    if share.worse > 0:
        return "warn" if (share.p_worse or 1.0) <= CLEAR else "ok"
    better = live.p_up if share.trait.wanted else live.p_down
    return "improved" if better <= CLEAR and -share.worse >= SHARE_MARGIN else "ok"


def _change(share: MeasuredShare, decision: Decision) -> ShareChange:
    live = share.live
    known = share.known.any() and share.in_baseline
    scale = _unit_scale(share)
    return ShareChange(
        metric=share.trait.name,
        baseline=scale[0] if known else None,
        candidate=scale[1] if known else None,
        decision=decision,
        ci_low=None if live is None else max(live.low, -1.0),
        ci_high=None if live is None else min(live.high, 1.0),
        p=share.p_worse,
        baseline_runs=share.runs[0],
        candidate_runs=share.runs[1],
        pairs=int(share.known.sum()),
        gated=share.trait.gated,
        note="no run uses it any more" if share.vanished and share.trait.gated else None,
    )


def _unit_scale(share: MeasuredShare) -> tuple[float, float]:
    """Return both sides' share over the known units."""
    if not share.known.any():
        return 0.0, 0.0
    first, second = (float(side[share.known].mean()) for side in share.sides)
    return first, second


def _is(flags: Bools) -> Floats:
    return np.asarray(flags, dtype=np.float64)


def _some(counts: Floats) -> Floats:
    return np.where(np.isnan(counts), np.nan, (counts > 0).astype(np.float64))
