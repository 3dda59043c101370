"""What the nodule detector is trained on and what it is validated with: from a folder of crops, or from a datalist."""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medimg.datalist.folds import assign_folds, parse_fold
from medimg.errors import TrainingError
from medimg.train.cases import divide, read_cases
from medimg.train.nodule_data import CROPS, SCANS, Crop, Scan, load_crops, load_scans
from medimg.train.nodule_scans import Prepared, prepare


@dataclass(frozen=True)
class NoduleSplit:
    """crops, scans: to train on. validation_crops: nodules to be found. validation_scans: whose findings elsewhere are
    false alarms; together they are as much lung as `validation_share` whole scans. cases: use -> names."""

    crops: list[Crop]
    scans: list[Scan]
    validation_crops: list[Crop]
    validation_scans: list[Scan]
    validation_share: float
    cases: dict[str, list[str]]


def split(
    data: Path, holdout: Collection[str], fold: str, seed: int, validation_scan: str, validation_part: float
) -> NoduleSplit:
    """A folder of crops if `data` is one, else the cases of a datalist or of a folder that `medimg datalist` knows."""
    if has_crops(data):
        return _split_folder(data, set(holdout), fold, seed, validation_scan, validation_part)
    return _split_cases(data, holdout, fold, seed)


def has_crops(data: Path) -> bool:
    """Whether this is a folder laid out as `nodule_data` says."""
    return (data / CROPS).is_dir()


def split_patients(crops: Sequence[Crop], background: Set[str], fold: str, seed: int) -> tuple[list[Crop], list[Crop]]:
    """Training and validation crops, by patient; patients whose whole scan is `background` stay in training.

    Raises UsageError for a fold that is not "k/n" or of more folds than patients.
    """
    free = [crop.case for crop in crops if crop.case not in background]
    chosen = patients_of_fold(free, fold, seed)
    return [c for c in crops if c.case not in chosen], [c for c in crops if c.case in chosen]


def patients_of_fold(patients: Sequence[str], fold: str, seed: int) -> set[str]:
    """The patients of fold "k/n" of the lung pipelines, whose folds are drawn in blocks."""
    number, count = parse_fold(fold)
    folds = assign_folds(patients, patients, count, seed, blocks=True)
    return {patient for patient, drawn in zip(patients, folds, strict=True) if drawn == number}


def background(data: Path) -> set[str]:
    """The patients of a folder of crops whose whole lungs are there; they are in no fold."""
    return {path.name.removesuffix("_ct.nii.gz") for path in (data / SCANS).glob("*_ct.nii.gz")}


def _split_folder(
    data: Path, holdout: Set[str], fold: str, seed: int, validation_scan: str, validation_part: float
) -> NoduleSplit:
    crops = [crop for crop in load_crops(data) if crop.case not in holdout]
    scans = [scan for scan in load_scans(data, crops) if scan.name not in holdout]
    kept, scored = split_patients(crops, {scan.name for scan in scans}, fold, seed)
    train_scans, slab = _split_scans(scans, validation_scan, validation_part)
    cases = {
        "training": [crop.case for crop in kept],
        "validation": [crop.case for crop in scored],
        "background": [scan.name for scan in train_scans],
    }
    return NoduleSplit(kept, train_scans, scored, [slab], _lung_share(slab, scans), cases)


def _split_cases(data: Path, holdout: Collection[str], fold: str, seed: int) -> NoduleSplit:
    kept, scored = divide(read_cases(data, holdout), fold, seed)
    training, validation = [prepare(case) for case in kept], [prepare(case) for case in scored]
    for told, prepared in (("train on", training), ("validate with", validation)):
        if not _crops(prepared):
            raise TrainingError(f"{data}: fold {fold} leaves no nodule to {told}; use another fold or more cases")
        if not _scans(prepared):
            raise TrainingError(f"{data}: fold {fold} leaves no whole lung to {told}; add whole chest CTs")
    cases = {"training": [case.id for case in kept], "validation": [case.id for case in scored]}
    scans = _scans(validation)
    return NoduleSplit(_crops(training), _scans(training), _crops(validation), scans, float(len(scans)), cases)


def _crops(prepared: Sequence[Prepared]) -> list[Crop]:
    return [crop for case in prepared for crop in case.crops]


def _scans(prepared: Sequence[Prepared]) -> list[Scan]:
    return [case.scan for case in prepared if case.scan is not None]


def _split_scans(scans: list[Scan], name: str, part: float) -> tuple[list[Scan], Scan]:
    """Training scans, and the upper part (RAS: the last slices) of scan `name`."""
    by_name = {scan.name: scan for scan in scans}
    if name not in by_name:
        raise TrainingError(f"validation_scan {name!r} is not there; choose one of {', '.join(by_name)}")
    scan = by_name[name]
    slices = np.flatnonzero(scan.lung.any(axis=(0, 1)))
    border = int(slices[-1] + 1 - part * len(slices))
    kept = [scan.slab(0, border) if other.name == name else other for other in scans]
    return kept, scan.slab(border, scan.hu.shape[2])


def _lung_share(slab: Scan, scans: list[Scan]) -> float:
    """The slab's lung volume as a fraction of its whole scan's."""
    whole = next(scan for scan in scans if scan.name == slab.name)
    return float(slab.lung.sum() / whole.lung.sum())
