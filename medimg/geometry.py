"""Affines and world frames: pure functions on numpy arrays, no I/O.

An affine is a (4, 4) float64 matrix that takes voxel indices (i, j, k, 1) to millimetres.
RAS (NIfTI): x grows to the patient's right, y to anterior, z to superior.
LPS (DICOM PS3.3 C.7.6.2, ITK, LUNA16): x grows to the left, y to posterior, z to superior.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Affine = NDArray[np.float64]
Points = NDArray[np.float64]

LPS_TO_RAS: Affine = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Its own inverse: the same matrix takes RAS to LPS."""

SINGULAR_VOXEL_VOLUME_MM3 = 1e-9
"""Below this a voxel has no volume and the affine cannot be inverted soundly."""

MAX_SHEAR_COSINE = 1e-4
"""What rounded direction cosines leave between axes that are meant to be at right angles."""


def swap_ras_lps(affine: ArrayLike) -> Affine:
    """Affine to RAS mm from one to LPS mm, or the other way round. Shape (4, 4) -> (4, 4)."""
    return np.asarray(LPS_TO_RAS @ np.asarray(affine, dtype=np.float64))


def spacing_mm(affine: ArrayLike) -> NDArray[np.float64]:
    """Distance between neighbouring voxel centres along i, j, k in mm. (4, 4) -> (3,)."""
    return np.asarray(np.linalg.norm(np.asarray(affine, dtype=np.float64)[:3, :3], axis=0))


def voxel_volume_mm3(affine: ArrayLike) -> float:
    """Volume of one voxel in mm3; right for sheared (gantry-tilted) affines too."""
    return float(abs(np.linalg.det(np.asarray(affine, dtype=np.float64)[:3, :3])))


def is_usable(affine: ArrayLike) -> bool:
    """True when the affine is finite, (4, 4) and invertible."""
    matrix = np.asarray(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        return False
    return voxel_volume_mm3(matrix) > SINGULAR_VOXEL_VOLUME_MM3


def is_sheared(affine: ArrayLike) -> bool:
    """True when two axes are not at right angles (a gantry-tilted stack): cosines above MAX_SHEAR_COSINE."""
    axes = np.asarray(affine, dtype=np.float64)[:3, :3] / spacing_mm(affine)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > MAX_SHEAR_COSINE)


def to_world(affine: ArrayLike, voxels: ArrayLike) -> Points:
    """Voxel indices (..., 3) to mm (..., 3) in the affine's own frame."""
    matrix = np.asarray(affine, dtype=np.float64)
    return np.asarray(np.asarray(voxels, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3])


def to_voxel(affine: ArrayLike, points: ArrayLike) -> Points:
    """Points in mm (..., 3) in the affine's own frame to fractional voxel indices (..., 3)."""
    return to_world(np.linalg.inv(np.asarray(affine, dtype=np.float64)), points)


def ras_to_lps(points: ArrayLike) -> Points:
    """Points (..., 3) in RAS mm to LPS mm; the same function goes back."""
    return np.asarray(np.asarray(points, dtype=np.float64) * np.array([-1.0, -1.0, 1.0]))


lps_to_ras = ras_to_lps


def shifted(affine: ArrayLike, start: ArrayLike) -> Affine:
    """Affine of the sub-array that begins at voxel `start` (3,)."""
    result = np.array(affine, dtype=np.float64)
    result[:3, 3] = to_world(affine, start)
    return result


def axis_codes(affine: ArrayLike) -> str:
    """Letters of the patient direction each voxel axis runs to, e.g. "LPS" for RAS-mm affine diag(-1,-1,1)."""
    matrix = np.asarray(affine, dtype=np.float64)[:3, :3] / spacing_mm(affine)
    codes, free = [""] * 3, [0, 1, 2]
    # strongest cosine first, so that an oblique grid gets each letter once
    for axis in np.argsort(-np.abs(matrix).max(axis=0)):
        world = max(free, key=lambda row: abs(matrix[row, axis]))
        free.remove(world)
        codes[axis] = ("RAS" if matrix[world, axis] > 0 else "LPI")[world]
    return "".join(codes)


def same_grid(shape_a: Any, affine_a: ArrayLike, shape_b: Any, affine_b: ArrayLike, tolerance_mm: float) -> bool:
    """True when both grids have one shape and no corner is further apart than `tolerance_mm`."""
    if tuple(shape_a) != tuple(shape_b):
        return False
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape_a], indexing="ij")).reshape(3, -1).T
    distance = np.linalg.norm(to_world(affine_a, corners) - to_world(affine_b, corners), axis=1)
    return bool(distance.max() <= tolerance_mm)
