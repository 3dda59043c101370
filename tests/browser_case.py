"""A report whose truth is known, for the browser: two balls in lung, on any grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medimg import geometry
from medimg.report import write_report
from medimg.results import Finding, Report, Segmentation
from medimg.study import Source, Volume

SHAPE = (80, 72, 48)
CENTERS_LPS = {1: (20.0, 12.0, 30.0), 2: (-22.0, -8.0, -18.0)}
RADII_MM = {1: 8.0, 2: 5.0}
LUNG_HU, NODULE_HU = -850, {1: 40, 2: -300}


@dataclass
class Case:
    """A report with two nodules, on a grid that is asked for."""

    report: Report
    volumes: dict[str, Volume]
    folder: Path

    def write(self, **options: Any) -> str:
        """Write report.html and the rest, and return the page's address."""
        write_report(self.report, self.volumes, self.folder, ["json", "nifti", "png", "html"], **options)
        return (self.folder / "report.html").as_uri()


def make_case(folder: Path, affine_ras: geometry.Affine | None = None) -> Case:
    """Balls of known centres in lung, on any grid whose middle is the frame's origin."""
    affine = np.diag([-1.0, -1.0, 2.0, 1.0]) if affine_ras is None else np.array(affine_ras, dtype=float)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    places = geometry.to_world(geometry.swap_ras_lps(affine), np.moveaxis(np.indices(SHAPE), 0, -1).reshape(-1, 3))
    places = places.reshape(*SHAPE, 3)
    array = np.random.default_rng(4).normal(LUNG_HU, 15, SHAPE).astype(np.int16)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    findings = []
    for value, center in CENTERS_LPS.items():
        inside = np.linalg.norm(places - center, axis=-1) <= RADII_MM[value]
        array[inside], labels[inside] = NODULE_HU[value], value
        diameter = 2 * RADII_MM[value]
        box = (*(c - diameter / 2 for c in center), *(c + diameter / 2 for c in center))
        volume_mm3 = float(inside.sum() * geometry.voxel_volume_mm3(affine))
        measured = {"long_axis_mm": diameter, "mean_hu": float(NODULE_HU[value]), "touches_border": False}
        name, probability = f"nodule-{value}", 0.9 / value
        findings.append(Finding(name, "nodule", center, diameter, volume_mm3, box, probability, value, measured))
    volume = Volume(array, affine, Source(Path("/scans/chest.nii.gz"), "nifti"), "CT", "chest")
    entry = {"role": "ct", "path": "/scans/chest.nii.gz", "modality": "CT", "description": "chest",
             "shape": list(SHAPE), "spacing_mm": volume.spacing_mm.tolist(), "series_uid": None,
             "headers": {"StudyDate": "20250102", "Manufacturer": "medimg phantom"}}  # fmt: skip
    report = Report(
        pipeline={"name": "lung_nodule", "version": "0.2.0", "sha256": "ab" * 32},
        inputs=[entry],
        findings=findings,
        segmentation=Segmentation(labels, affine, {1: "nodule-1", 2: "nodule-2"}),
        provenance={"started": "2026-11-25T10:00:00+00:00", "seconds": {"infer": 2.0},
                    "selection": {"why": "the only scan that fits", "not_chosen": []}},
        warnings=["slices are thick"],
    )  # fmt: skip
    return Case(report, {"ct": volume}, folder)
