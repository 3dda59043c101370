"""Segmentation read from files: label maps of truth and prediction paired by case, and scored one by one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from medimg import geometry
from medimg.datalist.read import DatalistCase
from medimg.errors import DataError, InputError, Reason
from medimg.evaluate.evaluation import Failure
from medimg.evaluate.regions import Regions
from medimg.evaluate.segmentation import SegmentationScores
from medimg.evaluate.segmentation_case import RegionFigures, score_case
from medimg.progress import Progress, silent
from medimg.study import Volume
from medimg.volumes import is_volume_file, read_label_map, stem

SEGMENTATION_WORDS = r"(?:seg|dseg|segmentation|label|labels|mask|pred|prediction)"
OWN_NAME = re.compile(SEGMENTATION_WORDS, re.IGNORECASE)
"""A file of this name alone is its folder's segmentation."""

SUFFIX = re.compile(r"[_.-]" + SEGMENTATION_WORDS + "$", re.IGNORECASE)
"""What BraTS, BIDS and others append to a case's name."""

GRID_TOLERANCE_MM = 0.01
"""Corners of the two grids lie no further apart; headers differ by rounding."""


def find_label_maps(path: Path) -> dict[str, Path]:
    """Case -> label map: a file itself, or those of a folder and of its case folders.

    CASE.nii.gz, CASE_seg.nii.gz and CASE/segmentation.nii.gz are all case CASE. Where some files of a folder are
    named as segmentations, the others (the scans) are left. Raises DataError when there are none, or two of a case.
    """
    if path.is_file():
        return {case_of(path): path}
    found: dict[str, Path] = {}
    for folder in [path, *sorted(part for part in path.glob("*") if part.is_dir())]:
        for file in _of_folder(folder):
            name = case_of(file)
            if name in found:
                raise DataError(f"{found[name]} and {file} are both case {name}; leave one of them")
            found[name] = file
    if not found:
        raise DataError(f"{path} holds no label maps; name a folder of CASE.nii.gz or CASE/segmentation.nii.gz")
    return found


def label_maps_of_cases(cases: Sequence[DatalistCase]) -> dict[str, Path]:
    """Case -> label map of a datalist. Raises DataError for a case without."""
    if without := [case.id for case in cases if case.label_map is None]:
        raise DataError(f"case {without[0]} of the datalist has no label map as its label")
    return {case.id: case.label_map for case in cases if case.label_map is not None}


def case_of(file: Path) -> str:
    """The case a label map is of, by its name or its folder's."""
    name = stem(file)
    return file.parent.resolve().name if OWN_NAME.fullmatch(name) else SUFFIX.sub("", name)


def segmentation_scores(
    truth: dict[str, Path],
    predictions: dict[str, Path],
    regions: Regions,
    tolerance_mm: float,
    failed: tuple[Failure, ...] = (),
    progress: Progress = silent,
    *,
    one_case: bool = False,
) -> SegmentationScores:
    """Score every case of the truth that did not fail; what is wrong with a case is its failure, not the end.

    one_case: they are two files, named one by one, and so one case whatever their names. Raises DataError when
    nothing could be scored.
    """
    if one_case:
        predictions = dict(zip(truth, predictions.values(), strict=True))
    lost = {failure.case for failure in failed}
    by_case: dict[str, dict[str, RegionFigures]] = {}
    failures = list(failed)
    present: set[int] = set()
    for done, (case, path) in enumerate(truth.items(), start=1):
        if case not in lost:
            scored = _scored(case, path, predictions.get(case), regions, tolerance_mm)
            if isinstance(scored, Failure):
                failures.append(scored)
            else:
                by_case[case], labels = scored
                present |= labels
        progress("score", done, len(truth))
    if not by_case:
        raise DataError(f"no case could be scored; the first of {len(failures)}: {failures[0].message}")
    warnings = list(_warnings(truth, predictions, regions, present))
    return SegmentationScores(by_case, regions, tolerance_mm, tuple(failures), tuple(warnings))


def _scored(
    case: str, truth_path: Path, prediction_path: Path | None, regions: Regions, tolerance_mm: float
) -> tuple[dict[str, RegionFigures], set[int]] | Failure:
    """The figures of a case and the labels of its truth, or why there are none."""
    if prediction_path is None:
        return Failure(case, Reason.MISSING_PREDICTION, f"case {case} has no prediction")
    try:
        truth, prediction = read_label_map(truth_path), read_label_map(prediction_path)
    except InputError as error:
        return Failure(case, error.reason, str(error))
    shapes = ((volume.shape, volume.affine_ras) for volume in (truth, prediction))
    if not geometry.same_grid(*next(shapes), *next(shapes), GRID_TOLERANCE_MM):
        message = f"{prediction_path} does not lie on the grid of {truth_path}; resample it (nearest neighbour)"
        return Failure(case, Reason.GRID_MISMATCH, message)
    for volume in (truth, prediction):
        if problem := regions.problem(_labels(volume)):
            return Failure(
                case, Reason.LABELS_OUTSIDE_SET, f"{volume.source.path} {problem}; say what they are with --regions"
            )
    figures = score_case(truth.array, prediction.array, truth.affine_ras, regions, tolerance_mm)
    return figures, set(_labels(truth))


def _labels(volume: Volume) -> list[int]:
    found: list[int] = np.flatnonzero(np.bincount(volume.array.ravel(order="K"), minlength=256)).tolist()
    return found


def _of_folder(folder: Path) -> list[Path]:
    maps = [file for file in sorted(folder.glob("*")) if file.is_file() and is_volume_file(file)]
    named = [file for file in maps if OWN_NAME.fullmatch(stem(file)) or SUFFIX.search(stem(file))]
    return named or maps


def _warnings(
    truth: dict[str, Path], predictions: dict[str, Path], regions: Regions, present: set[int]
) -> Iterator[str]:
    if strange := sorted(set(predictions) - set(truth)):
        yield f"{len(strange)} predictions have no truth and were left out ({strange[0]}, ...)"
    if regions.exclusive and present <= {0, 1}:
        yield "no truth holds a label but 1, yet the regions are those of BraTS; name yours with --regions NAME=1"
