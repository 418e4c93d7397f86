"""The statistics: published values, properties, and error rates by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.reports.gating import rejections
from harness.reports.stats import (
    benjamini_hochberg,
    clustered_estimate,
    flip_p,
    holm,
    mcnemar_p,
    newcombe,
    newcombe_paired,
    paired_estimate,
    seed_for,
    shrunken_t_p,
    student_p,
    t_quantile,
    total_estimate,
    wilson,
)


def test_student_p_gives_the_values_of_the_tables() -> None:
    p = student_p(np.array([2.228, 2.776, 1.96, 0.0, np.inf]), np.array([10.0, 4.0, 1e6, 5.0, 3.0]))

    assert p[:3] == pytest.approx([0.05, 0.05, 0.05], abs=2e-4)
    assert p[3:].tolist() == [1.0, 0.0]


def test_newcombe_gives_the_published_intervals() -> None:
    paired = newcombe_paired(36, 12, 2, 0)
    independent = newcombe((48, 80), (56, 70))

    assert [-paired[1], -paired[0]] == pytest.approx([0.0569, 0.3404], abs=1e-4)
    assert [-x for x in independent] == pytest.approx([-0.0524, -0.3339], abs=1e-4)
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_mcnemar_is_the_exact_binomial_tail() -> None:
    assert mcnemar_p(5, 0) == 1 / 32
    assert mcnemar_p(0, 0) == 1.0
    assert mcnemar_p(1100, 900) == pytest.approx(4.3e-6, rel=0.1)


def test_holm_and_benjamini_hochberg_correct_in_the_order_given() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert benjamini_hochberg(np.array([0.04, 0.01, 0.03])).tolist() == pytest.approx([0.04, 0.03, 0.04])


def test_sign_flip_of_eight_equal_signs_is_one_in_128() -> None:
    rng = np.random.default_rng(1)

    assert flip_p(np.arange(1.0, 9.0), rng) == (1 / 256, 1.0)
    assert flip_p(-np.arange(1.0, 9.0), rng) == (1.0, 1 / 256)


def test_no_change_at_all_has_no_width() -> None:
    interval = paired_estimate(np.zeros(30), seed=1)

    assert (interval.low, interval.high, interval.p) == (0.0, 0.0, 1.0)


def test_many_pairs_take_the_normal_law_and_agree_with_resampling() -> None:
    values = np.random.default_rng(3).normal(0.01, 1, 1_250)
    first, second = np.exp(values), np.exp(values[::-1])

    exact, resampled = paired_estimate(values, seed=1), paired_estimate(values[:1000], seed=1)
    totals = total_estimate(first, second, seed=1), total_estimate(first[:1000], second[:1000], seed=1)

    assert exact.error == pytest.approx(resampled.error * math.sqrt(0.8), rel=0.06)
    assert totals[0].error == pytest.approx(totals[1].error * math.sqrt(0.8), rel=0.15)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40), st.integers(0, 2**32))
def test_intervals_are_seeded_and_hold_the_mean(values: list[float], seed: int) -> None:
    data = np.array(values)

    first, again = paired_estimate(data, seed=seed), paired_estimate(data, seed=seed)
    mirrored = paired_estimate(-data, seed=seed)

    assert first == again
    assert first.low - 1e-9 <= first.value <= first.high + 1e-9
    assert 0 < first.p <= 1
    assert mirrored.value == -first.value


def test_the_t_quantile_is_that_of_the_tables() -> None:
    assert [t_quantile(d) for d in (1.0, 4.0, 30.0)] == pytest.approx([12.706, 2.776, 2.042], abs=1e-3)


def test_runs_of_one_cluster_count_as_one_unit() -> None:
    influence = np.repeat(np.random.default_rng(2).normal(0, 0.01, 10), 50)
    apart, together = np.arange(500), np.repeat(np.arange(10), 50)

    one = clustered_estimate(influence, 0.1, apart, units=250)
    other = clustered_estimate(influence, 0.1, together, units=250)

    assert other.error == pytest.approx(one.error * math.sqrt(50), rel=0.1)


def test_the_rate_of_a_stage_passes_on_only_when_all_of_it_is_rejected() -> None:
    share = {"shares": {"deny": 0.05}}

    assert rejections({"cost": {"cost": 0.5}, "work": {}, **share}) == frozenset()
    assert rejections({"cost": {"cost": 0.001}, "work": {}, **share}) == {"cost", "deny"}
    assert rejections({"work": {"calls": 0.0001, "tokens": 0.5}, "shares": {"deny": 0.001}}) == {
        "calls",
        "deny",
    }


def test_doubled_tasks_are_found_among_many_without_false_findings() -> None:
    rng = np.random.default_rng(5)
    recalls, false_alarms = [], 0
    for _ in range(100):
        noise = rng.normal(0, 0.25, (2, 30, 5))
        noise[1, :3] += math.log(2)
        gap = noise[1].mean(axis=1) - noise[0].mean(axis=1)
        spread = noise.var(axis=2, ddof=1).sum(axis=0) / 5
        found = (benjamini_hochberg(shrunken_t_p(gap, spread, np.full(30, 8.0))) <= 0.05) & (
            gap > math.log(1.25)
        )
        recalls.append(found[:3].mean())
        false_alarms += bool(found[3:].any())

    assert float(np.mean(recalls)) >= 0.8
    assert false_alarms <= 12


def test_seeds_depend_on_the_labels() -> None:
    assert seed_for("a", "b") == seed_for("a", "b") != seed_for("b", "a")
