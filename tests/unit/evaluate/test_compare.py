"""Two runs on the same cases: the difference and whether it is more than chance."""

from __future__ import annotations

import numpy as np
import pytest

from medimg.errors import DataError
from medimg.evaluate.classification_files import classification_scores
from medimg.evaluate.compare import compare, evaluate


def scores(noise, seed=0, count=300, names=None):
    rng = np.random.default_rng(0)
    label = rng.random(count) < 0.5
    probability = np.clip(0.3 + 0.4 * label + np.random.default_rng(seed).normal(0, noise, count), 0, 1)
    named = names or [str(n) for n in range(count)]
    labels = {name: (bool(value), name) for name, value in zip(named, label, strict=True)}
    return classification_scores(labels, {name: float(value) for name, value in zip(named, probability, strict=True)})


def by_name(comparison):
    return {difference.name: difference for difference in comparison.differences}


def test_a_run_compared_with_itself_does_not_differ():
    found = by_name(compare(scores(0.2), scores(0.2), 200, seed=0))
    assert {difference.verdict for difference in found.values()} == {""}
    assert all(difference.interval == (0.0, 0.0) and difference.p == 1.0 for difference in found.values())


def test_a_better_run_is_told_from_a_worse_one_in_either_order():
    good, bad = scores(0.15, seed=1), scores(0.5, seed=2)
    there, back = by_name(compare(good, bad, 500, seed=0)), by_name(compare(bad, good, 500, seed=0))
    assert (there["roc_auc"].verdict, back["roc_auc"].verdict) == ("better", "worse")
    assert there["roc_auc"].interval == pytest.approx(tuple(-side for side in back["roc_auc"].interval[::-1]))
    # of the Brier score less is better
    assert there["brier"].value < there["brier"].other
    assert there["brier"].verdict == "better"
    assert there["roc_auc"].p == pytest.approx(1 / 500)


def test_pairing_makes_the_interval_of_like_runs_narrow():
    first = scores(0.3, seed=1)
    second = classification_scores(
        {name: (bool(label), name) for name, label in zip(first.ids, first.label, strict=True)},
        {n: float(np.clip(p - 0.01, 0, 1)) for n, p in zip(first.ids, first.probability, strict=True)},
    )
    low, high = by_name(compare(first, second, 500, seed=0))["brier"].interval
    alone = evaluate(first, 500, seed=0).metrics["brier"].interval
    assert high - low < 0.2 * (alone[1] - alone[0])


def test_cases_that_one_run_lacks_are_left_out_of_both():
    whole, part = scores(0.2), scores(0.2).only([str(n) for n in range(100, 300)])
    comparison = compare(whole, part, 50, seed=0)
    assert (comparison.cases, comparison.left_out) == (200, 100)
    assert all(difference.value == difference.other for difference in comparison.differences)


def test_runs_without_a_case_in_common_are_refused():
    with pytest.raises(DataError, match="no case in common"):
        compare(scores(0.2, count=2, names=["a", "b"]), scores(0.2, count=2, names=["c", "d"]), 10, seed=0)
