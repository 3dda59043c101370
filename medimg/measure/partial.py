"""Partial volume: how much of each cube of a blurred edge is nodule.

Between deep nodule and plain lung a cube's density says its share of nodule, whatever blurred the edge: slice
thickness, kernel or interpolation (Kuhnigk et al., IEEE TMI 2006;25:417-434, section on partial volume analysis). The
half maximum alone makes a 6 mm nodule on 1 mm voxels several per cent too small, because its surface is curved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medimg.measure.levels import Levels
from medimg.measure.local import Field, Local, Mask
from medimg.measure.wall import Wall

EDGE_MM = 1.5
"""Half width of the blurred edge, in the plane and for thin slices."""

DEEP_SHARE = 0.7
"""In a nodule too small to be deeper than EDGE_MM, its level is that of what is deeper than this part of its depth."""


@dataclass(frozen=True)
class Edge:
    """share: (N, N, N) of nodule in each cube, 0..1 (noise may exceed it). cut: the share above which `mask` begins.

    volume_mm3: the sum of the shares; the cubes of `mask` hold nearly the same.
    """

    share: Field
    cut: float
    mask: Mask
    volume_mm3: float


def edge_of(local: Local, mask: Mask, found: Levels, wall: Wall | None) -> Edge:
    """The edge of `mask`, the half maximum between the levels `found`.

    Where a vessel was cut off, the cut is the edge. Along a wall what the wall alone would show is taken off first.
    """
    fitted = wall is not None and wall.alone is not None
    alone = wall.alone if fitted else np.float32(found.lung)
    excess = local.hu - alone
    stands_out = local.smooth - alone >= found.threshold - found.lung
    dense = mask | wall.mask if fitted else mask
    part = _blurred(local, mask, stands_out & ~dense)
    level = _own_level(local, mask, dense, found)[part]
    share = np.where(mask, np.float32(1), np.float32(0))
    share[part] = excess[part] / np.maximum(level - found.lung, 1.0)
    if found.is_rim:
        np.minimum(share, 1.0, out=share)
    volume = float(share.sum(dtype=np.float64)) * local.step_mm**3
    cut, moved = _moved(share, mask, part, volume / local.step_mm**3)
    return Edge(share, cut, moved, volume)


def _blurred(local: Local, mask: Mask, other: Mask) -> Mask:
    """The cubes about the surface of `mask` whose share their density says: away from `other` dense tissue."""
    from scipy import ndimage

    step = local.step_mm
    other = other | ~local.inside
    to_other = np.full(mask.shape, np.inf)
    if other.any():
        to_other = np.asarray(ndimage.distance_transform_edt(~other, sampling=step))
    outward = np.asarray(ndimage.distance_transform_edt(~mask, sampling=step))
    inward = np.asarray(ndimage.distance_transform_edt(mask, sampling=step))
    skirt = ~mask & (outward <= EDGE_MM) & (to_other > EDGE_MM)
    rim = mask & (inward <= EDGE_MM) & (to_other > inward + step)
    return np.asarray(skirt | rim)


def _own_level(local: Local, mask: Mask, dense: Mask, found: Levels) -> Field:
    """HU of the nodule just inside each cube: that of the nearest cube deeper than the edge; of a rim, its level.

    dense: nodule and wall together, in which depth is measured.
    """
    from scipy import ndimage

    if found.is_rim:
        return np.full(mask.shape, found.nodule, dtype=np.float32)
    inward = np.where(mask, ndimage.distance_transform_edt(dense, sampling=local.step_mm), 0.0)
    deepest = float(inward.max())
    if deepest < 2 * EDGE_MM:
        deep = inward >= min(EDGE_MM, DEEP_SHARE * deepest)
        return np.full(mask.shape, max(float(local.hu[deep].mean()), found.threshold), dtype=np.float32)
    nearest = ndimage.distance_transform_edt(inward <= EDGE_MM, return_distances=False, return_indices=True)
    return np.asarray(local.smooth[tuple(nearest)], dtype=np.float32)


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
