"""The cases a task is given: those of a datalist, or of a folder that `medimg datalist` knows, and their division."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medimg import geometry
from medimg.datalist.build import build_datalist
from medimg.datalist.folds import assign_folds, own_folds, parse_fold
from medimg.datalist.read import DatalistCase, cases_of, read_datalist
from medimg.dicom.discover import discover
from medimg.dicom.series import read_series
from medimg.errors import InputError, Reason, TrainingError, UsageError
from medimg.evaluate.regions import Regions
from medimg.inference.prepare import GRID_TOLERANCE_MM
from medimg.study import Volume
from medimg.volumes import check_voxels, read_label_map, read_volume

TRAINING, VALIDATION = "training", "validation"
"""The sections of a datalist that are read; those for testing are not."""

DATALIST_SUFFIX = ".json"


def read_cases(data: Path, holdout: Collection[str] = (), layout: str | None = None) -> list[DatalistCase]:
    """The cases of `data`, a datalist or a folder laid out as docs/datalist.md describes, but those in `holdout`.

    Every file they name is there. Raises TrainingError when one is not, or no case is left, and UsageError as
    `read_datalist` and `build_datalist` do.
    """
    if data.is_dir():
        cases = cases_of(build_datalist(data, data, layout=layout).document, data, data, (TRAINING,))
    else:
        cases = read_datalist(data, sections=(TRAINING, VALIDATION))
    cases = [case for case in cases if case.id not in holdout]
    if missing := [path for case in cases for path in case.missing]:
        more = f" ({len(missing)} files are missing)" if len(missing) > 1 else ""
        raise TrainingError(f"{missing[0]}, which {data} names, is missing{more}; correct the list or bring it back")
    if not cases:
        raise TrainingError(f"{data} holds no case to train on; change holdout or the datalist")
    return cases


def data_facts(data: Path) -> dict[str, Any]:
    """What a record says of the data: name, licence (of the datalist, None where it names none) and case_licences.

    No path: that is the business of whoever trained.
    """
    facts: dict[str, Any] = {"name": data.resolve().name, "licence": None}
    if data.suffix.lower() != DATALIST_SUFFIX:
        return facts
    try:
        document = json.loads(data.read_text(encoding="utf-8"))
        own = {case.id: told for case in read_datalist(data) if (told := _licence(case.entry)) is not None}
    except (OSError, ValueError, UsageError):
        return facts  # a task of somebody's own may read other things than datalists
    return {**facts, "licence": _licence(document), **({"case_licences": own} if own else {})}


def _licence(entry: Mapping[str, Any]) -> str | None:
    """In either spelling: the decathlon writes `licence`."""
    told = entry.get("licence") or entry.get("license")
    return None if told is None else " ".join(str(told).split())


def check_fold(data: Path, fold: str) -> None:
    """Raise UsageError for a fold that is not "k/n", or of a datalist that its section `validation` divides already."""
    parse_fold(fold)
    if data.suffix.lower() == DATALIST_SUFFIX and any(case.section == VALIDATION for case in read_datalist(data)):
        raise UsageError(f"{data} has a section validation, which is its division; leave --fold out, or that section")


def divide(cases: Sequence[DatalistCase], fold: str, seed: int) -> tuple[list[DatalistCase], list[DatalistCase]]:
    """Cases to train on, and those of fold "k/n" (k from 0), which are only scored.

    A datalist's own division counts: its section `validation`, or else the `fold` of its cases. Where it has neither,
    patients are drawn by `seed`, see `assign_folds`. Raises UsageError when the fold is none of the cases' own, and
    TrainingError when either side is empty.
    """
    if own := [case for case in cases if case.section == VALIDATION]:
        return _both([case for case in cases if case.section != VALIDATION], own, VALIDATION)
    number, count = parse_fold(fold)
    drawn = own_folds(cases, count)
    if drawn is None:
        names, patients = [case.id for case in cases], [case.patient for case in cases]
        drawn = assign_folds(names, patients, count, seed)
    kept, scored = ([c for c, f in zip(cases, drawn, strict=True) if (f == number) is side] for side in (False, True))
    return _both(kept, scored, f"fold {fold}")


def divide_by_name(
    cases: Sequence[DatalistCase], validation: Collection[str]
) -> tuple[list[DatalistCase], list[DatalistCase]]:
    """Cases to train on, and those whose ids are in `validation`, which are only scored.

    Raises TrainingError for an id that is none of theirs, and when either side is empty.
    """
    names = set(validation)
    if strangers := sorted(names - {case.id for case in cases}):
        raise TrainingError(f"validation names {', '.join(strangers)}, which the data do not hold; correct it")
    kept, scored = ([case for case in cases if (case.id in names) is side] for side in (False, True))
    return _both(kept, scored, "validation")


def _both(
    training: list[DatalistCase], validation: list[DatalistCase], told: str
) -> tuple[list[DatalistCase], list[DatalistCase]]:
    if not training or not validation:
        side = "train on" if not training else "validate with"
        raise TrainingError(f"{told} leaves no case to {side}; change the fold, holdout or the datalist")
    return training, validation


def read_scan(case: DatalistCase, channel: int = 0) -> Volume:
    """A channel's volume: a volume file, or the series in a DICOM folder that the case's id names or that is alone.

    Raises InputError when it cannot be read, and TrainingError when the folder does not say which series.
    """
    path = case.images[channel]
    if path.is_file():
        return read_volume(path)
    found = discover(path).series
    chosen = [series for series in found if series.series_uid == case.id] or found
    if len(chosen) != 1:
        raise TrainingError(f"{path} holds {len(found)} DICOM series, not the one of case {case.id}; name its folder")
    result = read_series(chosen[0])
    if result.rejection is not None:
        raise result.rejection
    if len(result.volumes) != 1:
        raise InputError(Reason.EMPTY_VOLUME, f"{path} holds {len(result.volumes)} volumes, not one; convert it first")
    check_voxels(result.volumes[0])
    return result.volumes[0]


def read_labels(case: DatalistCase, scan: Volume, regions: Regions) -> Volume:
    """The label map of a case. Raises TrainingError for none, one on another grid, or labels outside the regions."""
    if case.label_map is None:
        raise TrainingError(f"case {case.id} has no label map; give its path as the label")
    labels = read_label_map(case.label_map)
    grids = (labels.shape, labels.affine_ras, scan.shape, scan.affine_ras)
    if not geometry.same_grid(*grids, GRID_TOLERANCE_MM):
        raise TrainingError(f"{case.label_map} does not lie on the grid of {scan.source.path}; resample it")
    if problem := regions.problem(np.unique(labels.array).tolist()):
        raise TrainingError(f"{case.label_map} {problem}")
    return labels
