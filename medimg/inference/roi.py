"""Where the lungs are: a coarse mask and a voxel box, so that the network looks nowhere else.

Steps: a grid of about 2 mm -> air -> air open to the slice's edge removed, slice by slice -> large components
inside the body -> closing (nodules and vessels at the pleura) -> filled -> dilated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from medimg import geometry
from medimg.study import Volume

Mask = NDArray[np.bool_]

GRID_MM = 2.0
"""Target spacing of the coarse grid; whole voxels are skipped, so the true spacing lies within a factor 1.5."""

AIR_BELOW_HU = -400.0
"""Lung parenchyma lies at -950..-600 HU and soft tissue above -150 HU; the recipe in shared/reference/models.md."""

MIN_LUNG_ML = 300.0
"""Less air than this is no lung of an adult: a crop, an abdomen's bowel, a head's sinuses."""

MIN_COMPONENT_ML = 60.0
"""Smaller air pockets are bowel, oesophagus or trachea stumps; a compressed lung is larger."""

MIN_BODY_FRACTION = 0.5
"""A component with less of itself inside the body's outline is foam in the table or a cushion."""

BODY_OPENING_MM = 6.0
"""Table shells are thinner than this, the chest wall is not."""

CLOSING_MM = 10.0
"""Brings back vessels, hila and nodules at the pleura up to about 15 mm; see `distance_mm` for larger ones."""

DILATION_MM = 2.0
"""The pleura itself, where nodules sit, belongs to the region."""

BOX_MARGIN_MM = 8.0
"""Context the network sees beyond the mask."""

NO_LUNG = "no lung was found (a crop, or another part of the body): the whole volume was searched"
"""Said where `lungs` found none."""


@dataclass(frozen=True)
class LungRegion:
    """The lungs of one scan.

    mask: (A, B, C) bool on the coarse grid, axes in the source's order; affine_ras: coarse voxel -> RAS mm.
    start, stop: the box [start, stop) in source voxels, margin included.
    """

    mask: Mask
    affine_ras: geometry.Affine
    start: tuple[int, int, int]
    stop: tuple[int, int, int]

    @property
    def volume_ml(self) -> float:
        """Volume of the mask, airways and hila included."""
        return float(np.count_nonzero(self.mask)) * geometry.voxel_volume_mm3(self.affine_ras) / 1000

    def contains(self, points_ras: ArrayLike) -> Mask:
        """Whether points (..., 3) in RAS mm lie in the mask; (...) bool."""
        voxels = np.rint(geometry.to_voxel(self.affine_ras, points_ras)).astype(np.int64)
        shape = np.array(self.mask.shape)
        inside = ((voxels >= 0) & (voxels < shape)).all(axis=-1)
        i, j, k = np.moveaxis(np.clip(voxels, 0, shape - 1), -1, 0)
        return np.asarray(inside & self.mask[i, j, k])

    def distance_mm(self, points_ras: ArrayLike) -> NDArray[np.float64]:
        """How far points (..., 3) in RAS mm lie outside the mask, to its nearest voxel's centre; (...), 0 inside.

        For nodules at the pleura and the hilum that are too large for the mask to close over.
        """
        distance, _ = self._surface.query(np.asarray(points_ras, dtype=np.float64))
        return np.where(self.contains(points_ras), 0.0, distance)

    def depth_mm(self, points_ras: ArrayLike) -> NDArray[np.float64]:
        """How deep points (..., 3) in RAS mm lie in the mask, to its nearest outermost voxel; (...), 0 outside."""
        distance, _ = self._surface.query(np.asarray(points_ras, dtype=np.float64))
        return np.where(self.contains(points_ras), distance, 0.0)

    def on_grid(self, volume: Volume) -> Mask:
        """The mask (nearest neighbour) on the grid of a volume whose axes run as the mask's; (I, J, K) bool."""
        matrix = np.linalg.inv(self.affine_ras) @ volume.affine_ras
        cells = [
            np.floor(matrix[a, a] * np.arange(n) + matrix[a, 3] + 0.5).astype(int) for a, n in enumerate(volume.shape)
        ]
        if not np.allclose(matrix[:3, :3], np.diag(np.diag(matrix[:3, :3])), atol=1e-6):
            raise ValueError("on_grid needs a grid with the mask's own axes")
        inside = [(c >= 0) & (c < n) for c, n in zip(cells, self.mask.shape, strict=True)]
        moved = np.zeros(volume.shape, dtype=bool)
        moved[np.ix_(*inside)] = self.mask[np.ix_(*(c[i] for c, i in zip(cells, inside, strict=True)))]
        return moved

    @cached_property
    def _surface(self) -> Any:
        """Search tree of the mask's outermost voxels, in RAS mm."""
        surface = self.mask & ~ndimage.binary_erosion(self.mask)
        return cKDTree(geometry.to_world(self.affine_ras, np.argwhere(surface)))


class Chest:
    """A chest CT in HU, or part of one, on the axes nearest to R, A, S; its lungs are searched for at most once."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume.canonical()

    @cached_property
    def lungs(self) -> LungRegion | None:
        """See `lungs`."""
        return lungs(self.volume)


def lungs(volume: Volume) -> LungRegion | None:
    """Find the lungs of a chest CT in HU, in any orientation; None where there are none (crop, other body part)."""
    step, coarse, affine = _coarse(volume)
    mask = _lung_mask(coarse, geometry.spacing_mm(affine), _axial_axis(affine))
    if mask is None:
        return None
    margin = np.ceil(BOX_MARGIN_MM / volume.spacing_mm).astype(int)
    low, high = bounds(mask)
    start = np.maximum(0, low * step - margin)
    stop = np.minimum(volume.shape, (high - 1) * step + 1 + margin)
    return LungRegion(mask, affine, _triple(start), _triple(stop))


def _lung_mask(hu: NDArray[np.float32], spacing: NDArray[np.float64], axial: int) -> Mask | None:
    air = ndimage.uniform_filter(hu, 3) < AIR_BELOW_HU
    mask = _inner_components(air, hu, spacing, axial)
    if np.count_nonzero(mask) * float(np.prod(spacing)) / 1000 < MIN_LUNG_ML:
        return None
    pad = np.ceil((CLOSING_MM + DILATION_MM) / spacing).astype(int) + 1
    low, high = bounds(mask)
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    work = np.pad(mask[window], [(p, p) for p in pad])
    return _put_back(_smoothed(work, spacing, axial), mask.shape, low - pad)


def _inner_components(air: Mask, hu: NDArray[np.float32], spacing: NDArray[np.float64], axial: int) -> Mask:
    """Air not open to the slice's edge, in components that are large enough and lie in the body."""
    labels, count = ndimage.label(_without_border(air, axial))
    if count == 0:
        return np.zeros(air.shape, bool)
    voxel_ml = float(np.prod(spacing)) / 1000
    voxels = np.bincount(labels.ravel(), minlength=count + 1)
    large = voxels * voxel_ml >= MIN_COMPONENT_ML
    large[0] = False
    within = np.bincount(labels[_body(hu, spacing, axial)], minlength=count + 1)
    in_body = large & (within >= MIN_BODY_FRACTION * voxels)
    # a scan cut so close that it has no body outline still has lungs
    kept = in_body if in_body.any() else large
    return np.asarray(kept[labels])


def _without_border(air: Mask, axial: int) -> Mask:
    """Remove, in each axial slice, what is connected to the slice's edge, through more than a hair's width.

    In 3-D a lung is lost through one open slice; a one-voxel erosion in the plane closes thin leaks of the chest wall.
    """
    plane = _plane(axial)
    core = ndimage.binary_erosion(air, plane, border_value=1)
    labels, count = ndimage.label(core, plane)
    outside = np.zeros(count + 1, bool)
    for axis in range(3):
        if axis != axial:
            outside[np.unique(labels.take((0, -1), axis=axis))] = True
    outside[0] = True
    return np.asarray(ndimage.binary_dilation(~outside[labels], plane) & air)


def _body(hu: NDArray[np.float32], spacing: NDArray[np.float64], axial: int) -> Mask:
    """The patient's outline: thick tissue, filled in every axial slice."""
    tissue = hu > AIR_BELOW_HU
    size = [1 if axis == axial else 2 * round(BODY_OPENING_MM / 2 / spacing[axis]) + 1 for axis in range(3)]
    opened = np.asarray(ndimage.maximum_filter(ndimage.minimum_filter(tissue, size), size))
    return opened | _without_border(~opened, axial)


def _fill(mask: Mask, axial: int) -> Mask:
    """Holes closed in every axial slice."""
    labels, count = ndimage.label(~mask, _plane(axial))
    outside = np.zeros(count + 1, bool)
    for axis in range(3):
        if axis != axial:
            outside[np.unique(labels.take((0, -1), axis=axis))] = True
    outside[0] = False
    return np.asarray(mask | ~outside[labels])


def _smoothed(mask: Mask, spacing: NDArray[np.float64], axial: int) -> Mask:
    """Closed with a ball of CLOSING_MM, filled, and grown by about DILATION_MM; `mask` must be padded by both."""
    grown = ndimage.distance_transform_edt(~mask, sampling=spacing) <= CLOSING_MM
    closed = (ndimage.distance_transform_edt(grown, sampling=spacing) > CLOSING_MM) | mask
    # whole voxels: a third distance transform would cost as much as both above for a millimetre
    return np.asarray(ndimage.binary_dilation(_fill(closed, axial), iterations=_voxels(DILATION_MM, spacing)))


def _voxels(length_mm: float, spacing: NDArray[np.float64]) -> int:
    return max(1, round(length_mm / float(spacing.mean())))


def _put_back(window: Mask, shape: tuple[int, ...], start: NDArray[np.int64]) -> Mask:
    result = np.zeros(shape, bool)
    low = np.maximum(start, 0)
    high = np.minimum(start + window.shape, shape)
    target = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    source = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))
    result[target] = window[source]
    return result


def _plane(axial: int) -> Mask:
    """4-connectivity within the axial slice: a (3, 3, 3) structuring element."""
    cross = np.zeros((3, 3, 3), bool)
    for axis in range(3):
        if axis != axial:
            cross[tuple(slice(None) if a == axis else 1 for a in range(3))] = True
    return cross


def _axial_axis(affine: geometry.Affine) -> int:
    """The voxel axis that runs most along the patient's head-foot direction."""
    return int(np.argmax(np.abs(affine[2, :3]) / geometry.spacing_mm(affine)))


def outline(volume: Volume) -> tuple[Mask, geometry.Affine]:
    """The patient's outline in a CT in HU, in any orientation: (A, B, C) on a coarse grid, and its affine in RAS mm."""
    _, coarse, affine = _coarse(volume)
    return _body(coarse, geometry.spacing_mm(affine), _axial_axis(affine)), affine


def _coarse(volume: Volume) -> tuple[NDArray[np.int64], NDArray[np.float32], geometry.Affine]:
    """Every so many voxels, for a spacing of about GRID_MM: how many, the values in HU, and their affine."""
    step = np.maximum(1, np.rint(GRID_MM / volume.spacing_mm)).astype(np.int64)
    coarse = np.asarray(volume.array[:: step[0], :: step[1], :: step[2]], dtype=np.float32)
    return step, coarse, volume.affine_ras @ np.diag([*step.astype(float), 1.0])


def bounds(mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First index and one past the last of the true voxels along each axis."""
    spans = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    return np.array([s[0] for s in spans]), np.array([s[-1] + 1 for s in spans])


def _triple(values: NDArray[Any]) -> tuple[int, int, int]:
    i, j, k = (int(v) for v in values)
    return (i, j, k)
