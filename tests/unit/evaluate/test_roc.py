"""Curves, areas and calibration against scikit-learn; DeLong against its own definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.calibration import calibration_curve

from medimg.evaluate import calibration, roc
from medimg.evaluate.confusion import confusion

CASES = st.lists(st.tuples(st.booleans(), st.integers(0, 10), st.integers(0, 3)), min_size=2, max_size=40)


def arrays(cases):
    label, score, weight = (np.array(column) for column in zip(*cases, strict=True))
    return label.astype(bool), score / 10, weight.astype(float)


def has_both(label, weight) -> bool:
    return bool(weight[label].sum() and weight[~label].sum())


@settings(max_examples=200, deadline=None)
@given(CASES)
def test_areas_are_those_of_scikit_learn(cases):
    label, score, weight = arrays(cases)
    counts = roc.counts_by_score(label, score, weight)
    if not has_both(label, weight):
        assert math.isnan(roc.roc_auc(counts))
        return
    assert roc.roc_auc(counts) == pytest.approx(metrics.roc_auc_score(label, score, sample_weight=weight))
    expected = metrics.average_precision_score(label, score, sample_weight=weight)
    assert roc.average_precision(counts) == pytest.approx(expected)


@settings(max_examples=100, deadline=None)
@given(CASES)
def test_what_a_threshold_gives_is_that_of_scikit_learn(cases):
    label, score, _ = arrays(cases)
    table = confusion(label, score, 0.5)
    called = score >= 0.5
    expected = metrics.confusion_matrix(label, called, labels=[False, True]).ravel().tolist()
    assert [table.true_negative, table.false_positive, table.false_negative, table.true_positive] == expected
    shares = {name: part / whole if whole else 0.0 for name, (part, whole) in table.proportions().items()}
    assert shares["accuracy"] == pytest.approx(metrics.accuracy_score(label, called))
    assert shares["sensitivity"] == pytest.approx(metrics.recall_score(label, called, zero_division=0))
    assert shares["specificity"] == pytest.approx(metrics.recall_score(~label, ~called, zero_division=0))
    assert shares["precision"] == pytest.approx(metrics.precision_score(label, called, zero_division=0))
    if label.any() or called.any():
        assert table.f1() == pytest.approx(metrics.f1_score(label, called))


@settings(max_examples=100, deadline=None)
@given(CASES)
def test_calibration_is_that_of_scikit_learn(cases):
    label, score, weight = arrays(cases)
    assert calibration.brier(label, score) == pytest.approx(np.mean((score - label) ** 2))
    curve = calibration.reliability(label, score)
    # scikit-learn's bins hold their upper edge, ours their lower: between the edges they are the same
    inner = np.clip(score - 0.003, 0, 1)
    shares, means = calibration_curve(label, inner, n_bins=calibration.BINS)
    inside = calibration.reliability(label, inner)
    np.testing.assert_allclose(inside.positive, shares)
    np.testing.assert_allclose(inside.probability, means)
    assert curve.count.sum() == len(label)
    if weight.sum():
        assert calibration.brier(label, score, weight) == pytest.approx(
            np.average((score - label) ** 2, weights=weight)
        )


def test_the_expected_calibration_error_of_a_known_case():
    # two bins: three of four positive where 0.55 was said, none of six where 0.25 was said
    probability = np.array([0.55] * 4 + [0.25] * 6)
    label = np.array([True] * 3 + [False] * 7)
    error = calibration.reliability(label, probability).expected_error()
    assert error == pytest.approx(0.4 * 0.20 + 0.6 * 0.25)


def test_a_probability_of_one_is_in_the_last_bin():
    curve = calibration.reliability(np.array([True, True]), np.array([0.95, 1.0]))
    assert (curve.low.tolist(), curve.count.tolist()) == ([0.9], [2.0])


def test_delongs_interval_is_its_own_definition_pair_by_pair():
    rng = np.random.default_rng(1)
    label = rng.random(60) < 0.4
    score = np.round(label * 0.6 + rng.normal(size=60), 1)
    positive, negative = score[label], score[~label]
    better = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    variance = better.mean(axis=1).var(ddof=1) / len(positive) + better.mean(axis=0).var(ddof=1) / len(negative)
    half = 1.959964 * math.sqrt(variance)
    assert roc.delong_interval(label, score) == pytest.approx((better.mean() - half, better.mean() + half), abs=1e-6)


def test_delong_needs_two_of_each():
    assert roc.delong_interval(np.array([True, False, False]), np.array([0.9, 0.1, 0.2])) is None


def test_the_roc_curve_runs_from_corner_to_corner():
    counts = roc.counts_by_score(np.array([True, False, True]), np.array([0.9, 0.5, 0.1]))
    false, true = roc.roc_curve(counts)
    assert (false.tolist(), true.tolist()) == ([0, 0, 1, 1], [0, 0.5, 0.5, 1])
