"""The classical detector's classifier: learned from the shapes of blobs in nodule crops and in whole lungs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

import medimg
from medimg import files, geometry
from medimg.classical.blobs import MAX_BLOBS, blobs
from medimg.classical.classifier import LIMIT, ShapeClassifier
from medimg.classical.region import searched
from medimg.classical.shape import describe
from medimg.datalist.read import DatalistCase
from medimg.errors import TrainingError
from medimg.inference.roi import Chest
from medimg.pipeline import Pipeline
from medimg.study import Volume
from medimg.train.cases import data_facts, divide, read_cases, read_scan
from medimg.train.folder import write_folder
from medimg.train.nodule_data import CROPS, SCANS, load_crops, load_scans
from medimg.train.nodule_scans import marks
from medimg.train.nodule_split import background, has_crops, split_patients
from medimg.volumes import read_volume

NODULE, OTHER, UNKNOWN = 1, 0, -1

CROP_WEIGHT = 0.3
"""Of a blob beside a crop's nodule: readers marked one nodule a crop, and the others in it may be nodules too."""

POSITIVE_SHARE = 0.05
"""Weight of all nodules together over that of all blobs; calibration undoes it."""

MIN_DEVIATION = 1e-5
"""Of a number that is the same for all blobs: the least that is not 0 in the classifier's file."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class ShapeConfig:
    """seed: draws the folds. holdout: patients never looked at. fold: "k/n", whose patients are left out as well; ""
    leaves out none. penalty: scikit-learn's C of the logistic regression, smaller is smoother. blobs: the strongest of
    each case that are learned from, as many as the detector alone looks at; 0 is all, for a classifier that is shown
    what a network points at."""

    seed: int
    holdout: tuple[str, ...] = ()
    fold: str = ""
    penalty: float = 0.1
    blobs: int = MAX_BLOBS


@dataclass(frozen=True, eq=False)
class Described:
    """The blobs of one case: center_ras_mm (N, 3), features (N, F), label (N,) as named above, weight (N,)."""

    case: str
    center_ras_mm: Values
    features: Values
    label: NDArray[np.int64]
    weight: Values


def train_shape(pipeline: Pipeline, config_path: Path | None, data: Path, output: Path, fold: str | None) -> Path:
    """Learn from `data` and write output/pipeline.yaml and output/bundle with the new classifier; return the bundle."""
    config = read_shape_config(config_path or pipeline.folder / "train.yaml", fold)
    out = _left_out(data, config)
    used = described_cases(data, {*config.holdout, *out}, config.blobs)
    classifier = learn(used, config.penalty)
    record = {
        "seed": config.seed,
        "fold": config.fold,
        "penalty": config.penalty,
        "blobs": config.blobs,
        "data": data_facts(data),
        "cases": {"training": sorted({case.case for case in used}), "validation": sorted(out)},
        "nodule_blobs": int(sum(np.count_nonzero(case.label == NODULE) for case in used)),
        "other_blobs": int(sum(np.count_nonzero(case.label == OTHER) for case in used)),
        "medimg": medimg.__version__,
    }
    return write_folder(pipeline, output, record, lambda path: files.write_text(path, classifier.text()))


def learn(cases: Sequence[Described], penalty: float) -> ShapeClassifier:
    """Logistic regression on standardised features and their products. Raises TrainingError without nodules."""
    from sklearn.linear_model import LogisticRegression

    features, label, weight = (np.concatenate([getattr(case, name) for case in cases]) for name in _COLUMNS)
    known = label != UNKNOWN
    features, positive, weight = features[known], label[known] == NODULE, weight[known]
    if not positive.any() or positive.all():
        raise TrainingError("the cases hold no blob that is a nodule, or none that is not; nothing can be learned")
    weight = np.where(positive, weight * POSITIVE_SHARE * weight.size / weight[positive].sum(), weight)
    mean, deviation = features.mean(axis=0), np.maximum(features.std(axis=0), MIN_DEVIATION)
    z = np.clip((features - mean) / deviation, -LIMIT, LIMIT)
    rows, columns = np.triu_indices(z.shape[1])
    terms = np.concatenate([z, z[:, rows] * z[:, columns]], axis=1)
    centre, scale = terms.mean(axis=0), np.maximum(terms.std(axis=0), 1e-6)
    model = LogisticRegression(C=penalty, max_iter=2000)
    model.fit((terms - centre) / scale, positive, sample_weight=weight)
    coefficients = model.coef_[0] / scale
    products = np.zeros((z.shape[1], z.shape[1]))
    products[rows, columns] = coefficients[z.shape[1] :]
    intercept = float(model.intercept_[0] - coefficients @ centre)
    return ShapeClassifier(mean, deviation, coefficients[: z.shape[1]], products, intercept)


def described_cases(data: Path, holdout: Collection[str] = (), strongest: int = MAX_BLOBS) -> list[Described]:
    """The blobs of every case of `data`, a folder of crops or else a datalist, but for the patients in `holdout`."""
    if not has_crops(data):
        return [_described(case, strongest) for case in read_cases(data, holdout)]
    crops = [crop for crop in load_crops(data) if crop.case not in holdout]
    cases = []
    for crop in crops:
        volume = read_volume(data / CROPS / f"{crop.case}_ct.nii.gz")
        centre = geometry.to_world(volume.canonical().affine_ras, crop.centre)
        cases.append(describe_case(crop.case, volume, [(centre, crop.diameter_mm)], [], CROP_WEIGHT, strongest))
    for scan in load_scans(data, crops):
        if scan.name in holdout:
            continue
        nodules, unknown = (
            [(geometry.to_world(scan.affine_ras, row[:3]), float(row[3])) for row in table]
            for table in (scan.nodules, scan.ignore)
        )
        volume = read_volume(data / SCANS / f"{scan.name}_ct.nii.gz")
        cases.append(describe_case(scan.name, volume, nodules, unknown, 1.0, strongest))
    return cases


def _described(case: DatalistCase, strongest: int) -> Described:
    volume = read_scan(case)
    nodules, unknown = ([(geometry.lps_to_ras(point), size) for point, size in found] for found in marks(case))
    return describe_case(case.id, volume, nodules, unknown, None, strongest)


def describe_case(
    name: str,
    volume: Volume,
    nodules: Sequence[tuple[Values, float]],
    unknown: Sequence[tuple[Values, float]],
    weight: float | None,
    strongest: int = MAX_BLOBS,
) -> Described:
    """nodules: (centre RAS mm, diameter); unknown: (centre, radius). Blobs of one nodule share a weight of 1.

    weight: of the other blobs; None gives those of a crop, in which no lungs are found, CROP_WEIGHT and others 1.
    """
    region = searched(chest := Chest(volume))
    if weight is None:
        weight = CROP_WEIGHT if chest.lungs is None else 1.0
    found = blobs(region.hu, region.lung)
    found = found.select(np.arange(min(len(found), strongest or len(found))))
    centres = geometry.to_world(region.affine_ras, found.voxels)
    label = np.full(len(found), OTHER)
    weights = np.full(len(found), float(weight))
    for centre, radius in unknown:
        label[np.linalg.norm(centres - centre, axis=1) < radius] = UNKNOWN
    for centre, diameter in nodules:
        inside = np.linalg.norm(centres - centre, axis=1) < diameter / 2
        label[inside] = NODULE
        weights[inside] = 1.0 / max(1, int(np.count_nonzero(inside)))
    return Described(name, np.asarray(centres), describe(region, found), label, weights)


_COLUMNS = ("features", "label", "weight")


def _left_out(data: Path, config: ShapeConfig) -> set[str]:
    """The cases of the fold, which nothing is learned from."""
    if not config.fold:
        return set()
    if not has_crops(data):
        _, scored = divide(read_cases(data, config.holdout), config.fold, config.seed)
        return {case.id for case in scored}
    crops = [crop for crop in load_crops(data) if crop.case not in config.holdout]
    _, unseen = split_patients(crops, background(data), config.fold, config.seed)
    return {crop.case for crop in unseen}


def read_shape_config(path: Path, fold: str | None = None) -> ShapeConfig:
    """A classical pipeline's train.yaml; `fold` in place of its own. Raises TrainingError."""
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TrainingError(f"cannot read the training configuration {path}: {error}") from error
    known = {entry.name for entry in fields(ShapeConfig)}
    if not isinstance(document, dict) or "seed" not in document or not set(document) <= known:
        raise TrainingError(f"{path} must be a mapping with seed, and of {', '.join(sorted(known))} only")
    options = {**document, "holdout": tuple(document.get("holdout", ()))}
    return ShapeConfig(**(options if fold is None else {**options, "fold": fold}))
