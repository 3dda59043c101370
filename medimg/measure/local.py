"""The surroundings of one detection on a fine grid of cubes, so that nothing depends on how the scan was sampled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medimg import geometry
from medimg.study import Volume

Mask = NDArray[np.bool_]
Field = NDArray[np.float32]

FINEST_MM, COARSEST_MM = 0.5, 0.8
"""Edge of the cubes: no scan of the chest resolves the first, no nodule of 16 mm or more needs less than the second."""

CUBES_ACROSS = 20
"""Cubes along the detected diameter, between these two limits."""

MOST_CUBES_ACROSS = 35
"""A mass of 28 mm or more gets larger cubes: no more of them along its diameter, so that it costs seconds at most."""

SMOOTHING_MM = 0.5
"""Standard deviation of the blur against noise, before anything is compared with a threshold."""

KERNEL_MM = 0.5
"""Standard deviation of the blur of a medium to sharp reconstruction kernel in the plane (1.2 mm at half maximum)."""

PADDING = 1
"""Voxels more than the ball needs: what interpolation reads."""


@dataclass(frozen=True)
class Local:
    """A cube about a detection.

    hu: (N, N, N) float32, linear interpolation. inside: the cubes whose centre lies in the scan.
    affine_ras: cube index -> RAS mm; its axes run along the scan's own, made orthogonal. step_mm: edge of a cube.
    distance: (N, N, N) mm from the detection. blur_mm: standard deviation of what blurs an edge of hu, on average over
    the directions: kernel, voxels and interpolation.
    """

    hu: Field
    inside: Mask
    affine_ras: geometry.Affine
    step_mm: float
    distance: Field
    blur_mm: float

    @cached_property
    def smooth(self) -> Field:
        """hu after a Gaussian of SMOOTHING_MM."""
        from scipy import ndimage

        return np.asarray(ndimage.gaussian_filter(self.hu, SMOOTHING_MM / self.step_mm, truncate=3.0))


def local_cubes(volume: Volume, center_ras: geometry.Points, radius_mm: float, reach_mm: float) -> Local | None:
    """The ball of `reach_mm` about `center_ras` (3,), resampled; None where the centre lies outside the scan."""
    from scipy import ndimage

    index = geometry.to_voxel(volume.affine_ras, center_ras)
    if ((index < -0.5) | (index > np.array(volume.shape) - 0.5)).any():
        return None
    diameter = 2 * radius_mm
    step = max(float(np.clip(diameter / CUBES_ACROSS, FINEST_MM, COARSEST_MM)), diameter / MOST_CUBES_ACROSS)
    half = int(np.ceil(reach_mm / step))
    axes = _orthonormal(volume.affine_ras) * step
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = np.asarray(center_ras) - axes.sum(axis=1) * half
    start, crop = _crop(volume, affine, 2 * half + 1)
    to_crop = np.linalg.inv(geometry.shifted(volume.affine_ras, start)) @ affine
    matrix = to_crop[:3, :3]
    straight = np.allclose(matrix, np.diag(np.diag(matrix)), atol=1e-6)
    hu = ndimage.affine_transform(
        crop.astype(np.float32),
        np.diag(matrix) if straight else matrix,
        to_crop[:3, 3],
        output_shape=(2 * half + 1,) * 3,
        order=1,
        mode="nearest",
    )
    line = (np.arange(2 * half + 1) - half) * step
    squares = line.astype(np.float32) ** 2
    distance = np.sqrt(squares[:, None, None] + squares[None, :, None] + squares[None, None, :])
    return Local(hu, _in_scan(volume, affine, 2 * half + 1), affine, step, distance, _blur_mm(volume))


def _blur_mm(volume: Volume) -> float:
    """A voxel averages over its box (variance s2 / 12), linear interpolation over a triangle (s2 / 6)."""
    return float(np.sqrt(KERNEL_MM**2 + np.mean(volume.spacing_mm**2) / 4))


def _orthonormal(affine: geometry.Affine) -> NDArray[np.float64]:
    """Unit vectors nearest to the voxel axes that are at right angles (polar decomposition), as columns."""
    left, _, right = np.linalg.svd(affine[:3, :3] / geometry.spacing_mm(affine))
    return np.asarray(left @ right)


def _crop(volume: Volume, affine: geometry.Affine, count: int) -> tuple[NDArray[np.int64], NDArray[np.generic]]:
    """First voxel and voxels of the scan that the cubes reach."""
    corners = np.array(np.meshgrid(*[(0, count - 1)] * 3, indexing="ij")).reshape(3, -1).T
    reached = geometry.to_voxel(volume.affine_ras, geometry.to_world(affine, corners))
    limit = np.array(volume.shape)
    start = np.clip(np.floor(reached.min(axis=0)).astype(np.int64) - PADDING, 0, limit - 1)
    stop = np.clip(np.ceil(reached.max(axis=0)).astype(np.int64) + 1 + PADDING, start + 1, limit)
    return start, volume.array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]


def _in_scan(volume: Volume, affine: geometry.Affine, count: int) -> Mask:
    """Which cubes have their centre in a voxel of the scan."""
    matrix = np.linalg.inv(volume.affine_ras) @ affine
    line = np.arange(count)
    result = np.ones((count,) * 3, dtype=bool)
    for axis, size in enumerate(volume.shape):
        a, b, c, d = matrix[axis]
        index = a * line[:, None, None] + b * line[None, :, None] + c * line[None, None, :] + d
        result &= (index >= -0.5) & (index <= size - 0.5)
    return result
