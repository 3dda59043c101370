"""The infer stage of a detector: options, calibration, second opinion."""

from __future__ import annotations

import numpy as np
import pytest
import toy
from scipy.special import expit, logit

from medimg.classical.classifier import ShapeClassifier
from medimg.classical.shape import FEATURES
from medimg.errors import PipelineError
from medimg.inference.detect_options import UNCHANGED, DetectOptions
from medimg.pipeline import SHAPE, load_pipeline
from medimg.stages.chain import run_chain
from medimg.stages.detect import calibrated, uncalibrated

AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])


def found(tmp_path, **infer):
    """Findings of the toy detector in a crop with one bright ball."""
    folder = toy.detector(tmp_path / f"p{len(list(tmp_path.iterdir()))}", **infer)
    count = len(FEATURES)
    flat = ShapeClassifier(np.zeros(count), np.ones(count), np.zeros(count), np.zeros((count, count)), 2.0)
    (folder / "bundle" / SHAPE).write_text(flat.text())
    toy.chest_crop(tmp_path / "ct.nii.gz", AFFINE, (-20.0, -20.0, 25.0))
    case = run_chain([(None, tmp_path / "ct.nii.gz")], tmp_path / "out", load_pipeline(str(folder)))
    return case.report.findings


def test_calibration_is_a_line_of_the_logit_and_can_be_undone():
    assert calibrated(0.3, (0.5, -1.0)) == pytest.approx(expit(0.5 * logit(0.3) - 1))
    assert uncalibrated(calibrated(0.3, (0.5, -1.0)), (0.5, -1.0)) == pytest.approx(0.3)
    assert calibrated(1.0, (2.0, 0.0)) < 1
    assert calibrated(0.3, UNCHANGED) == 0.3


def test_calibration_changes_probabilities_and_the_threshold_is_of_the_calibrated(tmp_path):
    plain = found(tmp_path)
    line = (0.5, -3.0)
    expected = [calibrated(finding.probability, line) for finding in plain]
    told = found(tmp_path, threshold=min(expected) * 0.999, calibration=list(line))
    assert [finding.probability for finding in told] == pytest.approx(expected, abs=1e-3)
    assert found(tmp_path, threshold=max(expected) * 1.05, calibration=list(line)) == []


def test_the_network_and_the_shape_share_the_logit(tmp_path):
    alone, both = found(tmp_path), found(tmp_path, shape_weight=0.25)
    expected = expit(0.75 * logit(alone[0].probability) + 0.25 * 2.0)
    assert both[0].probability == pytest.approx(expected, abs=1e-3)
    assert both[0].id == "nodule-1"


def test_a_shape_weight_without_a_classifier_is_one_line(tmp_path):
    folder = toy.detector(tmp_path / "p", shape_weight=0.5)
    toy.chest_crop(tmp_path / "ct.nii.gz", AFFINE, (-20.0, -20.0, 25.0))
    with pytest.raises(PipelineError, match="cannot read the shape classifier"):
        run_chain([(None, tmp_path / "ct.nii.gz")], tmp_path / "out", load_pipeline(str(folder)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "threshold must be given"),
        ({"threshold": 0.5, "method": "magic"}, "choose network or shape"),
        ({"threshold": 0.5, "roi": "liver"}, "choose whole or lungs"),
        ({"threshold": 0.5, "shape_weight": 2}, "between 0 and 1"),
        ({"threshold": 0.5, "calibration": [1.0]}, "slope, intercept"),
        ({"threshold": 0.5, "calibration": [-1.0, 0]}, "slope above 0"),
        ({"threshold": 0.5, "calibration": ["a", 0]}, "slope, intercept"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, message):
    with pytest.raises(PipelineError, match=message):
        DetectOptions.from_stage(options)
