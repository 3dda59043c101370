"""Segmentation from files: how cases are paired, what becomes of those that cannot be scored, how all are summed up."""

from __future__ import annotations

import math

import numpy as np
import pytest

from medimg import volumes
from medimg.datalist.read import DatalistCase
from medimg.errors import DataError
from medimg.evaluate.bootstrap import draw_counts
from medimg.evaluate.regions import parse_regions
from medimg.evaluate.run import Rules, Truth, score
from medimg.evaluate.segmentation_files import case_of, find_label_maps, segmentation_scores

BRATS = parse_regions("brats")


def scored(truth, predictions, regions=BRATS, tolerance=1.0):
    return segmentation_scores(find_label_maps(truth), find_label_maps(predictions), regions, tolerance)


@pytest.mark.parametrize(
    "name",
    ["C1.nii.gz", "C1_seg.nii.gz", "C1-seg.nii.gz", "C1/segmentation.nii.gz", "C1/C1_seg.nii", "C1/mask.mha"],
)
def test_a_case_is_told_by_its_file_or_its_folder(tmp_path, name):
    assert case_of(tmp_path / name) == "C1"


def test_scans_beside_a_segmentation_are_left(label_maps, block):
    names = ["C1/C1_t1c.nii.gz", "C1/C1_seg.nii.gz", "C2/C2_seg.nii.gz"]
    folder = label_maps("truth", dict.fromkeys(names, block()))
    assert {case: path.name for case, path in find_label_maps(folder).items()} == {
        "C1": "C1_seg.nii.gz",
        "C2": "C2_seg.nii.gz",
    }


def test_two_maps_of_one_case_are_refused(label_maps, block):
    with pytest.raises(DataError, match="are both case C1"):
        find_label_maps(label_maps("truth", {"C1_seg.nii.gz": block(), "C1/seg.nii.gz": block()}))


def test_a_known_overlap(label_maps, block):
    truth, prediction = block(2), block(2)
    prediction[2:5] = 0  # half of it
    prediction[2:8, 2:8, 2:4] = 1
    scores = scored(label_maps("t", {"A.nii.gz": truth}), label_maps("p", {"A.nii.gz": prediction}))
    whole = scores.by_case["A"]["WT"]
    inside = 6 * 6 * 6 / 2 + 3 * 6 * 2
    assert whole["sensitivity"] == pytest.approx(inside / 216)
    assert whole["precision"] == 1.0
    assert whole["dice"] == pytest.approx(2 * inside / (216 + inside))
    # voxels of 2 mm3
    assert whole["truth_ml"] == pytest.approx(0.432)
    assert whole["volume_error_ml"] == pytest.approx((inside - 216) * 0.002)
    assert whole["volume_error_percent"] == pytest.approx(100 * (inside - 216) / 216)
    core = scores.by_case["A"]["TC"]
    assert (core["dice"], core["hd95_mm"], core["truth_ml"]) == (0.0, 374.0, 0.0)
    assert np.isnan(core["volume_error_percent"])
    assert scores.by_case["A"]["ET"]["dice"] == 1.0


def test_enhancing_tumour_is_3_in_one_map_and_4_in_the_other(label_maps, block):
    scores = scored(label_maps("t", {"A.nii.gz": block(4)}), label_maps("p", {"A.nii.gz": block(3)}))
    assert {name: figures["dice"] for name, figures in scores.by_case["A"].items()} == {"WT": 1, "TC": 1, "ET": 1}


def test_what_is_wrong_with_a_case_is_its_failure_and_the_others_are_scored(tmp_path, label_maps, block):
    names = ["good", "missing", "grid", "shape", "values", "both", "broken", "fraction"]
    truth = label_maps("t", {f"{name}.nii.gz": block() for name in names})
    predictions = label_maps("p", {f"{name}.nii.gz": block() for name in ("good", "more")})
    label_maps("p", {"grid.nii.gz": block()}, np.diag([1.0, 1.0, 2.1, 1.0]))
    label_maps("p", {"shape.nii.gz": block()[:-1], "values.nii.gz": block(7), "both.nii.gz": block(3) + block(1, 3, 5)})
    (predictions / "broken.nii.gz").write_bytes(b"no nifti")
    volumes.write_nifti(predictions / "fraction.nii.gz", block().astype(np.float32) / 2, np.diag([1.0, 1, 2, 1]))
    scores = scored(truth, predictions)
    assert scores.cases == ("good",)
    assert {failure.case: str(failure.reason) for failure in scores.failed} == {
        "missing": "missing_prediction",
        "grid": "grid_mismatch",
        "shape": "grid_mismatch",
        "values": "labels_outside_set",
        "both": "labels_outside_set",
        "broken": "not_a_volume_file",
        "fraction": "not_a_label_map",
    }
    assert all(failure.case in failure.message for failure in scores.failed)
    assert scores.warnings[0].startswith("1 predictions have no truth")


def test_nothing_that_can_be_scored_is_an_error(label_maps, block):
    truth = label_maps("t", {"A.nii.gz": block(), "B.nii.gz": block()})
    with pytest.raises(DataError, match="no case could be scored; the first of 2: case A has no prediction"):
        scored(truth, label_maps("p", {"C.nii.gz": block(), "D.nii.gz": block()}))


def test_two_single_files_are_one_case_whatever_their_names(label_maps, block):
    truth, prediction = label_maps("t", {"A.nii.gz": block()}), label_maps("p", {"B_pred.nii.gz": block()})
    job = Truth(truth / "A.nii.gz"), prediction / "B_pred.nii.gz"
    assert score("segmentation", *job, Rules()).cases == ("A",)


def test_one_case_in_each_of_two_folders_is_told_by_its_name(tmp_path, label_maps, block):
    truth, prediction = label_maps("t", {"A.nii.gz": block()}), label_maps("p", {"B_pred.nii.gz": block()})
    listed = Truth(tmp_path / "d.json", (DatalistCase("A", (), (), label_map=truth / "A.nii.gz"),))
    for known, predicted in [
        (Truth(truth), prediction),
        (Truth(truth), prediction / "B_pred.nii.gz"),
        (Truth(truth / "A.nii.gz"), prediction),
        (listed, prediction / "B_pred.nii.gz"),
    ]:
        with pytest.raises(DataError, match="case A has no prediction"):
            score("segmentation", known, predicted, Rules())


def test_shares_of_nothing_are_not_defined_and_left_out_of_the_means(label_maps, block):
    empty = np.zeros_like(block())
    truth = label_maps("t", {"missed.nii.gz": block(), "false.nii.gz": empty, "right.nii.gz": block()})
    made = label_maps("p", {"missed.nii.gz": empty, "false.nii.gz": block(), "right.nii.gz": block()})
    scores = scored(truth, made, parse_regions("nodule=1"))
    figures = {case: regions["nodule"] for case, regions in scores.by_case.items()}
    assert math.isnan(figures["missed"]["precision"])
    assert figures["missed"]["sensitivity"] == figures["missed"]["dice"] == 0.0
    assert math.isnan(figures["false"]["sensitivity"])
    assert figures["false"]["precision"] == 0.0
    metrics = scores.evaluate(draw_counts(3, 50, seed=0)).metrics
    assert metrics["precision_nodule"].value == metrics["sensitivity_nodule"].value == 0.5
    assert metrics["dice_nodule"].value == pytest.approx(1 / 3)


def test_empty_maps_are_scored(label_maps, block):
    empty = np.zeros_like(block())
    truth = label_maps("t", {"none.nii.gz": empty, "false.nii.gz": empty})
    scores = scored(truth, label_maps("p", {"none.nii.gz": empty, "false.nii.gz": block()}))
    assert scores.by_case["none"]["WT"]["dice"] == 1.0
    assert scores.by_case["false"]["WT"]["lesionwise_hd95_mm"] == 374.0


def test_regions_of_brats_on_a_truth_of_one_label_are_warned_of(label_maps, block):
    truth, predictions = label_maps("t", {"A.nii.gz": block()}), label_maps("p", {"A.nii.gz": block()})
    assert "name yours with --regions" in scored(truth, predictions).warnings[0]
    assert scored(truth, predictions, parse_regions("nodule=1")).warnings == ()


def test_means_are_over_cases_with_an_interval(label_maps, block):
    cases = {f"{n}.nii.gz": block(2, 2, 4 + n) for n in range(5)}
    scores = scored(label_maps("t", dict.fromkeys(cases, block(2))), label_maps("p", cases))
    result = scores.evaluate(draw_counts(5, 500, seed=0))
    values = [rows["WT"]["dice"] for rows in scores.by_case.values()]
    metric = result.metrics["dice_WT"]
    assert metric.value == pytest.approx(np.mean(values))
    assert metric.interval[0] < metric.value < metric.interval[1]
    assert result.detail["regions"]["WT"]["dice"]["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-6)
    # what is not defined is left out of the mean, and of the interval
    assert result.metrics["volume_error_percent_ET"].value is None
    assert result.metrics["volume_error_percent_ET"].interval is None
    assert len(next(table for table in result.tables if table.name == "cases").rows) == 15
