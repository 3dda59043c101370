"""Partial volume: how much of each cube of a blurred edge is nodule.

Between deep nodule and plain lung a cube's density says its share of nodule, whatever blurred the edge: slice
thickness, kernel or interpolation (Kuhnigk et al., IEEE TMI 2006;25:417-434, section on partial volume analysis). The
half maximum alone makes a 6 mm nodule on 1 mm voxels several per cent too small, because its surface is curved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg.measure.distance import box_around, cubes_in, depth_mm
from medimg.measure.levels import CALCIUM_HU, Levels
from medimg.measure.local import Field, Local, Mask
from medimg.measure.wall import Wall

_Distance = NDArray[np.float64]

EDGE_MM = 1.5
"""Half width of the blurred edge, in the plane and for thin slices."""

LEVEL_MM = 2.25
"""So deep below the surface the nodule's own density is read: past the blur of the edge and that against noise."""

DEEP_SHARE = 0.7
"""In a nodule too small to be deeper, its level is that of what is deeper than this part of its depth."""


SOFT_HU = 100.0
"""Where the core is denser than soft tissue and what is just below the edge is not calcified, the latter counts."""

MIN_TISSUE = 8
"""Fewer dense cubes together (1 mm3 of the smallest) are noise, not a vessel."""

FOOT_FROM, FOOT_TO = 0.15, 0.25
"""Density just past the edge, as a share of the nodule's contrast: up to the first there is plain lung and the edge is
an edge (phantoms: 0.01 to 0.04), from the second on the nodule fades away without one (a Gaussian bell: 0.27), and its
density does not say a share. Between the two the correction fades, so that nothing jumps between two scans."""


@dataclass(frozen=True)
class Edge:
    """share: (N, N, N) of nodule in each cube, 0..1 (noise may exceed it). cut: the share above which `mask` begins.

    volume_mm3: the sum of the shares; the cubes of `mask` hold nearly the same. mean_hu: what the nodule adds to the
    lung, blurred edge and all, over its volume: blur takes nothing from it.
    """

    share: Field
    cut: float
    mask: Mask
    volume_mm3: float
    mean_hu: float


def edge_of(local: Local, mask: Mask, found: Levels, wall: Wall | None) -> Edge | None:
    """The edge of `mask`, the half maximum between the levels `found`.

    Where a vessel was cut off, the cut is the edge. Along a wall what the wall alone would show is taken off first;
    None where that leaves nothing.
    """
    alone, dense = np.full_like(local.hu, found.lung), mask
    if wall is not None and wall.alone is not None:
        alone, dense = wall.alone, mask | wall.mask
    excess = local.hu - alone
    stands_out = local.smooth - alone >= found.threshold - found.lung
    outward, inward, to_other = _distances(local, mask, tissue(stands_out & ~dense))
    clear = ~mask & (to_other > EDGE_MM)
    rim = mask & (inward <= EDGE_MM) & (to_other > inward + local.step_mm)
    part = (clear & (outward <= EDGE_MM)) | rim
    sharp = _sharpness(excess[clear & (outward > EDGE_MM) & (outward <= EDGE_MM + local.step_mm)], found)
    level = _own_level(local, mask, dense, found)[part]
    share = np.where(mask, np.float32(1), np.float32(0))
    share[part] += sharp * (excess[part] / np.maximum(level - found.lung, 1.0) - share[part])
    if found.is_rim:
        np.minimum(share, 1.0, out=share)
    cubes = float(share.sum(dtype=np.float64))
    cut, moved = _moved(share, mask, part, cubes)
    if cubes <= 0 or not moved.any():
        return None
    held = np.where(mask, np.float32(1), np.where(part, np.float32(sharp), np.float32(0)))
    mean = found.lung + float((excess * held).sum(dtype=np.float64)) / cubes
    return Edge(share, cut, moved, cubes * local.step_mm**3, mean)


def tissue(dense: Mask) -> Mask:
    """The parts of at least MIN_TISSUE cubes."""
    from scipy import ndimage

    labels, count = ndimage.label(dense)
    if count == 0:
        return dense
    large = np.bincount(labels.ravel()) >= MIN_TISSUE
    large[0] = False
    return np.asarray(large[labels])


def _distances(local: Local, mask: Mask, other: Mask) -> tuple[_Distance, _Distance, _Distance]:
    """mm to the nodule, to what is outside it, and to `other` dense tissue or the scan's border; (N, N, N) each.

    Exact as far as EDGE_MM and a cube; what is further may be told as further still.
    """
    from scipy import ndimage

    # one reach about the nodule for the edge, and one about the edge for what is near it
    box = box_around(mask, 2 * cubes_in(EDGE_MM + local.step_mm, local.step_mm))

    def to(target: Mask) -> _Distance:
        away = np.full(mask.shape, np.inf)
        if target[box].any():
            away[box] = ndimage.distance_transform_edt(~target[box], sampling=local.step_mm)
        return away

    return to(mask), depth_mm(mask, local.step_mm), to(other | ~local.inside)


def _sharpness(past: Field, found: Levels) -> float:
    """1 where the HU above lung just past the edge say that it is one, 0 where the nodule goes on, see FOOT_FROM."""
    if not past.size:
        return 1.0
    foot = float(np.median(past)) / (found.nodule - found.lung)
    return float(np.clip((FOOT_TO - foot) / (FOOT_TO - FOOT_FROM), 0.0, 1.0))


def _own_level(local: Local, mask: Mask, dense: Mask, found: Levels) -> Field:
    """HU of the nodule just inside each cube: that of the nearest cube deeper than the edge; of a rim, its level.

    dense: nodule and wall together, in which depth is measured. Calcium of a core is not the edge's (SOFT_HU).
    """
    from scipy import ndimage

    if found.is_rim:
        return np.full(mask.shape, found.nodule, dtype=np.float32)
    inward = np.asarray(np.where(mask, ndimage.distance_transform_edt(dense, sampling=local.step_mm), 0.0))
    deepest = float(inward.max())
    if deepest < 2 * EDGE_MM:
        deep = inward >= min(EDGE_MM, DEEP_SHARE * deepest)
        return np.full(mask.shape, max(float(local.hu[deep].mean()), found.threshold), dtype=np.float32)
    below = _nearest(local.smooth, inward > min(LEVEL_MM, DEEP_SHARE * deepest))
    shell = _nearest(local.smooth, inward > EDGE_MM)
    return np.asarray(np.where((below > SOFT_HU) & (shell < CALCIUM_HU), np.minimum(shell, below), below))


def _nearest(values: Field, mask: Mask) -> Field:
    """The value of the nearest cube of `mask`, which is not empty, at every cube."""
    from scipy import ndimage

    at = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    return np.asarray(values[tuple(at)], dtype=np.float32)


def _moved(share: Field, mask: Mask, part: Mask, cubes: float) -> tuple[float, Mask]:
    """The share from which on the cubes hold together the volume of so many, and these cubes."""
    fixed = mask & ~part
    wanted = round(cubes) - int(np.count_nonzero(fixed))
    wanted = min(max(wanted, 1), max(int(np.count_nonzero(part)), 1))
    values = np.sort(share[part])[::-1]
    if not values.size:
        return 0.5, mask
    cut = float(np.clip(values[wanted - 1], 0.2, 0.8))
    return cut, fixed | (part & (share >= cut))
