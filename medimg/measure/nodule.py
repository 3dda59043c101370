"""The extent of one lung nodule, grown from a detection on the scan's own grid, and what is measured on it.

Method, in mm so that orientation and slice thickness do not matter:

1. The boundary is the half maximum between the nodule and the lung around it (the midpoint threshold of
   Kostis et al., IEEE TMI 2003;22:1259-1274). Both levels are local, so ground-glass has a boundary too.
2. The connected part that holds the seed, within a ball about the detection.
3. A part that does not reach the ball's surface is the nodule. From one that does, vessels and pleura are cut by the
   weakest erosion after which nearly all is near the detection, and the erosion undone (morphological cutting of
   Kuhnigk et al., IEEE TMI 2006;25:417-434). One on a wall that no erosion frees ends at NEAR_RADII.

Constants without another source were chosen on 98 LIDC-IDRI nodules (tests/unit/measure/test_nodule.py). Readers'
outlines there take in the blurred rim (median -508 HU just inside, -699 HU just outside), so they are larger than
the half maximum, which is the true size on phantoms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medimg import geometry
from medimg.measure import common
from medimg.study import Volume

Mask = NDArray[np.bool_]
Distances = NDArray[np.float64]

BALL_RADII = 2.0
"""Radius of the ball the nodule may fill, in detected radii (so one detected diameter)."""

NEAR_RADII = 1.25
"""What hangs together with vessels or wall ends here, in detected radii: room for a detector's error."""

MAX_OUTSIDE = 0.25
"""Free of vessels and wall: what leads further out is at most this part of what is near."""

CORE_RADII = 0.7
"""The nodule's own level is the median within this many detected radii of the centre."""

MAX_CORE_HU = 100.0
"""Calcium and contrast do not raise the boundary above that of soft tissue."""

LUNG_MAX_HU = -500.0
"""Brighter voxels around the nodule are vessels or wall, not lung (lung masks are cut at -400 to -500 HU)."""

DEFAULT_LUNG_HU = -850.0
"""Normal inflated lung, used where too little of it is near the nodule."""

MIN_LUNG_FRACTION = 0.05
"""Less lung than this in the shell around the nodule gives no level."""

MIN_CONTRAST_HU = 100.0
"""Half of the lightest ground-glass (about -700 HU against -850..-900); below this there is no nodule to outline."""

EROSION_STEPS = 8
"""How many strengths of cutting are tried."""

MAX_EROSION = 0.5
"""The strongest, as a part of the largest depth in the nodule."""

MIN_RADIUS_MM = 1.5
"""Detections smaller than 3 mm (micronodules) are looked at as if they were 3 mm."""


@dataclass(frozen=True)
class NoduleMask:
    """mask: bool over a sub-box of the scan that begins at voxel `start`."""

    mask: Mask
    start: tuple[int, int, int]

    def voxels(self) -> common.Voxels:
        """Indices of the nodule's voxels in the whole scan, (N, 3)."""
        return np.asarray(np.argwhere(self.mask) + np.asarray(self.start))


def segment_nodule(volume: Volume, center_lps_mm: ArrayLike, diameter_mm: float) -> NoduleMask | None:
    """Outline the nodule detected at `center_lps_mm` (3,) in a CT `volume` in HU; see the module for the method.

    None when nothing there stands out from the lung by MIN_CONTRAST_HU, or the centre is outside the scan.
    """
    radius = max(float(diameter_mm) / 2.0, MIN_RADIUS_MM)
    center = geometry.lps_to_ras(center_lps_mm)
    box = _box(volume, center, BALL_RADII * radius)
    if box is None:
        return None
    start, stop = box
    local = volume.crop(start, stop)
    hu = np.asarray(local.array, dtype=np.float32)
    distance = _distance_mm(local, center)
    threshold = _half_maximum_hu(hu, distance, radius)
    if threshold is None:
        return None
    candidates = (hu >= threshold) & (distance <= BALL_RADII * radius)
    if not (candidates & (distance <= radius)).any():
        return None
    connected = _component_at(candidates, _nearest(candidates, distance))
    return NoduleMask(mask=_cut_free(connected, distance, radius, local.spacing_mm), start=start)


def measure_nodule(volume: Volume, nodule: NoduleMask) -> dict[str, Any]:
    """Sizes and mean HU of an outlined nodule, units in the names; sizes are None where the scan's border cuts it.

    long_axis_mm and short_axis_mm are axial (`common.axial_axes_mm`); mean_axis_mm is their mean, the
    diameter of Fleischner 2017 and Lung-RADS v2022. diameter_mm is of the sphere of equal volume.
    """
    voxels = nodule.voxels()
    cut = common.touches_border(voxels, volume.shape)
    size_mm3 = common.volume_mm3(voxels, volume.affine_ras)
    long_mm, short_mm = common.axial_axes_mm(voxels, volume.affine_ras)
    sizes = {
        "volume_mm3": size_mm3,
        "equivalent_diameter_mm": common.equivalent_diameter_mm(size_mm3),
        "long_axis_mm": long_mm,
        "short_axis_mm": short_mm,
        "mean_axis_mm": (long_mm + short_mm) / 2.0,
    }
    measured: dict[str, Any] = {name: None if cut else round(value, 3) for name, value in sizes.items()}
    measured["mean_hu"] = round(float(volume.array[tuple(voxels.T)].mean(dtype=np.float64)), 1)
    measured["touches_border"] = cut
    return measured


def _box(
    volume: Volume, center_ras: geometry.Points, reach_mm: float
) -> tuple[tuple[int, int, int], tuple[int, int, int]] | None:
    """Voxel box [start, stop) of the ball and one voxel more, clipped to the scan; None where they do not meet."""
    center = geometry.to_voxel(volume.affine_ras, center_ras)
    # rows of the inverse give how many voxels one mm moves along each axis, oblique or not
    reach = reach_mm * np.linalg.norm(np.linalg.inv(volume.affine_ras)[:3, :3], axis=1) + 1.0
    low = np.maximum(np.floor(center - reach).astype(int), 0)
    high = np.minimum(np.ceil(center + reach).astype(int) + 1, volume.shape)
    if (low >= high).any():
        return None
    i0, j0, k0 = (int(v) for v in low)
    i1, j1, k1 = (int(v) for v in high)
    return (i0, j0, k0), (i1, j1, k1)


def _distance_mm(local: Volume, center_ras: geometry.Points) -> Distances:
    """Distance of each voxel centre from the detection, (I, J, K)."""
    indices = np.moveaxis(np.indices(local.shape), 0, -1)
    return np.asarray(np.linalg.norm(geometry.to_world(local.affine_ras, indices) - center_ras, axis=-1))


def _half_maximum_hu(hu: NDArray[np.float32], distance: Distances, radius: float) -> float | None:
    """Halfway between nodule and lung, or None where they hardly differ."""
    core_voxels = hu[distance <= CORE_RADII * radius]
    if core_voxels.size == 0:
        core_voxels = hu[distance <= distance.min()]
    core = min(float(np.median(core_voxels)), MAX_CORE_HU)
    shell = hu[(distance > radius) & (distance <= BALL_RADII * radius)]
    lung_voxels = shell[shell < min(LUNG_MAX_HU, core)]
    enough = lung_voxels.size > MIN_LUNG_FRACTION * max(shell.size, 1)
    lung = float(np.median(lung_voxels)) if enough else DEFAULT_LUNG_HU
    return None if core - lung < MIN_CONTRAST_HU else (core + lung) / 2.0


def _nearest(mask: Mask, distance: Distances) -> tuple[int, ...]:
    """The voxel of a mask (not empty) that is nearest to the detection."""
    at = int(np.where(mask, distance, np.inf).argmin())
    return tuple(int(v) for v in np.unravel_index(at, mask.shape))


def _component_at(mask: Mask, seed: tuple[int, ...]) -> Mask:
    """The part of `mask` that is connected with `seed` by faces."""
    from scipy import ndimage

    labels, _ = ndimage.label(mask)
    return np.asarray(labels == labels[seed])


def _cut_free(mask: Mask, distance: Distances, radius: float, spacing: NDArray[np.float64]) -> Mask:
    """Step 3 of the module's method, and holes (cavities) filled."""
    from scipy import ndimage

    # a step between face neighbours is no longer than the largest spacing: whatever leaves the ball has a voxel here
    leaves = distance > BALL_RADII * radius - float(spacing.max())
    if not (mask & leaves).any():
        return np.asarray(ndimage.binary_fill_holes(mask))
    near = distance <= NEAR_RADII * radius
    part = next((cut for cut in _openings(mask, distance, radius, spacing) if _is_free(cut, near)), mask) & near
    return np.asarray(ndimage.binary_fill_holes(_component_at(part, _nearest(part, distance))))


def _is_free(part: Mask, near: Mask) -> bool:
    inside = int(np.count_nonzero(part & near))
    return inside > 0 and int(np.count_nonzero(part)) - inside <= MAX_OUTSIDE * inside


def _openings(mask: Mask, distance: Distances, radius: float, spacing: NDArray[np.float64]) -> Iterator[Mask]:
    """The mask as it is, then opened ever more strongly; each keeps the part deepest near the detection."""
    from scipy import ndimage

    yield mask
    depth = np.asarray(ndimage.distance_transform_edt(mask, sampling=spacing))
    inner = np.where(distance <= radius, depth, 0.0)
    seed = tuple(int(v) for v in np.unravel_index(int(inner.argmax()), inner.shape))
    for erosion in np.linspace(0.0, MAX_EROSION * float(inner.max()), EROSION_STEPS + 1)[1:]:
        core = _component_at(depth > erosion, seed)
        yield mask & (ndimage.distance_transform_edt(~core, sampling=spacing) <= erosion)
