"""The chest wall, diaphragm or mediastinum beside a nodule, cut off along the surface the pleura would have without it.

A wall is dense tissue into which a ball wider than the nodule fits. Its surface is fitted where the nodule is not, by
a quadric in the frame of its own normal, and continued beneath the nodule: the clipping plane of Reeves et al. (IEEE
TMI 2006;25:435-450), curved as the lung is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg.measure.distance import within_mm
from medimg.measure.levels import Levels
from medimg.measure.local import Field, Local, Mask
from medimg.measure.pleura import MIN_POINTS, quadric, refined, surface

BALL_RADII = 1.3
"""Radius of the ball that must fit into a wall, in radii of the nodule."""

MIN_BALL_MM = 4.0
"""Vessels beside a small nodule are thinner than twice this."""

MIN_WALL_SHARE = 0.04
"""A wall fills at least this part of the cube; less is a bulge of the nodule itself."""

FIT_FROM_RADII = 1.7
"""The pleura is fitted from so many detected radii of the nodule's centre on, measured along the wall: a detection may
be too small and off the centre."""

FIT_BEYOND_RADII, FIT_BEYOND_MM = 1.5, 7.0
"""...and up to so many radii, or mm, more than one radius."""

FADES_MM = 3.0
"""So far above the pleura nothing of the wall is left in a cube's density, so far below nothing of the lung."""

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Wall:
    """mask: (N, N, N), the dense cubes cut off. alone: HU of every cube if there were no nodule, the wall blurred as
    it is beside the nodule; None where no pleura could be fitted."""

    mask: Mask
    alone: Field | None


def wall_of(dense: Mask, local: Local, radius_mm: float, found: Levels) -> Wall | None:
    """The wall beside a nodule of `radius_mm` at the cube's centre; None where there is none near.

    dense: (N, N, N), what is above the threshold of the levels `found`.
    """
    from scipy import ndimage

    reach = max(BALL_RADII * radius_mm, MIN_BALL_MM)
    # what lies outside the cube, or the scan, counts as more of the same: a wall goes on there
    depth = ndimage.distance_transform_edt(dense | ~local.inside, sampling=local.step_mm)
    cores = depth > reach
    # a core whose ball reaches the nodule's centre is the nodule
    cores &= local.distance > 0.5 * reach
    if not cores.any():
        return None
    rough = dense & within_mm(cores, reach, local.step_mm)
    if np.count_nonzero(rough) < MIN_WALL_SHARE * rough.size:
        return None
    return _below_fit(dense, rough, local, radius_mm, found)


def _below_fit(dense: Mask, rough: Mask, local: Local, radius_mm: float, found: Levels) -> Wall:
    """The dense cubes on the wall's side of the fitted pleura; the rough wall where nothing can be fitted."""
    from scipy import ndimage

    skin = rough & ndimage.binary_dilation(~dense & local.inside)
    centre = (np.array(dense.shape) - 1) / 2
    points = (np.argwhere(skin) - centre) * local.step_mm
    normal = _normal(rough, local)
    if normal is None:
        return Wall(rough, None)
    frame = _frame(normal)
    across = points @ frame[:, :2]
    height = points @ normal + _to_surface(skin, local, found.threshold)
    away = np.linalg.norm(across, axis=1)
    outer = radius_mm + max(FIT_BEYOND_RADII * radius_mm, FIT_BEYOND_MM)
    chosen = (away > FIT_FROM_RADII * radius_mm) & (away < outer)
    if np.count_nonzero(chosen) < MIN_POINTS:
        return Wall(rough, None)
    u, v, w = _turned(dense.shape, centre, local.step_mm, frame)
    away = np.hypot(u, v)
    ring = (away > FIT_FROM_RADII * radius_mm) & (away < outer) & local.inside
    first = surface(across[chosen] / outer, height[chosen])
    beside = np.column_stack([u[ring], v[ring]]) / outer
    coefficients = refined(first, beside, w[ring], local.hu[ring].astype(np.float64), found.threshold)
    above = w - quadric(u / outer, v / outer, coefficients)
    alone = _profile(above, ring, local.hu, local.step_mm, found.lung)
    return Wall(dense & (above <= 0), alone)


def _turned(shape: tuple[int, ...], centre: Points, step_mm: float, frame: Points) -> list[Points]:
    """mm of every cube from the cube's centre along the columns of `frame`: three (N, N, N)."""
    x, y, z = np.ogrid[tuple(slice(0, n) for n in shape)]
    i, j, k = ((index - middle) * step_mm for index, middle in zip((x, y, z), centre, strict=True))
    return [i * a + j * b + k * c for a, b, c in frame.T]


def _profile(above: Points, ring: Mask, hu: Field, step: float, lung: float) -> Field:
    """HU of the wall alone at each height `above` the pleura: the median at that height among the cubes of the ring."""
    bins = np.arange(-FADES_MM, FADES_MM, step / 2)
    near = ring & (np.abs(above) < FADES_MM)
    number = np.digitize(above[near], bins)
    order = np.argsort(number, kind="stable")
    edges = np.searchsorted(number[order], np.arange(1, len(bins) + 1))
    parts = np.split(hu[near][order], edges)[1:]
    heights = [b + step / 4 for b, part in zip(bins, parts, strict=True) if len(part)]
    values = [float(np.median(part)) for part in parts if len(part)]
    return np.asarray(np.interp(above, [*heights, FADES_MM], [*values, lung]), dtype=np.float32)


def _to_surface(surface: Mask, local: Local, threshold: float) -> Points:
    """How far in mm the threshold lies beyond the centre of each surface cube, from the slope of the density there."""
    along = np.asarray(np.gradient(local.smooth, local.step_mm))
    slope = np.linalg.norm(along[:, surface], axis=0)
    return np.asarray(np.clip((local.smooth[surface] - threshold) / np.maximum(slope, 1.0), 0.0, local.step_mm))


def _normal(rough: Mask, local: Local) -> Points | None:
    """Unit vector from the wall to the lung: against the mean direction of the wall's cubes near the nodule.

    None deep in a wall, which then lies on every side alike.
    """
    centre = (np.array(rough.shape) - 1) / 2
    places = (np.argwhere(rough) - centre) * local.step_mm
    length = np.linalg.norm(places, axis=1)
    near = length <= np.quantile(length, 0.5)
    mean = places[near].mean(axis=0)
    length_mm = float(np.linalg.norm(mean))
    return np.asarray(-mean / length_mm) if length_mm > 0 else None


def _frame(normal: Points) -> Points:
    """(3, 3) whose columns are two directions along the wall and its normal."""
    u = np.cross(normal, np.eye(3)[int(np.abs(normal).argmin())])
    u /= np.linalg.norm(u)
    return np.column_stack([u, np.cross(normal, u), normal])
