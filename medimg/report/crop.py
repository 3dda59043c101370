"""How much of a scan a page needs: what is not empty, every label and every finding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg import geometry
from medimg.report.coarse import Box
from medimg.results import Finding, Report, Segmentation
from medimg.study import Volume

CT_EMPTY_HU = -500.0
"""Air, table and clothes lie below; skin does not."""

MIN_FILLED = 0.005
"""A slice counts as empty when less of it is filled."""

MARGIN_MM = 12.0
"""Kept around it all."""

SAMPLES = 128
"""Voxels looked at along each axis to find out what is empty."""


def box_of(report: Report, shown: dict[str, Volume]) -> Box:
    """What is not empty in any scan, every label and every finding, with a margin, within the scan."""
    first = next(iter(shown.values()))
    ends = [end for volume in shown.values() for end in _filled(volume)]
    ends += [end for finding in report.findings for end in _corners(finding, first)]
    if report.segmentation is not None:
        ends += list(_labelled(report.segmentation))
    if not ends:
        ends = [np.zeros(3), np.array(first.shape)]
    margin = MARGIN_MM / first.spacing_mm
    low = np.clip(np.floor(np.min(ends, axis=0) - margin), 0, np.array(first.shape) - 1).astype(int)
    high = np.clip(np.ceil(np.max(ends, axis=0) + margin), low + 1, first.shape).astype(int)
    i, j, k = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return (i, j, k)


def _filled(volume: Volume) -> Iterator[NDArray[Any]]:
    """First and last (exclusive) slice along each axis that is not empty, as two corners; none where all is."""
    step = [max(1, n // SAMPLES) for n in volume.shape]
    sample = volume.array[:: step[0], :: step[1], :: step[2]]
    filled = sample > CT_EMPTY_HU if volume.modality == "CT" else sample != 0
    spans = []
    for axis in range(3):
        others = tuple({0, 1, 2} - {axis})
        there = np.flatnonzero(filled.mean(axis=others) > MIN_FILLED)
        if not len(there):
            return
        spans.append((there[0] * step[axis], (there[-1] + 1) * step[axis]))
    yield from np.array(spans).T


def _labelled(segmentation: Segmentation) -> Iterator[NDArray[Any]]:
    spans = []
    for axis in range(3):
        there = np.flatnonzero(segmentation.array.any(axis=tuple({0, 1, 2} - {axis})))
        if not len(there):
            return
        spans.append((there[0], there[-1] + 1))
    yield from np.array(spans).T


def _corners(finding: Finding, volume: Volume) -> Iterator[NDArray[Any]]:
    """The finding's box in voxels; its centre where it has none."""
    box = finding.box_lps_mm
    x, y, z = np.array([finding.center_lps_mm] * 2 if box is None else [box[:3], box[3:]], dtype=float).T
    places = np.array(np.meshgrid(x, y, z)).reshape(3, -1).T
    yield from np.asarray(geometry.to_voxel(geometry.swap_ras_lps(volume.affine_ras), places))
