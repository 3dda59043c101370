"""Measures of a set of voxels on any grid (flipped, oblique, anisotropic): boxes, centres, diameters.

Voxels are integer indices (N, 3); affines take them to RAS mm; results are in LPS mm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medimg import geometry

OUTER_PIXELS = 0.5
"""Added to the distance between outermost pixel centres, in pixels. One pixel is right for a fixed direction, but the
longest of all directions meets nearly none of that gap: on spheres of 6 to 30 pixels across, half a pixel leaves
+0.15 +- 0.1 pixel of bias in the long axis and -0.1 +- 0.15 in the short one."""

Box = tuple[float, float, float, float, float, float]
"""(x0, y0, z0, x1, y1, z1) in LPS mm, lower and upper corner, axis-aligned."""

Point = tuple[float, float, float]
"""(x, y, z) in LPS mm."""

Voxels = NDArray[np.integer]
"""Voxel indices, (N, 3)."""

FERET_STEP_DEGREES = 2
"""Angle between the directions in which a diameter is looked for; 0.02 % at most is missed (1 - cos 1 degree)."""

CHORD_PIXELS = 1.5
"""Width in pixels of the strips in which a short axis is looked for: every strip holds points of both sides."""


def box_lps_mm(voxels: Voxels, affine_ras: ArrayLike) -> Box:
    """The smallest axis-aligned LPS box that holds the voxels whole, not only their centres."""
    affine = np.asarray(affine_ras, dtype=np.float64)
    points = geometry.ras_to_lps(geometry.to_world(affine, line_ends(voxels, 2)))
    half = np.abs(affine[:3, :3]).sum(axis=1) / 2
    x0, y0, z0 = (float(v) for v in points.min(axis=0) - half)
    x1, y1, z1 = (float(v) for v in points.max(axis=0) + half)
    return (x0, y0, z0, x1, y1, z1)


def line_ends(voxels: Voxels, axis: int) -> Voxels:
    """First and last voxel of each line along `axis`: enough for every extreme, and far fewer points. (M, 3)."""
    low = voxels.min(axis=0)
    shape = voxels.max(axis=0) - low + 1
    mask = np.zeros(shape, dtype=bool)
    # one number a voxel: three columns as an index take twice the time
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    number = voxels[:, 0] * strides[0]
    number += voxels[:, 1] * strides[1]
    number += voxels[:, 2]
    mask.reshape(-1)[number - low @ strides] = True
    return np.asarray(mask_line_ends(mask, axis) + low)


def mask_line_ends(mask: NDArray[np.bool_], axis: int) -> Voxels:
    """`line_ends` of the true voxels of mask (I, J, K)."""
    lines = np.moveaxis(mask, axis, 0)
    a, b = np.nonzero(lines.any(axis=0))
    first = lines.argmax(axis=0)[a, b]
    last = len(lines) - 1 - lines[::-1].argmax(axis=0)[a, b]
    both = np.stack([np.stack([along, a, b]) for along in (first, last)], axis=-1).reshape(3, -1)
    others = [other for other in range(3) if other != axis]
    found = np.empty((both.shape[1], 3), dtype=np.int64)
    found[:, [axis, *others]] = both.T
    return found


def centroid_lps_mm(voxels: Voxels, affine_ras: ArrayLike) -> Point:
    """Mean position of the voxels in LPS mm."""
    x, y, z = geometry.ras_to_lps(geometry.to_world(affine_ras, voxels.mean(axis=0)))
    return (float(x), float(y), float(z))


def mean_index(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean position (3,) of the true voxels of mask (I, J, K), without listing them."""
    sides = [np.count_nonzero(mask, axis=tuple({0, 1, 2} - {axis})) for axis in range(3)]
    return np.array([np.arange(len(side)) @ side / side.sum() for side in sides])


def touches_border(voxels: Voxels, shape: tuple[int, int, int]) -> bool:
    """True when a voxel lies on a face of the scan: the object may go on outside, so its size is not known."""
    return bool((voxels.min(axis=0) == 0).any() or (voxels.max(axis=0) == np.asarray(shape) - 1).any())


def volume_mm3(voxels: Voxels, affine_ras: ArrayLike) -> float:
    """Number of voxels times the volume of one."""
    return len(voxels) * geometry.voxel_volume_mm3(affine_ras)


def equivalent_diameter_mm(volume: float) -> float:
    """Diameter of the sphere of this volume (mm3): (6 V / pi) ** (1/3)."""
    return float((6.0 * volume / math.pi) ** (1.0 / 3.0))


@dataclass(frozen=True)
class Axes:
    """Long axis in the axial plane where it is longest, and the longest chord at right angles to it there.

    long_ends, short_ends: their end points, (2, 3) RAS mm.
    """

    long_mm: float
    short_mm: float
    long_ends: geometry.Points
    short_ends: geometry.Points

    @property
    def product_mm2(self) -> float:
        """The bidimensional product of RANO and WHO."""
        return self.long_mm * self.short_mm


def axial_axes(voxels: Voxels, affine_ras: ArrayLike) -> Axes:
    """The bidimensional measure of RECIST 1.1 (Eisenhauer 2009) and RANO (Wen 2010) of a set of voxels.

    "Axial" slices are those along the voxel axis nearest to the patient's superior axis. OUTER_PIXELS (of the ellipse
    inscribed in a pixel) are added to the distance between outermost pixel centres.
    """
    affine = np.asarray(affine_ras, dtype=np.float64)
    through = superior_axis(affine)
    first, second = (axis for axis in range(3) if axis != through)
    u, v = affine[:3, first], affine[:3, second]
    # plane coordinates in mm: u along x, the part of v at right angles to u along y
    unit_u = u / np.linalg.norm(u)
    unit_v = v - (v @ unit_u) * unit_u
    unit_v /= np.linalg.norm(unit_v)
    plane = np.array([[u @ unit_u, u @ unit_v], [v @ unit_u, v @ unit_v]])
    angles = np.deg2rad(np.arange(0, 180, FERET_STEP_DEGREES))
    # (2, angles): mm along each direction for one step along the first and second axis
    steps = plane @ np.stack([np.cos(angles), np.sin(angles)])
    margin = OUTER_PIXELS * np.linalg.norm(steps, axis=0)
    ends = line_ends(voxels, second)
    ends = ends[np.argsort(ends[:, through], kind="stable")]
    best, number, at = 0.0, int(ends[0, through]), 0
    for in_slice in np.split(ends, np.flatnonzero(np.diff(ends[:, through])) + 1):
        width = np.ptp(in_slice[:, [first, second]] @ steps, axis=0) + margin
        if width.max() > best:
            best, number, at = float(width.max()), int(in_slice[0, through]), int(width.argmax())
    chosen = voxels[voxels[:, through] == number]
    across = (at + len(angles) // 2) % len(angles)
    along, beside = (chosen[:, [first, second]] @ steps[:, [at, across]]).T
    low, high = longest_chord(along, beside, CHORD_PIXELS * float(np.linalg.norm(steps[:, at])))
    world = geometry.to_world(affine, chosen)
    return Axes(
        best,
        float(beside[high] - beside[low] + margin[across]),
        world[[int(along.argmin()), int(along.argmax())]],
        world[[low, high]],
    )


def longest_chord(along: NDArray[np.float64], beside: NDArray[np.float64], strip: float) -> tuple[int, int]:
    """Indices (low, high) of the two points of one strip that are furthest apart.

    along, beside: (N,) coordinates in a plane. A strip is `strip` wide along the one and measured along the other.
    """
    best, ends = -1.0, (0, 0)
    # strips that overlap by half: a chord on a border between two is not lost
    for shift in (0.0, 0.5):
        cell = np.floor(along / strip + shift).astype(np.int64)
        order = np.lexsort((beside, cell))
        starts = np.flatnonzero(np.append(True, np.diff(cell[order]) != 0))
        lows, highs = order[starts], order[np.append(starts[1:], len(order)) - 1]
        length = beside[highs] - beside[lows]
        at = int(length.argmax())
        if length[at] > best:
            best, ends = float(length[at]), (int(lows[at]), int(highs[at]))
    return ends


def max_diameter_mm(voxels: Voxels, affine_ras: ArrayLike) -> float:
    """Largest distance in space between two voxels, OUTER_PIXELS added as in the plane."""
    affine = np.asarray(affine_ras, dtype=np.float64)
    first, second = furthest_apart(geometry.to_world(affine, line_ends(voxels, 2)))
    length = float(np.linalg.norm(second - first))
    direction = (second - first) / length if length > 0 else np.array([0.0, 0.0, 1.0])
    return length + OUTER_PIXELS * float(np.linalg.norm(affine[:3, :3].T @ direction))


def furthest_apart(points_mm: geometry.Points) -> tuple[geometry.Points, geometry.Points]:
    """The two of the points (N, 3) with the largest distance, by their convex hull."""
    from scipy.spatial import ConvexHull, QhullError
    from scipy.spatial.distance import cdist

    try:
        points_mm = points_mm[ConvexHull(points_mm).vertices]
    except (QhullError, ValueError):
        # flat or too few for a hull in space: the ends along many directions do
        angles = np.deg2rad(np.arange(0, 180, FERET_STEP_DEGREES))
        flat = points_mm - points_mm.mean(axis=0)
        _, _, axes = np.linalg.svd(flat, full_matrices=False) if len(flat) > 1 else (0, 0, np.eye(3))
        along = flat @ axes[:2].T @ np.stack([np.cos(angles), np.sin(angles)])[: len(axes[:2])]
        points_mm = points_mm[np.unique(np.concatenate([along.argmin(axis=0), along.argmax(axis=0)]))]
    distance = cdist(points_mm, points_mm)
    i, j = np.unravel_index(int(distance.argmax()), distance.shape)
    return points_mm[i], points_mm[j]


def ends_lps_mm(ends_ras: geometry.Points) -> list[float]:
    """Two points (2, 3) in RAS mm as [x0, y0, z0, x1, y1, z1] in LPS mm, rounded to 1e-3."""
    return [round(float(value), 3) for value in geometry.ras_to_lps(ends_ras).ravel()]


def superior_axis(affine_ras: ArrayLike) -> int:
    """The voxel axis (0, 1, 2) that runs most nearly along superior-inferior."""
    codes = geometry.axis_codes(affine_ras)
    return next(axis for axis in range(3) if codes[axis] in "SI")
