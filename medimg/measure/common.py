"""Measures of a set of voxels on any grid (flipped, oblique, anisotropic): boxes, centres, diameters.

Voxels are integer indices (N, 3); affines take them to RAS mm; results are in LPS mm.
"""

from __future__ import annotations

import math

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


def box_lps_mm(voxels: Voxels, affine_ras: ArrayLike) -> Box:
    """The smallest axis-aligned LPS box that holds the voxels whole, not only their centres."""
    affine = np.asarray(affine_ras, dtype=np.float64)
    points = geometry.ras_to_lps(geometry.to_world(affine, voxels))
    half = np.abs(affine[:3, :3]).sum(axis=1) / 2
    x0, y0, z0 = (float(v) for v in points.min(axis=0) - half)
    x1, y1, z1 = (float(v) for v in points.max(axis=0) + half)
    return (x0, y0, z0, x1, y1, z1)


def centroid_lps_mm(voxels: Voxels, affine_ras: ArrayLike) -> Point:
    """Mean position of the voxels in LPS mm."""
    x, y, z = geometry.ras_to_lps(geometry.to_world(affine_ras, voxels.mean(axis=0)))
    return (float(x), float(y), float(z))


def touches_border(voxels: Voxels, shape: tuple[int, int, int]) -> bool:
    """True when a voxel lies on a face of the scan: the object may go on outside, so its size is not known."""
    return bool((voxels.min(axis=0) == 0).any() or (voxels.max(axis=0) == np.asarray(shape) - 1).any())


def volume_mm3(voxels: Voxels, affine_ras: ArrayLike) -> float:
    """Number of voxels times the volume of one."""
    return len(voxels) * geometry.voxel_volume_mm3(affine_ras)


def equivalent_diameter_mm(volume: float) -> float:
    """Diameter of the sphere of this volume (mm3): (6 V / pi) ** (1/3)."""
    return float((6.0 * volume / math.pi) ** (1.0 / 3.0))


def axial_axes_mm(voxels: Voxels, affine_ras: ArrayLike) -> tuple[float, float]:
    """Long axis in the axial slice where it is longest, and the widest extent at right angles to it there, in mm.

    The bidimensional measure of RECIST 1.1 (Eisenhauer 2009) and RANO (Wen 2010). "Axial" slices are those
    along the voxel axis nearest to the patient's superior axis. OUTER_PIXELS (of the ellipse inscribed in a
    pixel) are added to the distance between outermost pixel centres.
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
    order = np.argsort(voxels[:, through], kind="stable")
    slices = np.split(voxels[order], np.flatnonzero(np.diff(voxels[order, through])) + 1)
    best = (0.0, 0.0)
    for in_slice in slices:
        projected = _row_ends(in_slice[:, [first, second]]) @ steps
        width = np.ptp(projected, axis=0) + margin
        at = int(width.argmax())
        if width[at] > best[0]:
            best = (float(width[at]), float(width[(at + len(angles) // 2) % len(angles)]))
    return best


def superior_axis(affine_ras: ArrayLike) -> int:
    """The voxel axis (0, 1, 2) that runs most nearly along superior-inferior."""
    codes = geometry.axis_codes(affine_ras)
    return next(axis for axis in range(3) if codes[axis] in "SI")


def _row_ends(pixels: Voxels) -> Voxels:
    """First and last pixel of each row: enough for every extreme of a pixel set, and far fewer points. (N, 2)."""
    order = np.lexsort((pixels[:, 1], pixels[:, 0]))
    sorted_pixels = pixels[order]
    is_first = np.append(True, np.diff(sorted_pixels[:, 0]) != 0)
    return np.asarray(sorted_pixels[is_first | np.append(is_first[1:], True)])
