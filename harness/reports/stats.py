"""The statistics of reports: numpy only, seeded, so that equal inputs give equal answers.

Rules, with the measurements behind them (30 tasks x 5 repeats, task spread 1.0, run noise 0.25 in logs):

- Runs are paired by task, because tasks differ far more than deploys: unpaired tests on the same data find a
  change of 10 % in 1 of 100 cases, paired ones in about 94.
- The suite's ratio is the geometric mean over tasks; its interval is the percentile bootstrap over tasks.
  Below 20 tasks that interval alarms too often (10 % at 8 tasks), so the sign-flip p decides there.
- One task is tested with a t statistic whose variance is drawn half-way to the suite's median, because a few
  repeats estimate a variance badly; Benjamini-Hochberg keeps the share of false findings at 5 %.
- Shares of paired runs: Newcombe's interval for the difference of paired proportions (Newcombe 1998, method
  10) and McNemar's exact test; Holm's correction over shares that are looked at together.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 10_000
CONFIDENCE = 0.95
SMALL = 20
"""Below so many pairs the sign-flip p decides instead of the bootstrap interval."""

EXACT_FLIPS = 13
"""Up to so many pairs all sign patterns are tried; above, `RESAMPLES` random ones."""

NORMAL_ABOVE = 20_000
"""Above so many pairs the bootstrap of a mean is the normal law to three digits, and is taken from it."""

_BLOCK = 500_000
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate, its 95 % interval and a two-sided p value."""

    value: float
    low: float
    high: float
    p: float

    @property
    def significant(self) -> bool:
        """Whether the p value is below 5 %."""
        return self.p < 1 - CONFIDENCE


def seed_for(*parts: str) -> int:
    """Return a seed that depends on the labels alone."""
    return int.from_bytes(hashlib.sha256("\n".join(parts).encode()).digest()[:8], "big")


def mean_interval(values: Floats, *, seed: int) -> Interval:
    """Return the mean of paired differences with its interval.

    The p value is the sign-flip p below `SMALL` values, and otherwise that of the bootstrap, so that it and
    the interval say the same.

    Args:
        values: One difference for each pair, at least one.
        seed: Equal seeds give equal answers.
    """
    mean = float(values.mean())
    if not np.any(values):
        return Interval(value=0.0, low=0.0, high=0.0, p=1.0)
    rng = np.random.default_rng(seed)
    count = len(values)
    if count > NORMAL_ABOVE:
        error = float(values.std(ddof=1)) / math.sqrt(count)
        p = math.erfc(abs(mean) / error / math.sqrt(2)) if error else 0.0
        return Interval(value=mean, low=mean - _Z * error, high=mean + _Z * error, p=p)
    means = _resampled_means(values, rng)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    if count < SMALL:
        p = sign_flip_p(values, rng)
    else:
        tail = min(int((means <= 0).sum()), int((means >= 0).sum()))
        p = min(1.0, 2 * (tail + 1) / (RESAMPLES + 1))
    return Interval(value=mean, low=low, high=high, p=p)


def _resampled_means(values: Floats, rng: np.random.Generator) -> Floats:
    count = len(values)
    block = max(1, _BLOCK // count)
    means = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, block):
        size = min(block, RESAMPLES - start)
        picks = rng.integers(0, count, size=(size, count), dtype=np.int32)
        means[start : start + size] = values[picks].mean(axis=1)
    return means


def sign_flip_p(values: Floats, rng: np.random.Generator, *, one_sided: bool = False) -> float:
    """Return the p value of the sign-flip test of mean 0; exact for few values.

    Args:
        values: Paired differences.
        rng: Source of random signs where there are too many patterns to try all.
        one_sided: Whether only means above 0 count.
    """
    count = len(values)
    if not np.any(values):
        return 1.0
    if count <= EXACT_FLIPS:
        bits = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
        means = (1.0 - 2.0 * bits) @ values / count
    else:
        block = max(1, _BLOCK // count)
        parts = [np.array([values.mean()])]
        for start in range(0, RESAMPLES, block):
            size = min(block, RESAMPLES - start)
            signs = rng.integers(0, 2, size=(size, count), dtype=np.int8) * 2.0 - 1.0
            parts.append(signs @ values / count)
        means = np.concatenate(parts)
    observed = float(values.mean())
    slack = 1e-12 * max(1.0, abs(observed))
    if one_sided:
        return float((means >= observed - slack).mean())
    return float((np.abs(means) >= abs(observed) - slack).mean())


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
    """Return the exact one-sided p that so many pairs got worse where as many should have got better."""
    total = worse + better
    if total == 0:
        return 1.0
    if total > 1000:
        z = (worse - better - 1) / math.sqrt(total)
        return 0.5 * math.erfc(z / math.sqrt(2))
    return float(sum(math.comb(total, k) for k in range(worse, total + 1)) / 2**total)


def holm(p_values: list[float]) -> list[float]:
    """Return the p values corrected by Holm's method, in the order given."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected = [0.0] * len(p_values)
    worst = 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, p_values[index] * (len(p_values) - rank)))
        corrected[index] = worst
    return corrected


def benjamini_hochberg(p_values: Floats) -> Floats:
    """Return the q values (false discovery rate) of p values, in the order given."""
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
