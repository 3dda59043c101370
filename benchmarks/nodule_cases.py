"""The inputs a lung pipeline is judged on, what is true of them, and how its findings are held against that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from nodule_tables import Scored
from numpy.typing import NDArray

from medimg import geometry
from medimg.results import Finding
from medimg.train.nodule_data import CROPS, SCANS, Crop, Mark, load_crops, load_scans, luna16_marks
from medimg.volumes import read_volume

WHOLE_CT = "LIDC-IDRI-0001"
"""The one scan with a folder of its own."""


@dataclass(frozen=True)
class Input:
    """One crop or one scan: nodules (centre LPS mm, diameter) and balls of unknown truth (centre, radius)."""

    case: str
    kind: str
    path: Path
    nodules: list[Mark]
    left_out: list[Mark]
    texture: int | None = None


def crop_inputs(data: Path, crops: Sequence[Crop]) -> list[Input]:
    """Crops as they lie in their files."""
    return [_crop_input(data / CROPS / f"{crop.case}_ct.nii.gz", crop) for crop in crops]


def scan_inputs(data: Path, names: Sequence[str] | None = None) -> list[Input]:
    """The whole CT, and the lung regions that are background in training; of these names only, where they are given."""
    inputs = [Input(WHOLE_CT, "scan", data / WHOLE_CT, *luna16_marks(data, WHOLE_CT))]
    for scan in load_scans(data, load_crops(data)):
        nodules, marks = (_in_lps(scan.affine_ras, table) for table in (scan.nodules, scan.ignore))
        inputs.append(Input(scan.name, "scan", data / SCANS / f"{scan.name}_ct.nii.gz", nodules, marks))
    return [entry for entry in inputs if not names or entry.case in names]


def scored(entry: Input, findings: Sequence[Finding], seconds: float, fold: str = "") -> Scored:
    """Findings against one nodule at most (no case here has two)."""
    row = Scored(entry.case, entry.kind, None, entry.texture, None, None, [], [], seconds, fold)
    if entry.nodules:
        row = replace(row, diameter_mm=entry.nodules[0][1], found=0.0)
    for finding in findings:
        point = np.array(finding.center_lps_mm)
        if any(np.linalg.norm(point - centre) < diameter / 2 for centre, diameter in entry.nodules):
            if finding.probability > row.found:
                error = finding.diameter_mm / row.diameter_mm - 1
                row = replace(row, found=finding.probability, diameter_error=error)
        elif any(np.linalg.norm(point - centre) < radius for centre, radius in entry.left_out):
            row.left_out.append(finding.probability)
        else:
            row.alarms.append(finding.probability)
    return row


def _crop_input(path: Path, crop: Crop) -> Input:
    centre = geometry.ras_to_lps(geometry.to_world(read_volume(path).canonical().affine_ras, crop.centre))
    return Input(crop.case, "crop", path, [(centre, crop.diameter_mm)], [], crop.texture)


def _in_lps(affine_ras: geometry.Affine, table: NDArray[np.float64]) -> list[Mark]:
    return [(geometry.ras_to_lps(geometry.to_world(affine_ras, row[:3])), float(row[3])) for row in table]
