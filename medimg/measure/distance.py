"""Distances on a grid of cubes, computed only where they matter: a nodule fills a small part of its cube.

The same numbers as a Euclidean distance transform of the whole grid, several times sooner.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medimg.measure.local import Mask

Box = tuple[slice, ...]


def box_around(mask: Mask, cubes: int) -> Box:
    """The smallest box that holds `mask` (not empty) and so many cubes more on every side, cut at the grid."""
    found = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        at = np.flatnonzero(mask.any(axis=others))
        found.append(slice(max(int(at[0]) - cubes, 0), int(at[-1]) + 1 + cubes))
    return tuple(found)


def cubes_in(reach_mm: float, step_mm: float) -> int:
    """Whole cubes that `reach_mm` may touch."""
    return int(np.ceil(reach_mm / step_mm)) + 1


def depth_mm(mask: Mask, step_mm: float) -> NDArray[np.float64]:
    """Distance in mm of each cube of `mask` to the nearest cube outside it, 0 outside; the grid's border is none."""
    from scipy import ndimage

    depth = np.zeros(mask.shape)
    if mask.any():
        # the nearest cube outside lies in the layer about the box, or where the grid ends there is none
        box = box_around(mask, 1)
        depth[box] = ndimage.distance_transform_edt(mask[box], sampling=step_mm)
    return depth


def within_mm(mask: Mask, reach_mm: float, step_mm: float) -> Mask:
    """The cubes at most `reach_mm` from `mask`, itself included."""
    from scipy import ndimage

    near = np.zeros_like(mask)
    if mask.any():
        box = box_around(mask, cubes_in(reach_mm, step_mm))
        near[box] = ndimage.distance_transform_edt(~mask[box], sampling=step_mm) <= reach_mm
    return near
