"""What medimg found: findings, segmentation and the report that holds them. No I/O.

The report is the output contract `medimg.report/1`; see docs/output.md. Everything else that is
written (CSV, HTML, PNG) is rendered from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg import geometry

REPORT_SCHEMA = "medimg.report/1"
MANIFEST_SCHEMA = "medimg.preprocess/1"


@dataclass(frozen=True)
class Finding:
    """One nodule or lesion.

    center_lps_mm: (x, y, z). box_lps_mm: (x0, y0, z0, x1, y1, z1), lower and upper corner, axis-aligned in LPS.
    probability: the detector's own score in 0..1 (certainty that the finding is there, never malignancy);
    None where the network gives none. segment: the label value in the label map, None if not segmented.
    measurements: name with unit as suffix -> value, None where it cannot be measured.
    """

    id: str
    label: str
    center_lps_mm: tuple[float, float, float]
    diameter_mm: float | None
    volume_mm3: float | None
    box_lps_mm: tuple[float, float, float, float, float, float] | None
    probability: float | None = None
    segment: int | None = None
    measurements: dict[str, Any] = field(default_factory=dict)

    def rounded(self) -> Finding:
        """As it is written: millimetres to 1e-3, probability to 1e-6. What is made from it is the same next time."""
        x, y, z = (round(float(v), 3) for v in self.center_lps_mm)
        box = self.box_lps_mm
        return replace(
            self,
            center_lps_mm=(x, y, z),
            diameter_mm=_rounded(self.diameter_mm, 3),
            volume_mm3=_rounded(self.volume_mm3, 3),
            box_lps_mm=None if box is None else tuple(round(float(v), 3) for v in box),  # type: ignore[arg-type]
            probability=_rounded(self.probability, 6),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, `rounded`."""
        told = self.rounded()
        return {
            "id": told.id,
            "label": told.label,
            "probability": told.probability,
            "center_lps_mm": list(told.center_lps_mm),
            "diameter_mm": told.diameter_mm,
            "volume_mm3": told.volume_mm3,
            "box_lps_mm": None if told.box_lps_mm is None else list(told.box_lps_mm),
            "segment": told.segment,
            "measurements": told.measurements,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Finding:
        """The inverse of `to_dict`, up to rounding."""
        box = data.get("box_lps_mm")
        return cls(
            id=data["id"],
            label=data["label"],
            center_lps_mm=tuple(data["center_lps_mm"]),
            diameter_mm=data.get("diameter_mm"),
            volume_mm3=data.get("volume_mm3"),
            box_lps_mm=None if box is None else tuple(box),
            probability=data.get("probability"),
            segment=data.get("segment"),
            measurements=dict(data.get("measurements", {})),
        )


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(float(value), digits)


@dataclass(frozen=True)
class Segmentation:
    """A label map on the source grid: array (I, J, K) uint8, 0 is background; labels: value -> name.

    not_available: regions that could not be seen in the contrasts there were. merged: value -> the pipeline's values
    that it stands for where they could not be told apart.
    """

    array: NDArray[np.uint8]
    affine_ras: geometry.Affine
    labels: dict[int, str]
    not_available: tuple[str, ...] = ()
    merged: dict[int, tuple[int, ...]] = field(default_factory=dict)

    @cached_property
    def voxel_counts(self) -> NDArray[np.int64]:
        """How many voxels hold each value, (256,)."""
        # slice by slice: bincount widens what it counts to 8 bytes a voxel
        parts = (np.bincount(part.ravel(order="K"), minlength=256) for part in self.array.transpose(2, 0, 1))
        return np.asarray(sum(parts), dtype=np.int64)

    def to_dict(self, path: str) -> dict[str, Any]:
        """The `segmentation` entry of a report; `path` is relative to the folder that holds it."""
        document: dict[str, Any] = {
            "path": path,
            "labels": {str(value): name for value, name in sorted(self.labels.items())},
        }
        if self.not_available:
            document["not_available"] = list(self.not_available)
            document["merged"] = {str(value): list(parts) for value, parts in self.merged.items()}
        return document


@dataclass
class Report:
    """Everything said about one case. `segmentation` is kept apart from the JSON, which holds its path.

    measurements: of the case as a whole, named as those of a finding.
    dicom: which DICOM objects were written and what their UIDs are, None where there are none; failed: a line for
    each that could not be made, which is among `warnings` too.
    """

    pipeline: dict[str, str]
    inputs: list[dict[str, Any]]
    findings: list[Finding] = field(default_factory=list)
    segmentation: Segmentation | None = None
    measurements: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    advice: list[dict[str, Any]] = field(default_factory=list)
    dicom: dict[str, Any] | None = None
    failed: list[str] = field(default_factory=list)

    def to_dict(self, segmentation_path: str | None = None) -> dict[str, Any]:
        """The `medimg.report/1` document; `segmentation_path` is relative to the folder that holds it."""
        segmentation = None
        if self.segmentation is not None and segmentation_path is not None:
            segmentation = self.segmentation.to_dict(segmentation_path)
        return {
            "schema": REPORT_SCHEMA,
            "pipeline": self.pipeline,
            "inputs": self.inputs,
            "frame": "LPS",
            "findings": [finding.to_dict() for finding in self.findings],
            "segmentation": segmentation,
            "measurements": self.measurements,
            "dicom": self.dicom,
            "provenance": self.provenance,
            "warnings": self.warnings,
            "advice": self.advice,
            **({"failed": self.failed} if self.failed else {}),
        }
