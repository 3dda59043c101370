"""The cases the nodule detector learns from: nodule crops and whole lungs, all at 1 mm, in memory as HU int16.

Folder layout: lidc_nodule_crops/{labels.csv, CASE_ct.nii.gz, CASE_nodule.nii.gz}, lung_boxes/*_ct.nii.gz and
luna16/annotations_excluded.csv. Arrays are (I, J, K) with axes in the order and direction of RAS.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from medimg import geometry
from medimg.datalist import luna16
from medimg.errors import TrainingError
from medimg.inference.isotropic import isotropic
from medimg.inference.roi import lungs
from medimg.phantoms.thorax import thorax
from medimg.study import Source, Volume
from medimg.volumes import read_volume

Hu = NDArray[np.int16]
Mark = tuple[NDArray[np.float64], float]

CROPS, SCANS, LUNA16 = "lidc_nodule_crops", "lung_boxes", "luna16"

SERIES_OF_SCAN = {
    "LIDC-IDRI-0001": "1.3.6.1.4.1.14519.5.2.1.6279.6001.179049373636438705059720603192",
    "LIDC-IDRI-0002": "1.3.6.1.4.1.14519.5.2.1.6279.6001.619372068417051974713149104919",
}
"""LUNA16's series of the scans that have reader marks."""

EXCLUDED_RADIUS_MM = 6.0
"""LUNA16 gives most excluded marks no diameter; its evaluation takes 10 mm (a radius of 5), plus one cell."""

PHANTOM_NODULES = 10
"""More than a patient has: a phantom is there for its nodules."""

MIN_CORRELATION = 0.9
"""A crop is found in its own scan when it correlates better than this."""


@dataclass(frozen=True, eq=False)
class Crop:
    """One nodule at the centre of its crop: hu and mask (A, B, C); centre in voxels; diameter of equal volume.

    texture: LIDC's rating, 1 ground-glass to 5 solid, 0 where it is not known.
    """

    case: str
    hu: Hu
    mask: NDArray[np.bool_]
    centre: NDArray[np.float64]
    diameter_mm: float
    texture: int


@dataclass(frozen=True, eq=False)
class Scan:
    """One lung region. lung: bool mask on the same grid. nodules: (N, 4) centre voxel and diameter; ignore: (M, 4)
    centre voxel and radius, where the truth is not known."""

    name: str
    hu: Hu
    affine_ras: geometry.Affine
    lung: NDArray[np.bool_]
    nodules: NDArray[np.float64]
    ignore: NDArray[np.float64]

    def slab(self, low: int, high: int) -> Scan:
        """The axial slices [low, high)."""
        start = (0, 0, low)
        moved = [_moved(table, start) for table in (self.nodules, self.ignore)]
        inside = [t[(t[:, 2] >= 0) & (t[:, 2] < high - low)] for t in moved]
        affine = geometry.shifted(self.affine_ras, start)
        return Scan(self.name, self.hu[..., low:high], affine, self.lung[..., low:high], inside[0], inside[1])


def load_crops(data: Path) -> list[Crop]:
    """Every crop that labels.csv names, in its order. Raises TrainingError for a folder of another layout."""
    table = data / CROPS / "labels.csv"
    if not table.is_file():
        raise TrainingError(f"{table} is missing; --data must be a folder laid out as docs/train.md describes")
    with table.open(encoding="utf-8", newline="") as stream:
        return [_load_crop(data / CROPS, row) for row in csv.DictReader(stream)]


def load_scans(data: Path, crops: list[Crop]) -> list[Scan]:
    """Every whole lung region; a crop of the same patient is found in it and becomes its nodule."""
    paths = sorted((data / SCANS).glob("*_ct.nii.gz"))
    if not paths:
        raise TrainingError(f"{data / SCANS} holds no *_ct.nii.gz; see docs/train.md for the layout")
    return [_load_scan(path, data, crops) for path in paths]


def draw_phantoms(count: int, seed: int) -> list[Scan]:
    """Analytic chests (`medimg.phantoms.thorax`) with their nodules, drawn from `seed`."""
    return [_draw_phantom([seed, index]) for index in range(count)]


def _load_crop(folder: Path, row: dict[str, Any]) -> Crop:
    case = row["case"]
    image = read_volume(folder / f"{case}_ct.nii.gz").canonical()
    mask = read_volume(folder / f"{case}_nodule.nii.gz").canonical().array > 0
    if mask.shape != image.shape or not mask.any():
        raise TrainingError(f"{folder / case}_nodule.nii.gz is empty or of another size than its image")
    centre = np.argwhere(mask).mean(axis=0)
    hu = np.ascontiguousarray(np.rint(image.array), dtype=np.int16)
    return Crop(case, hu, mask, centre, float(row["equivalent_diameter_mm"]), int(row["texture"]))


def _load_scan(path: Path, data: Path, crops: list[Crop]) -> Scan:
    source = read_volume(path)
    name = path.name.removesuffix("_ct.nii.gz")
    volume = isotropic(source)
    region = lungs(source)
    if region is None:
        raise TrainingError(f"{path}: no lungs found in it; only chest scans can be background")
    mask = region.on_grid(volume)
    found = [nodule for crop in crops if crop.case == name for nodule in _locate(crop, volume.array)]
    nodules = np.array(found, dtype=np.float64).reshape(-1, 4)
    ignore = _excluded_marks(data, name, volume.affine_ras)
    return Scan(name, volume.array, volume.affine_ras, mask, nodules, apart(ignore, nodules))


def _draw_phantom(seed: list[int]) -> Scan:
    number = int(np.random.default_rng(seed).integers(1 << 31))
    drawn = thorax(seed=number, count=PHANTOM_NODULES)
    source = Volume(drawn.array, drawn.affine_ras, Source(Path(f"thorax-{number}"), "phantom"), "CT")
    region = lungs(source)
    if region is None:
        raise TrainingError(f"phantom chest {number}: no lungs found in it")
    volume = isotropic(source.crop(region.start, region.stop))
    lps = np.array([nodule.center_lps_mm for nodule in drawn.nodules])
    centres = geometry.to_voxel(volume.affine_ras, geometry.lps_to_ras(lps))
    nodules = np.column_stack([centres, [nodule.diameter_mm for nodule in drawn.nodules]])
    mask = region.on_grid(volume)
    return Scan(source.source.path.name, volume.array, volume.affine_ras, mask, nodules, np.empty((0, 4)))


def _locate(crop: Crop, hu: Hu) -> list[NDArray[np.float64]]:
    """The crop's nodule in its patient's scan: [centre voxel, diameter], found by correlation."""
    template = crop.hu.astype(np.float32) - float(crop.hu.mean())
    flipped = template[::-1, ::-1, ::-1]
    score = signal.fftconvolve(hu.astype(np.float32), flipped, mode="valid")
    corner = np.array(np.unravel_index(int(np.argmax(score)), score.shape))
    window = tuple(slice(c, c + n) for c, n in zip(corner, crop.hu.shape, strict=True))
    if np.corrcoef(hu[window].ravel(), crop.hu.ravel())[0, 1] < MIN_CORRELATION:
        return []
    return [np.append(corner + crop.centre, crop.diameter_mm)]


def luna16_marks(data: Path, name: str) -> tuple[list[Mark], list[Mark]]:
    """LUNA16's nodules of one scan as (centre LPS mm, diameter), and its excluded marks as (centre, radius).

    Empty for a scan that is not in LUNA16.
    """
    nodules = [(point, diameter) for point, diameter in _luna16(data, luna16.ANNOTATIONS, name)]
    excluded = _luna16(data, luna16.EXCLUDED, name)
    return nodules, [(point, max(diameter / 2, EXCLUDED_RADIUS_MM)) for point, diameter in excluded]


def _luna16(data: Path, table: str, name: str) -> list[Mark]:
    path = data / LUNA16 / table
    if name not in SERIES_OF_SCAN or not path.is_file():
        return []
    found = luna16.read_annotations(path)
    rows = zip(found.series, found.xyz, found.diameter, strict=True)
    return [(point, float(diameter)) for series, point, diameter in rows if series == SERIES_OF_SCAN[name]]


def _excluded_marks(data: Path, name: str, affine_ras: geometry.Affine) -> NDArray[np.float64]:
    """LUNA16's excluded marks of one scan as [voxel, radius] rows."""
    _, marks = luna16_marks(data, name)
    rows = [[*geometry.to_voxel(affine_ras, geometry.lps_to_ras(point)), radius] for point, radius in marks]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def apart(ignore: NDArray[np.float64], nodules: NDArray[np.float64]) -> NDArray[np.float64]:
    """Marks that are not one of the nodules themselves."""
    gaps = np.linalg.norm(ignore[:, None, :3] - nodules[None, :, :3], axis=2) - nodules[None, :, 3] / 2
    return np.asarray(ignore[(gaps > 0).all(axis=1)])


def _moved(table: NDArray[np.float64], start: tuple[int, int, int]) -> NDArray[np.float64]:
    return np.column_stack([table[:, :3] - np.array(start), table[:, 3:]])
