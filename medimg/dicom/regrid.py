"""Slices onto an even, orthogonal grid: linear interpolation between slices, then within each slice plane.

Both steps are one pass over the slices of the new grid, so that integers are rounded once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg import geometry

ON_GRID = 1e-4
"""A shift within this part of a voxel of a whole number moves voxels without interpolating them."""

Plane = NDArray[Any]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Regridded:
    """array (I, J, K) of the source's type on its new grid; made_up: where no voxel was scanned.

    made_up_slices: numbers k of the slices that were interpolated between others.
    """

    array: NDArray[Any]
    affine_ras: geometry.Affine
    made_up: Mask
    made_up_slices: tuple[int, ...]


@dataclass(frozen=True)
class Slide:
    """How far slices lie aside of an orthogonal stack.

    step: voxels along (j, i) per slice; low: the lowest shift, rounded down; room: voxels the field of view grows.
    """

    step: NDArray[np.float64]
    low: NDArray[np.int64]
    room: NDArray[np.int64]


def regrid(
    array: NDArray[Any],
    affine_ras: geometry.Affine,
    at: NDArray[np.float64],
    count: int,
    *,
    untilt: bool = False,
    outside: float = 0.0,
) -> Regridded:
    """Bring slices that lie `at` (N,) places of a grid of `count` slices onto that grid.

    array: (I, J, N) as scanned; affine_ras: of the grid. A scanned slice on a whole place is kept as it is; any
    other place is interpolated linearly between its neighbours along the stack's own axis (beyond the ends, by less
    than half a slice, it repeats the last slice). untilt: slide every slice within its plane by linear interpolation
    until the grid is orthogonal; nothing is cut, and what lies outside the scan becomes `outside`. Integers are
    rounded.
    """
    planes = array.transpose(2, 1, 0)
    slide = _slide(affine_ras, count, untilt)
    rows, columns = np.array(planes.shape[1:]) + slide.room
    result: NDArray[Any] = np.full((count, rows, columns), outside, array.dtype)
    made_up: Mask = np.ones(result.shape, dtype=np.bool_)
    between = []
    for k in range(count):
        plane, scanned = _plane_at(planes, at, k)
        window, moved = _slid(plane, k * slide.step - slide.low)
        result[k][window] = np.rint(moved) if array.dtype.kind in "iu" and moved.dtype.kind == "f" else moved
        made_up[k][window] = not scanned
        if not scanned:
            between.append(k)
    affine = _orthogonal(affine_ras, slide) if untilt else affine_ras
    return Regridded(result.transpose(2, 1, 0), affine, made_up.transpose(2, 1, 0), tuple(between))


def new_grid(
    shape: tuple[int, int, int], affine_ras: geometry.Affine, untilt: bool
) -> tuple[tuple[int, int, int], geometry.Affine]:
    """Shape (I, J, K) and affine that `regrid` gives a stack whose even grid has this shape and affine."""
    slide = _slide(affine_ras, shape[2], untilt)
    affine = _orthogonal(affine_ras, slide) if untilt else affine_ras
    return (shape[0] + int(slide.room[1]), shape[1] + int(slide.room[0]), shape[2]), affine


def tilt_degrees(affine_ras: geometry.Affine) -> float:
    """Angle between the step from slice to slice and the normal of the slices: 0 for an orthogonal stack."""
    step, normal = affine_ras[:3, 2], _normal(affine_ras)
    return math.degrees(math.atan2(float(np.linalg.norm(np.cross(normal, step))), float(normal @ step)))


def _normal(affine: geometry.Affine) -> NDArray[np.float64]:
    """Unit normal of the slices on the side where k grows, (3,)."""
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    normal /= np.linalg.norm(normal)
    return np.asarray(normal * np.sign(normal @ affine[:3, 2]))


def _slide(affine: geometry.Affine, count: int, untilt: bool) -> Slide:
    if not untilt:
        return Slide(np.zeros(2), np.zeros(2, int), np.zeros(2, int))
    axes = affine[:3, [1, 0]]
    step = (affine[:3, 2] @ axes) / (axes**2).sum(axis=0)
    last = step * (count - 1)
    low = np.floor(np.minimum(last, 0.0) + ON_GRID).astype(np.int64)
    high = np.ceil(np.maximum(last, 0.0) - ON_GRID).astype(np.int64)
    return Slide(step, low, high - low)


def _orthogonal(affine: geometry.Affine, slide: Slide) -> geometry.Affine:
    """The affine with k along the normal, and its origin moved to the grown field of view."""
    result = np.array(affine, dtype=np.float64)
    normal = _normal(affine)
    result[:3, 2] = normal * (normal @ affine[:3, 2])
    return geometry.shifted(result, (slide.low[1], slide.low[0], 0))


def _plane_at(planes: NDArray[Any], at: NDArray[np.float64], k: int) -> tuple[Plane, bool]:
    """Slice k of the even grid, (J, I), and whether it was scanned; interpolated ones are float."""
    upper = int(np.searchsorted(at, k))
    if upper < len(at) and at[upper] == k:
        return planes[upper], True
    if upper in (0, len(at)):
        return planes[max(upper - 1, 0)], False
    weight = (k - at[upper - 1]) / (at[upper] - at[upper - 1])
    kind = np.result_type(planes.dtype, np.float32)
    below, above = planes[upper - 1].astype(kind), planes[upper].astype(kind)
    return np.asarray(below + (above - below) * kind.type(weight)), False


def _slid(plane: Plane, shift: NDArray[np.float64]) -> tuple[tuple[slice, slice], Plane]:
    """The plane (J, I) moved by `shift` (j, i) >= 0 voxels: where it comes to lie, and its values there."""
    windows = []
    for axis in (0, 1):
        whole = math.floor(shift[axis] + ON_GRID)
        part = shift[axis] - whole
        start = whole
        if part > ON_GRID:
            start += 1
            plane = _halfway(plane, axis, part)
        windows.append(slice(start, start + plane.shape[axis]))
    return (windows[0], windows[1]), plane


def _halfway(plane: Plane, axis: int, part: float) -> Plane:
    """Values `part` of a voxel before each voxel but the first, along the axis."""
    kind = np.result_type(plane.dtype, np.float32)
    plane = plane.astype(kind, copy=False)
    here, before = (plane[1:], plane[:-1]) if axis == 0 else (plane[:, 1:], plane[:, :-1])
    return np.asarray(here + (before - here) * kind.type(part))
