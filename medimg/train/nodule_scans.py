"""Whole chest CTs of a datalist for training: lungs found, brought to 1 mm, nodules from their boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg import geometry
from medimg.datalist.read import DatalistCase
from medimg.errors import TrainingError
from medimg.inference.isotropic import isotropic
from medimg.inference.roi import lungs
from medimg.measure.nodule import segment_nodule
from medimg.study import Volume
from medimg.train.cases import read_scan
from medimg.train.nodule_data import EXCLUDED_RADIUS_MM, Crop, Mark, Scan, apart

CROP_MM = 51
"""Edge of what is cut around a nodule: that of the published LIDC crops."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """scan: the lung region, None for an excerpt in which no lungs are found. crops: one a nodule."""

    scan: Scan | None
    crops: list[Crop]


def prepare(case: DatalistCase) -> Prepared:
    """The case at 1 mm, in memory.

    Raises TrainingError for a case without boxes, or a nodule that lies outside its scan, and InputError for a scan
    that cannot be read.
    """
    nodules, unknown = marks(case)
    source = read_scan(case).canonical()
    for centre, _ in nodules:
        voxel = geometry.to_voxel(source.affine_ras, geometry.lps_to_ras(centre))
        if ((voxel < -0.5) | (voxel > np.array(source.shape) - 0.5)).any():
            told = ", ".join(f"{value:.1f}" for value in centre)
            raise TrainingError(f"case {case.id}: its nodule at ({told}) LPS mm lies outside {case.images[0]}")
    region = lungs(source)
    volume = isotropic(source if region is None else source.crop(region.start, region.stop))
    crops = [_crop(case.id, volume, centre, diameter) for centre, diameter in nodules]
    if region is None:
        return Prepared(None, crops)
    tables = [_table(volume.affine_ras, found) for found in (nodules, unknown)]
    lung = region.on_grid(volume)
    return Prepared(Scan(case.id, volume.array, volume.affine_ras, lung, tables[0], apart(tables[1], tables[0])), crops)


def marks(case: DatalistCase) -> tuple[list[Mark], list[Mark]]:
    """Nodules (centre LPS mm, diameter: the mean side of the box), and excluded findings (centre, radius)."""
    if case.boxes is None:
        raise TrainingError(f'case {case.id} has no "box"; give its nodules, or [] where there are none')
    nodules = [(box[:3], float(box[3:].mean())) for box in case.boxes]
    excluded = case.excluded if case.excluded is not None else np.empty((0, 6))
    return nodules, [(box[:3], max(float(box[3:].mean()) / 2, EXCLUDED_RADIUS_MM)) for box in excluded]


def _table(affine_ras: geometry.Affine, found: list[Mark]) -> NDArray[np.float64]:
    """(N, 4): centre voxel and size."""
    rows = [[*geometry.to_voxel(affine_ras, geometry.lps_to_ras(point)), size] for point, size in found]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _crop(name: str, volume: Volume, centre_lps: NDArray[np.float64], diameter: float) -> Crop:
    """The nodule in a cube of CROP_MM, smaller at the volume's faces; its outline is measured, or a ball."""
    centre = geometry.to_voxel(volume.affine_ras, geometry.lps_to_ras(centre_lps))
    start = np.clip(np.rint(centre).astype(int) - CROP_MM // 2, 0, np.array(volume.shape) - 1)
    stop = np.minimum(start + CROP_MM, volume.shape)
    i, j, k = (int(value) for value in start)
    cut = volume.crop((i, j, k), tuple(stop.tolist()))
    inside = centre - start
    squared = sum((axis - c) ** 2 for axis, c in zip(np.indices(cut.shape), inside, strict=True))
    ball = np.asarray(squared) <= (diameter / 2) ** 2
    outline = segment_nodule(cut, centre_lps, diameter)
    mask = np.zeros(cut.shape, dtype=bool)
    if outline is not None:
        mask[tuple(outline.voxels().T)] = True
    hu = np.ascontiguousarray(cut.array, dtype=np.int16)
    return Crop(name, hu, mask if mask.any() else ball, inside, diameter, texture=0)
