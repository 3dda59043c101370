"""FROC against a literal reading of LUNA16's rules, and against the official figures of a published detector."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from medimg.evaluate import froc
from medimg.evaluate.bootstrap import draw_counts
from medimg.evaluate.detection_files import detection_scores, read_marks, read_truth
from medimg.evaluate.froc import NO_MARK, RATES, Points

OFFICIAL = (0.692243, 0.768971, 0.823777, 0.865093, 0.892917, 0.917369, 0.933390)
"""Of the official script on the golden case; their mean is 0.841966."""


def points(rows) -> Points:
    """(scan, x, y, z, value) of each."""
    table = np.array(rows, dtype=float).reshape(-1, 5)
    return Points(table[:, 0].astype(np.intp), table[:, 1:4], table[:, 4])


def literal(nodules, excluded, marks, scans, max_marks, rates=RATES):
    """The rules one by one, as the official script goes through them; the curve by scikit-learn, as there."""
    truth, scores, kept_flag, false, ignored, double = [], [], [], 0, 0, 0
    for scan in scans:
        candidates = [mark for mark in marks if mark[0] == scan]
        if len(candidates) > max_marks:
            limit = sorted((mark[4] for mark in candidates), reverse=True)[max_marks]
            candidates = [mark for mark in candidates if mark[4] > limit]
        rest = list(range(len(candidates)))
        for findings, is_nodule in ((nodules, True), (excluded, False)):
            for finding in [f for f in findings if f[0] == scan]:
                diameter = 10.0 if finding[4] < 0 else finding[4]
                hit = [
                    index
                    for index, mark in enumerate(candidates)
                    if sum((mark[axis] - finding[axis]) ** 2 for axis in (1, 2, 3)) < (diameter / 2) ** 2
                ]
                if is_nodule:
                    truth.append(1)
                    scores.append(max((candidates[index][4] for index in hit), default=-1e9))
                    kept_flag.append(bool(hit))
                    double += max(0, len(hit) - 1)
                else:
                    ignored += sum(index in rest for index in hit)
                rest = [index for index in rest if index not in hit]
        for index in rest:
            truth.append(0)
            scores.append(candidates[index][4])
            kept_flag.append(True)
            false += 1
    local = [(t, s) for t, s, kept in zip(truth, scores, kept_flag, strict=True) if kept]
    found = sum(t for t, _ in local)
    counts = {"false": false, "ignored": ignored, "double": double, "found": found}
    if not false or not found or not sum(truth):
        return None, counts
    fpr, tpr, _ = roc_curve([t for t, _ in local], [s for _, s in local])
    return np.interp(rates, fpr * (len(local) - found) / len(scans), tpr * found / sum(truth)), counts


# few places and few scores, so that ties, double hits and hits on the very edge happen
PLACE = st.integers(0, 6).map(float)
FINDING = st.tuples(st.integers(0, 3), PLACE, PLACE, st.just(0.0), st.sampled_from([-1.0, 2.0, 4.0, 6.0]))
MARK = st.tuples(st.integers(0, 3), PLACE, PLACE, st.just(0.0), st.integers(0, 9).map(lambda n: n / 10))


@settings(max_examples=300, deadline=None)
@given(st.lists(FINDING, max_size=6), st.lists(FINDING, max_size=4), st.lists(MARK, max_size=25))
def test_it_is_what_the_rules_say_one_by_one(nodules, excluded, marks):
    expected, counts = literal(nodules, excluded, marks, range(4), max_marks=5)
    matches = froc.match(points(nodules), points(excluded), points(marks), 4, max_marks=5)
    assert len(matches.false_score) == counts["false"]
    assert matches.ignored_excluded == counts["ignored"]
    assert matches.ignored_double == counts["double"]
    assert matches.found.sum() == counts["found"]
    if expected is not None:
        np.testing.assert_allclose(froc.curve(matches).at(RATES), expected, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.lists(FINDING, min_size=1, max_size=6), st.lists(MARK, max_size=25), st.integers(0, 99))
def test_a_replicate_is_the_froc_of_scans_copied_as_often_as_they_were_drawn(nodules, marks, seed):
    matches = froc.match(points(nodules), points([]), points(marks), 4)
    counts = draw_counts(4, 5, seed)
    replicates = froc.replicates(matches, counts, RATES)
    for drawn, row in zip(counts, replicates, strict=True):
        copies = [scan for scan in range(4) for _ in range(drawn[scan])]
        copied = [
            [(new, *entry[1:]) for new, old in enumerate(copies) for entry in table if entry[0] == old]
            for table in (nodules, marks)
        ]
        if not copied[0]:
            assert np.isnan(row).all()
            continue
        whole = froc.match(points(copied[0]), points([]), points(copied[1]), 4)
        np.testing.assert_allclose(row, froc.curve(whole).at(RATES), atol=1e-12)


def test_a_mark_on_the_very_edge_of_a_nodule_is_no_hit():
    nodule, inside, edge = (0, 0, 0, 0, 6.0), (0, 2.999, 0, 0, 0.5), (0, 3.0, 0, 0, 0.5)
    assert froc.match(points([nodule]), points([]), points([inside]), 1).found.all()
    assert not froc.match(points([nodule]), points([]), points([edge]), 1).found.any()


def test_a_negative_diameter_means_ten_millimetres():
    excluded = points([(0, 0, 0, 0, -1.0)])
    marks = points([(0, 4.9, 0, 0, 0.9), (0, 5.0, 0, 0, 0.8)])
    matches = froc.match(points([]), excluded, marks, 1)
    assert matches.ignored_excluded == 1
    assert matches.false_score.tolist() == [0.8]


def test_the_most_probable_mark_of_a_nodule_counts_and_the_others_are_no_false_positives():
    marks = points([(0, 0.5, 0, 0, 0.3), (0, 0, 0, 0, 0.7), (0, 0, 0.5, 0, 0.5)])
    matches = froc.match(points([(0, 0, 0, 0, 5.0)]), points([]), marks, 1)
    assert (matches.nodule_mark.tolist(), matches.nodule_score.tolist()) == ([1], [0.7])
    assert (matches.ignored_double, len(matches.false_score)) == (2, 0)


def test_of_more_than_a_hundred_marks_those_above_the_next_one_stay():
    scores = [0.9] * 60 + [0.5] * 60
    marks = points([(0, 50 * n, 0, 0, score) for n, score in enumerate(scores)])
    # the 101st is 0.5, so every 0.5 goes
    assert len(froc.capped(marks, 1)) == 60
    distinct = points([(0, 0, 0, 0, n / 200) for n in range(150)])
    assert marks_left(distinct) == 100


def marks_left(marks) -> int:
    return len(froc.capped(marks, 1))


def test_missed_nodules_and_scans_without_any_stay_in_the_denominators():
    nodules = points([(0, 0, 0, 0, 5.0), (1, 0, 0, 0, 5.0)])
    marks = points([(0, 0, 0, 0, 0.9), (0, 40, 0, 0, 0.5)])
    curve = froc.curve(froc.match(nodules, points([]), marks, 4))
    assert curve.sensitivity.max() == 0.5
    assert curve.rate.max() == 0.25


def test_without_marks_nothing_is_found():
    matches = froc.match(points([(0, 0, 0, 0, 5.0)]), points([]), points([]), 3)
    assert matches.nodule_mark.tolist() == [NO_MARK]
    assert froc.curve(matches).at(RATES).tolist() == [0.0] * 7


def test_one_true_positive_alone_is_full_sensitivity():
    """MONAI's compute_froc_curve_data gives 0 here (it drops the lowest threshold)."""
    matches = froc.match(points([(0, 0, 0, 0, 5.0)]), points([]), points([(0, 0, 0, 0, 0.5)]), 1)
    assert froc.curve(matches).at(RATES).tolist() == [1.0] * 7


def test_the_sensitivity_of_some_nodules_is_at_the_false_positives_of_all():
    nodules = points([(0, 0, 0, 0, 5.0), (0, 100, 0, 0, 20.0)])
    marks = points([(0, 0, 0, 0, 0.4), (0, 100, 0, 0, 0.9), (0, 200, 0, 0, 0.6)])
    matches = froc.match(nodules, points([]), marks, 1)
    small, large = (froc.curve(matches, nodules.value == size) for size in (5.0, 20.0))
    assert small.at([0.5, 1.0]).tolist() == [0.0, 1.0]
    assert large.at([0.5, 1.0]).tolist() == [1.0, 1.0]


@pytest.mark.real
def test_the_golden_case_is_the_official_result_to_six_decimals(shared_data):
    folder = shared_data / "lung" / "luna16" / "froc_golden"
    truth = read_truth(folder)
    scores = detection_scores(truth, read_marks(folder / "detections.csv", truth.scans)[0])
    result = scores.evaluate(draw_counts(len(scores.cases), 1000, seed=0))
    found = [result.metrics[f"sensitivity_at_{rate:g}"] for rate in RATES]
    assert [round(metric.value, 6) for metric in found] == list(OFFICIAL)
    assert round(result.metrics["cpm"].value, 6) == 0.841966
    assert result.counts == {
        "scans": 888,
        "nodules": 1186,
        "true_positives": 1136,
        "false_negatives": 50,
        "false_positives": 46078,
        "marks": 55677,
        "marks_after_cap": 52708,
        "ignored_on_excluded": 5308,
        "ignored_double": 186,
    }
    assert all(metric.interval[0] < metric.value < metric.interval[1] for metric in found)
