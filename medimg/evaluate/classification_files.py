"""Classification read from CSV files with id, label and probability, or made of a detection: any nodule or none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medimg.datalist.csv_file import Columns, check_unique, read_columns
from medimg.datalist.read import DatalistCase
from medimg.errors import DataError, Reason
from medimg.evaluate.classification import THRESHOLD, ClassificationScores
from medimg.evaluate.detection_files import DetectionTruth, Marked
from medimg.evaluate.evaluation import Failure

ID, LABEL, PROBABILITY, GROUP = "id", "label", "probability", "patient"
"""Columns; `patient`, in the truth, is optional: cases of one patient are resampled together."""


def read_labels(path: Path) -> dict[str, tuple[bool, str]]:
    """id -> (positive, patient) of a truth CSV. Labels are 0 and 1. Raises DataError."""
    table = read_columns(path, (ID, LABEL), (GROUP,))
    ids = table.text(ID)
    check_unique(path, ID, ids)
    label = table.numbers(LABEL)
    if (wrong := ~np.isin(label, (0, 1))).any():
        row = int(np.argmax(wrong))
        raise table.wrong(row, f"label {label[row]:g} is outside the set 0, 1")
    patients = table.text(GROUP) if GROUP in table else ids
    if not ids:
        raise DataError(f"{path} holds no case")
    return {name: (bool(value), patient) for name, value, patient in zip(ids, label, patients, strict=True)}


def labels_of_cases(cases: Sequence[DatalistCase]) -> dict[str, tuple[bool, str]]:
    """id -> (positive, patient) of a datalist: its label 0 or 1, or whether it has a box. Raises DataError."""
    found = {}
    for case in cases:
        if case.boxes is None and case.label not in (0, 1):
            raise DataError(f"case {case.id} of the datalist has neither label 0 or 1 nor box")
        positive = bool(case.label) if case.boxes is None else len(case.boxes) > 0
        found[case.id] = (positive, case.patient)
    return found


def labels_of_scans(truth: DetectionTruth) -> dict[str, tuple[bool, str]]:
    """id -> (any nodule, patient) of every scan; each is a patient of its own."""
    positive = set(truth.nodules.scan)
    return {scan: (scan in positive, scan) for scan in truth.scans}


def probabilities_of_marks(marks: Marked, scans: Sequence[str]) -> dict[str, float]:
    """scan -> the highest probability of its marks, 0 without any: how likely it holds a nodule. Raises DataError."""
    if ((marks.value < 0) | (marks.value > 1)).any():
        raise DataError("a mark's probability is not between 0 and 1; classification needs probabilities")
    best = dict.fromkeys(scans, 0.0)
    for scan, value in zip(marks.scan, marks.value.tolist(), strict=True):
        best[scan] = max(best.get(scan, 0.0), value)
    return best


def read_probabilities(path: Path) -> dict[str, float]:
    """id -> probability in 0..1 of a predictions CSV. Raises DataError."""
    table = read_columns(path, (ID, PROBABILITY))
    ids = table.text(ID)
    check_unique(path, ID, ids)
    return dict(zip(ids, _probabilities(table).tolist(), strict=True))


def classification_scores(
    labels: dict[str, tuple[bool, str]],
    probabilities: dict[str, float],
    threshold: float = THRESHOLD,
    failed: tuple[Failure, ...] = (),
) -> ClassificationScores:
    """Truth and predictions together: a case without a prediction has failed, a prediction without truth is said."""
    lost = {failure.case for failure in failed}
    missing = [name for name in labels if name not in probabilities and name not in lost]
    ids = [name for name in labels if name in probabilities and name not in lost]
    if not ids:
        raise DataError("no case is left to score: none of the truth has a prediction")
    strange = [name for name in probabilities if name not in labels]
    warnings = (f"{len(strange)} predictions have no truth and were left out ({strange[0]}, ...)",) if strange else ()
    return ClassificationScores(
        tuple(ids),
        np.array([labels[name][0] for name in ids], bool),
        np.array([probabilities[name] for name in ids], np.float64),
        tuple(labels[name][1] for name in ids),
        threshold,
        (*failed, *(Failure(name, Reason.MISSING_PREDICTION, f"case {name} has no prediction") for name in missing)),
        warnings,
    )


def _probabilities(table: Columns) -> NDArray[np.float64]:
    values = table.numbers(PROBABILITY)
    if (outside := (values < 0) | (values > 1)).any():
        row = int(np.argmax(outside))
        raise table.wrong(row, f"probability {values[row]:g} is not between 0 and 1")
    return values
