"""Classification from files: tables paired by id, patients drawn whole, scans by their most probable finding."""

from __future__ import annotations

import numpy as np
import pytest

from medimg.errors import DataError
from medimg.evaluate.bootstrap import draw_counts, wilson_interval
from medimg.evaluate.classification_files import classification_scores, read_labels, read_probabilities
from medimg.evaluate.roc import delong_interval
from medimg.evaluate.run import Rules, Truth, score


@pytest.fixture
def table(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def many(count=200, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.random(count) < 0.4
    probability = np.clip(rng.normal(0.35 + 0.3 * label, 0.2), 0, 1)
    return label, probability


def test_figures_of_a_small_case(table):
    truth = table("t.csv", "id,label\na,1\nb,0\nc,1\nd,0\n")
    predictions = table("p.csv", "id,probability\nd,0.6\nc,0.4\nb,0.1\na,0.9\n")
    result = score("classification", Truth.at(truth), predictions, Rules()).evaluate(draw_counts(4, 20, 0))
    values = {name: metric.value for name, metric in result.metrics.items()}
    assert [values[n] for n in ("accuracy", "sensitivity", "specificity", "precision", "f1")] == [0.5] * 5
    assert values["roc_auc"] == 0.75
    assert values["brier"] == pytest.approx((0.1**2 + 0.1**2 + 0.6**2 + 0.6**2) / 4)
    assert {k: result.counts[k] for k in ("true_positive", "false_positive", "true_negative", "false_negative")} == {
        "true_positive": 1,
        "false_positive": 1,
        "true_negative": 1,
        "false_negative": 1,
    }
    assert {picture.name for picture in result.pictures} == {"roc", "precision_recall", "reliability"}


def test_the_threshold_is_part_of_what_is_positive(table):
    both = table("b.csv", "id,label,probability\na,1,0.5\nb,0,0.49\n")
    for threshold, accuracy in ((0.5, 1.0), (0.51, 0.5), (0.49, 0.5)):
        scores = score("classification", Truth.at(both), both, Rules(threshold=threshold))
        result = scores.evaluate(draw_counts(2, 5, 0))
        assert result.metrics["accuracy"].value == accuracy
        assert result.settings["threshold"] == threshold


def test_intervals_are_wilsons_and_delongs_where_cases_are_independent():
    label, probability = many()
    labels = {str(n): (bool(value), str(n)) for n, value in enumerate(label)}
    scores = classification_scores(labels, {str(n): float(value) for n, value in enumerate(probability)})
    result = scores.evaluate(draw_counts(200, 1000, seed=0))
    metrics = result.metrics
    table = result.counts
    expected = wilson_interval(table["true_positive"], table["positive"])
    assert (metrics["sensitivity"].method, metrics["sensitivity"].interval) == ("Wilson", expected)
    assert (metrics["roc_auc"].method, metrics["roc_auc"].interval) == ("DeLong", delong_interval(label, probability))
    assert metrics["f1"].method == metrics["ece"].method == "bootstrap"
    # the bootstrap comes to much the same
    drawn = np.percentile(metrics["roc_auc"].replicates, [2.5, 97.5])
    np.testing.assert_allclose(drawn, metrics["roc_auc"].interval, atol=0.01)


def test_nodules_of_one_patient_are_drawn_together():
    label, probability = many()
    pairs = {str(n): (bool(label[n // 4]), f"p{n // 4}") for n in range(400)}
    scores = classification_scores(pairs, {str(n): float(probability[n // 4]) for n in range(400)})
    assert len(scores.cases) == 100
    result = scores.evaluate(draw_counts(100, 500, seed=0))
    assert result.metrics["accuracy"].method == "bootstrap"
    alone = classification_scores(
        {str(n): (bool(label[n]), str(n)) for n in range(100)}, {str(n): float(probability[n]) for n in range(100)}
    ).evaluate(draw_counts(100, 500, seed=0))
    # four copies of each case tell no more than one
    np.testing.assert_allclose(result.metrics["accuracy"].replicates, alone.metrics["accuracy"].replicates)


def test_a_case_without_prediction_has_failed_and_a_prediction_without_truth_is_said(table):
    truth, predictions = table("t.csv", "id,label\na,1\nb,0\nc,1\n"), table("p.csv", "id,probability\na,1\nb,0\nx,1\n")
    scores = classification_scores(read_labels(truth), read_probabilities(predictions))
    assert scores.ids == ("a", "b")
    assert [(failure.case, str(failure.reason)) for failure in scores.failed] == [("c", "missing_prediction")]
    assert scores.warnings == ("1 predictions have no truth and were left out (x, ...)",)


def test_one_class_alone_has_no_areas(table):
    both = table("b.csv", "id,label,probability\na,1,0.5\nb,1,0.4\n")
    result = score("classification", Truth.at(both), both, Rules()).evaluate(draw_counts(2, 20, 0))
    assert result.metrics["roc_auc"].value is None
    assert result.metrics["specificity"].value is None
    assert result.metrics["sensitivity"].value == 0.5
    assert "all cases are of one class" in result.warnings[0]
    assert [picture.name for picture in result.pictures] == ["reliability"]


def test_a_scan_is_as_suspicious_as_its_most_probable_mark(luna16, marks):
    truth = luna16([("a", 0, 0, 0, 5)], series=["a", "b", "c"])
    predictions = marks([("a", 9, 9, 9, 0.2), ("a", 0, 0, 0, 0.7), ("b", 0, 0, 0, 0.6)])
    scores = score("classification", Truth.at(truth), predictions, Rules())
    assert (scores.label.tolist(), scores.probability.tolist()) == ([True, False, False], [0.7, 0.6, 0.0])


@pytest.mark.parametrize(
    ("truth", "predictions", "words"),
    [
        ("id,label\na,2\n", "id,probability\na,1\n", "line 2: label 2 is outside the set 0, 1"),
        ("id,label\na,1\na,0\n", "id,probability\na,1\n", "id a stands there twice"),
        ("id,label\na,1\n", "id,probability\na,1\na,1\n", "id a stands there twice"),
        ("id,label\na,1\n", "id,probability\na,nan\n", "line 2: probability is 'nan'"),
        ("id,label\na,1\n", "id,probability\na,1.01\n", "1.01 is not between 0 and 1"),
        ("id,label\na,1\n", "id,score\na,1\n", "not exactly one column probability"),
        ("name,label\na,1\n", "id,probability\na,1\n", "not exactly one column id"),
        ("id,label\n", "id,probability\na,1\n", "holds no case"),
        ("id,label\na,1\n", "id,probability\nb,1\n", "none of the truth has a prediction"),
    ],
)
def test_tables_that_cannot_be_scored_are_said(table, truth, predictions, words):
    with pytest.raises(DataError, match=words):
        score("classification", Truth.at(table("t.csv", truth)), table("p.csv", predictions), Rules())
