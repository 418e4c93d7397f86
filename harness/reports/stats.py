"""The statistics of reports, in numpy only, and seeded, so that equal inputs give equal results.

Theory of operation: the rules, with the measurements behind them (30 tasks x 5 repeats, task spread 1.0, run noise
0.25 in logs).

- Runs are paired by task, because tasks differ far more than deploys: unpaired tests on the same data find a
  change of 10 % in 1 of 100 cases, paired ones in about 94.
- The suite's ratio is the geometric mean over tasks, and its interval is the percentile bootstrap over tasks. Below 20
  tasks that interval raises too many false alarms (10 % at 8 tasks), so the sign-flip test decides there.
- One task is tested with a t statistic whose variance is drawn half-way to the suite's median, because a few
  repeats estimate a variance badly. Benjamini-Hochberg keeps the share of false findings at 5 %.
- Shares of paired runs: Newcombe's interval for the difference of paired proportions (Newcombe 1998, method
  10) and McNemar's exact test, with Holm's correction over shares that are tested together.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 4_000
CONFIDENCE = 0.95
SMALL = 20
"""With fewer pairs, the sign-flip test decides instead of the bootstrap interval."""

EXACT_FLIPS = 13
"""Up to this many pairs, all sign patterns are tried; above, `RESAMPLES` random ones."""

NORMAL_ABOVE = 1_000
"""Above this many pairs, the bootstrap distribution of a mean is normal, and its quantiles are computed directly."""

_PICKS = 1_000_000
"""Random draws for one estimate. With many pairs there are fewer resamples, but at least 2,000."""

_Z = 1.959963984540054


def seed_for(*parts: str) -> int:
    """Return a seed that depends only on the labels."""
    return int.from_bytes(hashlib.sha256("\n".join(parts).encode()).digest()[:8], "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A change with its 95 % interval.

    Attributes:
        value: The change; logarithm of a ratio, or difference of shares.
        low: Lower end.
        high: Upper end.
        p_up: One-sided p value against an increase.
        p_down: One-sided p value against a decrease.
        error: Standard error.
        units: Sample size: pairs of tasks, or runs on the side with fewer.
    """

    value: float
    low: float
    high: float
    p_up: float
    p_down: float
    error: float
    units: int

    @property
    def p(self) -> float:
        """Two-sided p value."""
        return min(1.0, 2 * min(self.p_up, self.p_down))


def resamples_for(count: int) -> int:
    """Return the number of resamples for a number of units."""
    return int(min(RESAMPLES, max(2_000, _PICKS // max(count, 1))))


def flip_p(values: Floats, rng: np.random.Generator) -> tuple[float, float]:
    """Return the one-sided p values of the sign-flip test of mean 0, against an increase and a decrease.

    If a deploy changed nothing, the two sides of any task can be exchanged. So the test compares the mean with those
    under all sign patterns (random ones above `EXACT_FLIPS` values). It is exact for any distribution of the values.
    """
    count = len(values)
    if count <= EXACT_FLIPS:
        bits = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
        sums = (1.0 - 2.0 * bits) @ values
    else:
        tries = resamples_for(count)
        width = (count + 7) // 8
        packed = rng.integers(0, 256, size=(tries, width), dtype=np.uint8)
        signs = np.unpackbits(packed, axis=1, count=count).astype(np.float32)
        sums = np.append(values.sum() - 2.0 * (signs @ values.astype(np.float32)), values.sum())
    observed = float(values.sum())
    slack = 1e-6 * max(float(np.abs(values).sum()), 1e-300)
    return float((sums >= observed - slack).mean()), float((sums <= observed + slack).mean())


def paired_estimate(values: Floats, *, seed: int) -> Estimate:
    """Return the mean of paired differences.

    Below `SMALL` pairs the sign-flip test decides alone, because the bootstrap interval is too narrow there. From
    `SMALL` pairs on, both must agree.
    """
    return _resampled(values, np.zeros(len(values)), seed=seed, log=False)


def total_estimate(first: Floats, second: Floats, *, seed: int) -> Estimate:
    """Return the logarithm of the ratio of sums over pairs: the change of the bill."""
    return _resampled(second, first, seed=seed, log=True)


def _resampled(second: Floats, first: Floats, *, seed: int, log: bool) -> Estimate:
    count = len(second)
    change = second - first
    start, stop = float(first.sum()), float(second.sum())
    value = math.log(stop / start) if log else float(change.mean())
    if not change.any():
        return Estimate(value=0.0, low=0.0, high=0.0, p_up=1.0, p_down=1.0, error=0.0, units=count)
    rng = np.random.default_rng(seed)
    if count > NORMAL_ABOVE:
        # The influence of each pair on the estimate. For a ratio of sums it is the derivative (delta method).
        influence = second / stop - first / start if log else change / count
        error = float(np.sqrt(((influence - influence.mean()) ** 2).sum() * count / (count - 1)))
        z = value / error if error else math.copysign(math.inf, value)
        up, down = 0.5 * math.erfc(z / math.sqrt(2)), 0.5 * math.erfc(-z / math.sqrt(2))
        low, high = value - _Z * error, value + _Z * error
        return Estimate(value=value, low=low, high=high, p_up=up, p_down=down, error=error, units=count)
    picks = rng.integers(0, count, size=(resamples_for(count), count), dtype=np.int32)
    if log:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.log(second[picks].sum(axis=1) / first[picks].sum(axis=1))
        found = np.nan_to_num(found, nan=0.0, posinf=50.0, neginf=-50.0)
    else:
        found = change[picks].mean(axis=1)
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    up, down = flip_p(change, rng)
    if count >= SMALL:
        tries = len(found) + 1
        up = max(up, (int((found <= 0).sum()) + 1) / tries)
        down = max(down, (int((found >= 0).sum()) + 1) / tries)
    return Estimate(
        value=value, low=low, high=high, p_up=up, p_down=down, error=float(found.std()), units=count
    )


def clustered_estimate(
    influence: Floats, value: float, clusters: npt.NDArray[np.int64], *, units: int
) -> Estimate:
    """Return an estimate with a cluster-robust error (sandwich estimator, Student's t).

    Args:
        influence: Contribution of each run to the estimate, relative to its stratum's mean.
        value: The estimate.
        clusters: Cluster of each run, from 0.
        units: Runs on the side with fewer.
    """
    sums = np.bincount(clusters, weights=influence)
    sums = sums[np.bincount(clusters) > 0]
    count = len(sums)
    if count < 2:
        return Estimate(
            value=value, low=-math.inf, high=math.inf, p_up=1.0, p_down=1.0, error=math.inf, units=units
        )
    error = math.sqrt(float((sums**2).sum()) * count / (count - 1))
    degrees = float(count - 1)
    if error <= 1e-12 * max(abs(value), 1e-12):
        sure = 0.0 if value else 1.0
        return Estimate(
            value=value,
            low=value,
            high=value,
            p_up=sure if value >= 0 else 1.0,
            p_down=sure if value <= 0 else 1.0,
            error=0.0,
            units=units,
        )
    half = t_quantile(degrees) * error
    tail = float(student_p(np.array([abs(value) / error]), np.array([degrees]))[0]) / 2
    up, down = (tail, 1 - tail) if value > 0 else (1 - tail, tail)
    return Estimate(
        value=value, low=value - half, high=value + half, p_up=up, p_down=down, error=error, units=units
    )


@cache
def t_quantile(degrees: float) -> float:
    """Return the 97.5 % quantile of Student's t distribution, by bisection of its p value."""
    low, high = 1.0, 13.0
    for _ in range(50):
        middle = (low + high) / 2
        if float(student_p(np.array([middle]), np.array([degrees]))[0]) > 1 - CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def wilson(count: float, total: float) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a proportion."""
    share = count / total
    centre = share + _Z**2 / (2 * total)
    spread = _Z * math.sqrt(share * (1 - share) / total + _Z**2 / (4 * total**2))
    scale = 1 + _Z**2 / total
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def newcombe(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    """Return Newcombe's interval of `second - first` for independent proportions, each (count, total)."""
    (low1, high1), (low2, high2) = wilson(*first), wilson(*second)
    share1, share2 = first[0] / first[1], second[0] / second[1]
    gap = share2 - share1
    low = gap - math.hypot(share2 - low2, high1 - share1)
    high = gap + math.hypot(high2 - share2, share1 - low1)
    return max(-1.0, low), min(1.0, high)


def newcombe_paired(both: int, lost: int, gained: int, neither: int) -> tuple[float, float]:
    """Return Newcombe's interval (method 10) of the change of a share over paired runs.

    Args:
        both: Pairs with the trait on both sides.
        lost: Pairs with it in the baseline only.
        gained: Pairs with it in the candidate only.
        neither: Pairs without it.
    """
    total = both + lost + gained + neither
    share1, share2 = (both + lost) / total, (both + gained) / total
    low1, high1 = wilson(both + lost, total)
    low2, high2 = wilson(both + gained, total)
    product = (both + lost) * (gained + neither) * (both + gained) * (lost + neither)
    cross = float(both * neither - lost * gained)
    if cross > 0:
        cross = max(cross - total / 2, 0.0)
    phi = cross / math.sqrt(product) if product else 0.0
    gap = share2 - share1
    down = (share2 - low2) ** 2 - 2 * phi * (share2 - low2) * (high1 - share1) + (high1 - share1) ** 2
    up = (high2 - share2) ** 2 - 2 * phi * (high2 - share2) * (share1 - low1) + (share1 - low1) ** 2
    return max(-1.0, gap - math.sqrt(max(down, 0.0))), min(1.0, gap + math.sqrt(max(up, 0.0)))


def mcnemar_p(worse: int, better: int) -> float:
    """Return the exact one-sided p value of `worse` among all changed pairs, if each direction is equally likely."""
    total = worse + better
    if total == 0:
        return 1.0
    if total > 1000:
        z = (worse - better - 1) / math.sqrt(total)
        return 0.5 * math.erfc(z / math.sqrt(2))
    return float(sum(math.comb(total, k) for k in range(worse, total + 1)) / 2**total)


def holm(p_values: list[float]) -> list[float]:
    """Return the p values corrected by Holm's method, in the given order."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected = [0.0] * len(p_values)
    worst = 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, p_values[index] * (len(p_values) - rank)))
        corrected[index] = worst
    return corrected


def benjamini_hochberg(p_values: Floats) -> Floats:
    """Return the q values (false discovery rate) of p values, in the given order."""
    count = len(p_values)
    if count == 0:
        return p_values
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * count / np.arange(1, count + 1)
    q_sorted = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    q_values = np.empty(count)
    q_values[order] = q_sorted
    return q_values


def shrunken_t_p(differences: Floats, variances: Floats, degrees: Floats) -> Floats:
    """Return two-sided p values of single tasks' differences.

    Args:
        differences: Mean log difference of each task.
        variances: Estimated variance of each difference.
        degrees: Degrees of freedom of each variance, at least 1.
    """
    typical = float(np.median(variances)) if len(variances) else 0.0
    drawn = (variances + typical) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(drawn > 0, differences / np.sqrt(drawn), np.where(differences == 0, 0.0, np.inf))
    return student_p(np.abs(t), degrees * 2)


def student_p(t: Floats, degrees: Floats) -> Floats:
    """Return two-sided p values of Student's t by the incomplete beta function (Lentz's continued fraction)."""
    with np.errstate(over="ignore"):
        x = np.where(np.isinf(t), 0.0, degrees / (degrees + np.where(np.isinf(t), 0.0, t) ** 2))
    return np.clip(_incomplete_beta(degrees / 2, np.full_like(degrees, 0.5), x), 0.0, 1.0)


def _incomplete_beta(a: Floats, b: Floats, x: Floats) -> Floats:
    swap = x > (a + 1) / (a + b + 2)
    p, q, y = np.where(swap, b, a), np.where(swap, a, b), np.where(swap, 1 - x, x)
    gamma = np.vectorize(math.lgamma, otypes=[float])
    with np.errstate(divide="ignore"):
        log_front = gamma(a + b) - gamma(a) - gamma(b) + p * np.log(y) + q * np.log1p(-y)
    value = np.exp(log_front) / p * _beta_fraction(p, q, y)
    return np.asarray(np.where(swap, 1 - value, value))


def _beta_fraction(a: Floats, b: Floats, x: Floats) -> Floats:
    tiny = 1e-300
    c = np.ones_like(x)
    d = 1 / _away(1 - (a + b) * x / (a + 1), tiny)
    h = d.copy()
    for m in range(1, 200):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1 / _away(1 + even * d, tiny), _away(1 + even / c, tiny)
        h *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / _away(1 + odd * d, tiny), _away(1 + odd / c, tiny)
        step = d * c
        h *= step
        if np.all(np.abs(step - 1) < 1e-12):
            break
    return h


def _away(values: Floats, tiny: float) -> Floats:
    return np.where(np.abs(values) < tiny, tiny, values)
