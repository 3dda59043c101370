"""What the segments of a SEG are: one for each label that is there, and one for each finding without its own label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg import geometry
from medimg.errors import UnstorableError
from medimg.results import Finding, Report, Segmentation

CONNECTED = np.ones((3, 3, 3), np.bool_)
"""Voxels that share a face, an edge or a corner are one lesion, as `medimg.measure.lesion` has it."""


@dataclass(frozen=True)
class Segment:
    """One segment: `value` in the label map, or where `finding` lies when it has several labels or shares one."""

    number: int
    name: str
    value: int | None
    finding: Finding | None = None


def segments_of(report: Report, overlapping: bool) -> list[Segment]:
    """Segments numbered from 1: the labels that have a voxel by value, then findings that are no label of their own.

    The latter share voxels with the labels; without `overlapping` (a LABELMAP SEG) they are left out.
    """
    segmentation = report.segmentation
    if segmentation is None:
        return []
    from scipy import ndimage

    # a tenth of the time that counting takes
    boxes = ndimage.find_objects(segmentation.array)
    values = [value for value, box in enumerate(boxes, start=1) if box is not None]
    owners = {finding.segment: finding for finding in report.findings if _owns(finding, segmentation)}
    found: list[tuple[str, int | None, Finding | None]] = [
        (segmentation.labels.get(value, f"label {value}"), value, owners.get(value)) for value in values
    ]
    # where labels are findings, one without a label has no mask at all
    if overlapping and values and not owners:
        found += [(finding.id, None, finding) for finding in report.findings]
    return [Segment(number, *entry) for number, entry in enumerate(found, start=1)]


class Lesions:
    """The connected parts of a label map, and which of them each finding is."""

    def __init__(self, segmentation: Segmentation) -> None:
        from scipy import ndimage

        self._parts, count = ndimage.label(segmentation.array > 0, structure=CONNECTED)
        centres = ndimage.center_of_mass(self._parts > 0, self._parts, range(1, count + 1))
        voxels = np.array(centres, dtype=np.float64).reshape(-1, 3)
        self._centres = geometry.ras_to_lps(geometry.to_world(segmentation.affine_ras, voxels))
        self._reach = float(geometry.spacing_mm(segmentation.affine_ras).max())

    def mask(self, finding: Finding) -> NDArray[np.uint8]:
        """Where the finding lies, (I, J, K) of 0 and 1. Raises UnstorableError when no part has its centre there."""
        distance = np.linalg.norm(self._centres - np.array(finding.center_lps_mm), axis=1)
        if not len(distance) or distance.min() > self._reach:
            raise UnstorableError(f"{finding.id} lies nowhere in the label map; measure again before writing DICOM")
        return np.asarray(self._parts == int(distance.argmin()) + 1, dtype=np.uint8)


def _owns(finding: Finding, segmentation: Segmentation) -> bool:
    """Whether the finding has a label that is nobody else's."""
    return finding.segment is not None and segmentation.labels.get(finding.segment) == finding.id
