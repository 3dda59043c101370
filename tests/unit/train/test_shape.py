"""Learning the classical detector: from a folder of cases to a pipeline that finds."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medimg.classical.classifier import read_classifier
from medimg.classical.shape import FEATURES
from medimg.errors import TrainingError
from medimg.train.nodule_split import patients_of_fold
from medimg.train.shape import NODULE, OTHER, UNKNOWN, Described, learn, read_shape_config

PATIENTS = [f"P{number}" for number in range(11)]


def described(label, shift, count=60):
    rng = np.random.default_rng(label + 5)
    features = rng.normal(shift, 1, (count, len(FEATURES)))
    return Described("P", rng.normal(0, 30, (count, 3)), features, np.full(count, label), np.ones(count))


def test_what_is_learned_tells_nodules_from_the_rest_and_unknown_ones_do_not_count():
    classifier = learn([described(NODULE, 1.0), described(OTHER, 0.0, 300), described(UNKNOWN, 9.0)], 0.1)
    right, wrong = (classifier.logit(described(label, shift).features) for label, shift in ((NODULE, 1.0), (OTHER, 0)))
    assert np.median(right) > np.median(wrong) + 3
    assert abs(classifier.mean).max() < 2


def test_the_same_cases_give_the_same_coefficients():
    cases = [described(NODULE, 1.0), described(OTHER, 0.0, 300)]
    assert learn(cases, 0.1).text() == learn(cases, 0.1).text()


def test_a_number_that_is_the_same_for_all_blobs_does_no_harm_once_it_is_written(tmp_path):
    cases = [described(NODULE, 1.0), described(OTHER, 0.0, 300)]
    for case in cases:
        case.features[:, 3] = 0.1
    (tmp_path / "shape.json").write_text(learn(cases, 0.1).text())
    read = read_classifier(tmp_path / "shape.json")
    assert np.isfinite(read.logit(cases[0].features)).all()


def test_cases_without_a_nodule_are_refused():
    with pytest.raises(TrainingError, match="no blob that is a nodule"):
        learn([described(OTHER, 0.0)], 0.1)


def test_every_patient_is_in_exactly_one_fold():
    folds = [patients_of_fold(PATIENTS, f"{number}/4", 3) for number in range(4)]
    assert sorted(patient for fold in folds for patient in fold) == sorted(PATIENTS)
    assert folds[0] == patients_of_fold(PATIENTS, "0/4", 3)


def test_an_option_that_is_not_known_is_refused(tmp_path):
    (tmp_path / "train.yaml").write_text(json.dumps({"seed": 1, "wish": 2}))
    with pytest.raises(TrainingError, match="of blobs, fold, holdout, penalty, seed only"):
        read_shape_config(tmp_path / "train.yaml")
