"""Volumes of 51 mm with a nodule and without, cut from crops and whole scans, all stored alike.

What `nodule_or_not.py` classifies: see there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from nodule_cases import WHOLE_CT
from numpy.typing import NDArray
from scipy import ndimage

from medimg import geometry
from medimg.inference.isotropic import isotropic
from medimg.inference.roi import AIR_BELOW_HU, lungs
from medimg.pipeline import load_pipeline
from medimg.stages.case import Clock
from medimg.stages.chain import open_case
from medimg.stages.select import select
from medimg.study import Source, Volume
from medimg.train.nodule_data import Crop, Scan, luna16_marks

SIDE, CUBE = 51, 17
"""Voxels (mm) of a volume, which is a crop's size, and of a cube: a third of it."""

HU_RANGE, HU_STEP = (-1200, 400), 8

PACKINGS = 100
"""Random ways of laying cubes into a scan, of which the one with the most is taken."""

UPPER_PART = 0.3333
"""Of the lungs of its validation scan: what `medimg.train.nodules` keeps out of training in every fold."""

SEED = 20261123


@dataclass(frozen=True, eq=False)
class Held:
    """One volume: hu (51, 51, 51), with a nodule the crop it is. upper: cut from the UPPER_PART of its scan."""

    id: str
    patient: str
    hu: NDArray[np.int16]
    crop: Crop | None = None
    upper: bool = False

    @property
    def volume(self) -> Volume:
        """Without a place in its scan, as the crops are."""
        return Volume(self.hu, np.eye(4), Source(Path(self.id), "memory"), "CT")


def stored(hu: NDArray[np.int16]) -> NDArray[np.int16]:
    """As the coarsest of the files is stored."""
    return np.asarray(np.rint(np.clip(hu, *HU_RANGE) / HU_STEP) * HU_STEP, dtype=np.int16)


def coarse(scan: Scan) -> Scan:
    """A scan with its voxels as they are all stored here."""
    return replace(scan, hu=stored(scan.hu))


def whole_ct(data: Path) -> Scan:
    """The scan with a folder of its own, like those of `load_scans`."""
    source = open_case(select([(None, data / WHOLE_CT)], load_pipeline("lung_nodule")), Clock()).first.canonical()
    region = lungs(source)
    assert region is not None
    volume = isotropic(source.crop(region.start, region.stop))
    nodules, marks = (
        [[*geometry.to_voxel(volume.affine_ras, geometry.lps_to_ras(point)), size] for point, size in table]
        for table in luna16_marks(data, WHOLE_CT)
    )
    tables = [np.array(rows, dtype=np.float64).reshape(-1, 4) for rows in (nodules, marks)]
    return Scan(WHOLE_CT, volume.array, volume.affine_ras, region.on_grid(volume), *tables)


def nodule_free(scan: Scan) -> list[Held]:
    """The most cubes of SIDE that PACKINGS random ways lay into the lungs, clear of nodules and marks."""
    reach = SIDE // 2
    shape = np.array(scan.hu.shape)
    centres = np.argwhere(scan.lung)
    centres = centres[((centres >= reach) & (centres < shape - reach)).all(axis=1)]
    balls = np.concatenate([scan.nodules * (1, 1, 1, 0.5), scan.ignore])
    for x, y, z, radius in balls:
        centres = centres[(np.abs(centres - (x, y, z)) > reach + radius).any(axis=1)]
    best: list[NDArray[np.int64]] = []
    for number in range(PACKINGS):
        left, taken = np.random.default_rng([SEED, number]).permutation(centres[:: 1 + len(centres) // 20000]), []
        while len(left):
            taken.append(left[0])
            left = left[(np.abs(left - left[0]) >= SIDE).any(axis=1)]
        best = max(best, taken, key=len)
    slices = np.flatnonzero(scan.lung.any(axis=(0, 1)))
    border = int(slices[-1] + 1 - UPPER_PART * len(slices))
    cubes = []
    for centre in best:
        low = centre - reach
        hu = scan.hu[tuple(slice(a, a + SIDE) for a in low)]
        cubes.append(Held("_".join([scan.name, *map(str, centre)]), scan.name, hu, None, bool(low[2] >= border)))
    return cubes


def clear_cubes(h: Held) -> Iterator[tuple[int, int, int]]:
    """First voxels of the crop's cubes that hold nothing of the nodule and have lung at their centre."""
    assert h.crop is not None
    air = ndimage.uniform_filter(h.hu.astype(np.float32), 3) < AIR_BELOW_HU
    for i, j, k in np.ndindex(3, 3, 3):
        low = (i * CUBE, j * CUBE, k * CUBE)
        inside = tuple(slice(a, a + CUBE) for a in low)
        if not h.crop.mask[inside].any() and air[tuple(a + CUBE // 2 for a in low)]:
            yield low
