"""Draws, intervals and the closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from medimg.evaluate.bootstrap import (
    draw_counts,
    grouped,
    percentile_interval,
    two_sided_p,
    wilson_interval,
)


def test_each_draw_is_as_large_as_the_sample():
    counts = draw_counts(30, 200, seed=1)
    assert counts.shape == (200, 30)
    assert (counts.sum(axis=1) == 30).all()
    assert counts.min() == 0
    assert counts.max() > 1


def test_one_seed_draws_the_same_and_another_does_not():
    assert np.array_equal(draw_counts(30, 5, seed=1), draw_counts(30, 5, seed=1))
    assert not np.array_equal(draw_counts(30, 5, seed=1), draw_counts(30, 5, seed=2))


@pytest.mark.parametrize("units", [0, 1])
def test_of_one_case_there_is_nothing_to_draw_and_no_interval(units):
    counts = draw_counts(units, 100, seed=0)
    assert counts.shape == (0, units)
    assert percentile_interval(counts.sum(axis=1).astype(float)) is None


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    values = np.random.default_rng(0).normal(size=2000)
    means = draw_counts(2000, 2000, seed=0) @ values / 2000
    low, high = percentile_interval(means)
    error = values.std() / np.sqrt(2000)
    assert (values.mean() - low) / error == pytest.approx(1.96, abs=0.12)
    assert (high - values.mean()) / error == pytest.approx(1.96, abs=0.12)


def test_replicates_that_are_not_defined_are_left_out():
    assert percentile_interval(np.array([np.nan, 1.0, 2.0, np.nan])) == pytest.approx((1.025, 1.975))
    assert percentile_interval(np.array([np.nan, 1.0])) is None


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (45, 50), (50, 50)])
def test_wilsons_interval_is_that_of_scipy(successes, trials):
    expected = binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_no_trials_have_no_interval():
    assert wilson_interval(0, 0) is None


def test_p_is_small_when_the_replicates_lie_on_one_side():
    assert two_sided_p(np.array([1.0] * 1000)) == 0.001
    assert two_sided_p(np.array([-1.0, 1.0] * 500)) == 1.0
    assert two_sided_p(np.zeros(100)) == 1.0
    assert two_sided_p(np.array([])) is None


def test_members_are_grouped_in_the_order_they_come():
    names, places = grouped(["b", "a", "b", "c"])
    assert (names, places.tolist()) == (["b", "a", "c"], [0, 1, 0, 2])
