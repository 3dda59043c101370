"""Detection from files: LUNA16's tables, reports and datalists, and what is said beside the FROC."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medimg.datalist.read import read_datalist
from medimg.errors import DataError
from medimg.evaluate.bootstrap import draw_counts
from medimg.evaluate.detection_files import detection_scores, read_marks, read_truth, truth_of_cases

NODULES = [("a", 0, 0, 0, 5), ("a", 50, 0, 0, 10), ("b", 0, 0, 0, 20)]


def scored(truth, predictions):
    known = read_truth(truth)
    return detection_scores(known, *read_marks(predictions, known.scans))


def evaluated(scores):
    return scores.evaluate(draw_counts(len(scores.cases), 50, seed=0))


def test_a_csv_is_held_against_the_tables(luna16, marks):
    rows = [("a", 0, 0, 1, 0.9), ("a", 90, 0, 0, 0.8), ("b", 1, 1, 1, 0.7)]
    result = evaluated(scored(luna16(NODULES), marks(rows)))
    assert result.metrics["sensitivity_at_0.25"].value == pytest.approx(1 / 3)
    assert result.metrics["sensitivity_at_0.5"].value == pytest.approx(2 / 3)
    assert (result.counts["true_positives"], result.counts["false_positives"]) == (2, 1)
    assert result.failed == ()


def test_marks_of_scans_the_truth_does_not_name_are_left_out_and_said(luna16, marks):
    rows = [("a", 0, 0, 0, 0.9), ("z", 0, 0, 0, 0.8), ("z", 9, 0, 0, 0.8), ("y", 0, 0, 0, 0.1)]
    scores = scored(luna16([*NODULES, ("x", 0, 0, 0, 4)]), marks(rows))
    assert (len(scores.marks), len(scores.nodules)) == (1, 3)
    nodules, others = scores.warnings
    assert nodules.startswith("1 annotations in annotations.csv belong to 1 scans")
    assert others == "3 marks belong to 2 scans that the truth does not name, and were left out (z, y)"


def test_marks_none_of_which_is_of_a_known_scan_are_an_error_and_no_marks_are_not(luna16, marks):
    with pytest.raises(DataError, match=r"none of 2 marks is of a scan that the truth names \(y; the truth has a"):
        scored(luna16(NODULES), marks([("y", 0, 0, 0, 0.9), ("z", 0, 0, 0, 0.8)]))
    assert evaluated(scored(luna16(NODULES), marks([]))).counts["true_positives"] == 0


def test_boxes_are_compared_only_where_every_mark_has_a_size(luna16, marks):
    rows = [("a", 0, 0, 0, 0.9, 5), ("a", 50, 0, 0, 0.8, 10), ("b", 0, 0, 0, 0.7, 20)]
    known = evaluated(scored(luna16(NODULES), marks(rows, diameter=True)))
    assert known.metrics["mAP_iou_10_50"].value == pytest.approx(1.0)
    assert known.metrics["mAR_iou_10_50"].value == pytest.approx(1.0)
    unknown = evaluated(scored(luna16(NODULES), marks([*rows[:2], ("b", 0, 0, 0, 0.7, "")], diameter=True)))
    assert "mAP_iou_10_50" not in unknown.metrics
    assert unknown.warnings == ["1 of 3 marks have no diameter_mm: no box precision and recall"]


def test_diameters_are_compared_where_a_nodule_was_found(luna16, marks):
    rows = [("a", 0, 0, 0, 0.9, 6), ("a", 50, 0, 0, 0.8, 12)]
    result = evaluated(scored(luna16(NODULES), marks(rows, diameter=True)))
    agreement = result.detail["diameter"]
    assert (agreement["nodules"], agreement["mean_difference_mm"]) == (2, 1.5)
    spread = 1.96 * np.std([1, 2], ddof=1)
    assert agreement["limits_of_agreement_mm"] == pytest.approx([1.5 - spread, 1.5 + spread], abs=1e-5)
    assert {picture.name for picture in result.pictures} == {"froc", "bland_altman_diameter"}


def test_sensitivity_by_size(luna16, marks):
    rows = [("a", 0, 0, 0, 0.9), ("b", 0, 0, 0, 0.8)]
    bands = evaluated(scored(luna16(NODULES), marks(rows))).detail["by_size"]
    assert [(band["from_mm"], band["to_mm"], band["nodules"], band["found"]) for band in bands] == [
        (4.0, 6.0, 1, 1),
        (8.0, 15.0, 1, 0),
        (15.0, 30.0, 1, 1),
    ]
    assert [band["cpm"] for band in bands] == [1.0, 0.0, 1.0]


def test_reports_are_read_by_series_or_by_the_name_of_their_folder(luna16, reports):
    folder = reports({"a": [(0, 0, 0, 0.9, 5)], "x": [(0, 0, 0, 0.8, 18)]}, series={"x": "b"})
    result = evaluated(scored(luna16(NODULES), folder))
    assert result.counts["true_positives"] == 2
    assert "mAP_iou_10_50" in result.metrics


def test_a_scan_without_a_report_has_failed_and_one_without_findings_has_not(luna16, reports):
    scores = scored(luna16(NODULES), reports({"a": []}))
    assert scores.scans == ("a",)
    assert len(scores.nodules) == 2
    (failure,) = scores.failed
    assert (failure.case, str(failure.reason)) == ("b", "missing_prediction")


def test_a_single_report_folder_is_one_scan(luna16, reports):
    folder = reports({"a": [(0, 0, 0, 0.9, 5)]})
    assert evaluated(scored(luna16(NODULES[:2], series=["a"]), folder / "a")).counts["true_positives"] == 1


def test_a_datalist_with_boxes_is_a_truth(tmp_path, reports):
    entries = [{"id": "a", "image": "a.nii", "box": [[0, 0, 0, 4, 4, 8]]}, {"id": "b", "image": "b.nii", "box": []}]
    (tmp_path / "d.json").write_text(json.dumps({"training": entries}))
    truth = truth_of_cases(read_datalist(tmp_path / "d.json"))
    assert truth.nodules.box.tolist() == [[-2, -2, -4, 2, 2, 4]]
    scores = detection_scores(truth, *read_marks(reports({"a": [(0, 0, 2.6, 0.9, 5)], "b": []}), truth.scans))
    assert evaluated(scores).counts["true_positives"] == 1


def test_only_some_scans_are_the_same_as_never_having_had_the_others(luna16, marks):
    rows = [("b", 1, 1, 1, 0.7, 9), ("a", 0, 0, 1, 0.9, 5), ("a", 90, 0, 0, 0.8, 5)]
    truth, predictions = luna16(NODULES), marks(rows, diameter=True)
    part = evaluated(scored(truth, predictions).only(["a"]))
    alone = evaluated(scored(luna16(NODULES[:2], series=["a"]), marks(rows[1:], diameter=True)))
    assert part.counts == alone.counts
    assert {n: m.value for n, m in part.metrics.items()} == {n: m.value for n, m in alone.metrics.items()}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seriesuid,coordX,coordY,coordZ\na,0,0,0\n", "not exactly one column probability"),
        ("seriesuid,coordX,coordY,coordZ,probability\na,0,0,0,nan\n", "line 2: probability is 'nan'"),
        ("seriesuid,coordX,coordY,coordZ,probability\na,0,zero,0,1\n", "line 2: coordY is 'zero'"),
        ("seriesuid,coordX,coordY,coordZ,probability\n,0,0,0,1\n", "line 2: seriesuid is empty"),
    ],
)
def test_marks_that_cannot_be_read_are_said(tmp_path, luna16, text, words):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        scored(luna16(NODULES), tmp_path / "bad.csv")


def test_a_truth_that_cannot_be_read_is_said(tmp_path, luna16, marks):
    predictions = marks([])
    with pytest.raises(DataError, match="seriesuid a stands there twice"):
        scored(luna16(NODULES, series=["a", "a"]), predictions)
    with pytest.raises(DataError, match="names no scan"):
        scored(luna16(NODULES, series=[]), predictions)
    (luna16(NODULES) / "annotations.csv").unlink()
    with pytest.raises(DataError, match=r"annotations\.csv is missing"):
        scored(tmp_path / "truth", predictions)
    with pytest.raises(DataError, match="neither a CSV nor a folder of reports"):
        scored(luna16(NODULES), tmp_path / "truth")


def test_a_report_that_is_damaged_or_twice_there_is_said(luna16, reports):
    folder = reports({"a": [], "x": []}, series={"x": "a"})
    with pytest.raises(DataError, match="two reports of scan a"):
        scored(luna16(NODULES), folder)
    (folder / "a" / "report.json").write_text("{}")
    with pytest.raises(DataError, match="is not a medimg report"):
        scored(luna16(NODULES), folder)
