"""A scan on a coarse grid of cubic voxels along L, P and S, as registration takes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medimg import geometry
from medimg.study import Volume

CT_RANGE_HU = (-1000.0, 300.0)
"""Air to soft tissue with contrast: bone and metal, of which thick slices hold half, do not outweigh the lungs."""

BLUR_SHARE = 0.4
"""Gaussian sigma before thinning out, as a share of the step in voxels: little finer than the new grid is left."""

MAX_PERCENTILE = 99.5
"""MR values above it (vessels, fat at a coil) count as this."""


@dataclass(frozen=True)
class WorkingScan:
    """array: (L, P, S) float32, 0 (air, background) to 1; spacing_mm: of its cubic voxels; origin_lps_mm: voxel 0."""

    array: NDArray[np.float32]
    spacing_mm: float
    origin_lps_mm: NDArray[np.float64]

    def image(self) -> Any:
        """The same as a SimpleITK image (whose frame is LPS too)."""
        import SimpleITK as sitk

        image = sitk.GetImageFromArray(np.ascontiguousarray(self.array.transpose(2, 1, 0)))
        image.SetSpacing([self.spacing_mm] * 3)
        image.SetOrigin(self.origin_lps_mm.tolist())
        return image

    @property
    def center_lps_mm(self) -> NDArray[np.float64]:
        """The middle of the grid."""
        return np.asarray(self.origin_lps_mm + (np.array(self.array.shape) - 1) / 2 * self.spacing_mm)

    def centroid_lps_mm(self) -> NDArray[np.float64]:
        """The middle of what is not air or background."""
        filled = np.argwhere(self.array > np.float32(0.5) * self.array.max())
        return np.asarray(self.origin_lps_mm + filled.mean(axis=0) * self.spacing_mm)

    def coarser(self, factor: int) -> WorkingScan:
        """Averaged over cubes of `factor` voxels a side."""
        shape = [n // factor * factor for n in self.array.shape]
        cut = self.array[: shape[0], : shape[1], : shape[2]]
        blocks = cut.reshape(shape[0] // factor, factor, shape[1] // factor, factor, shape[2] // factor, factor)
        origin = self.origin_lps_mm + (factor - 1) / 2 * self.spacing_mm
        return replace(
            self,
            array=np.asarray(blocks.mean(axis=(1, 3, 5)), np.float32),
            spacing_mm=self.spacing_mm * factor,
            origin_lps_mm=origin,
        )


def working_scan(volume: Volume, spacing_mm: float) -> WorkingScan:
    """`volume`, whatever its orientation, spacing or shear, on cubes of `spacing_mm`; outside it is air or 0."""
    values = normalised(volume)
    step = np.maximum(spacing_mm / volume.spacing_mm, 1.0)
    blurred = ndimage.gaussian_filter(values, np.where(step > 1.0, BLUR_SHARE * step, 0.0), truncate=3.0)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in volume.shape], indexing="ij")).reshape(3, -1).T
    reach = geometry.to_world(volume.affine_lps, corners)
    origin = reach.min(axis=0)
    shape = np.floor((reach.max(axis=0) - origin) / spacing_mm).astype(int) + 1
    grid = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    grid[:3, 3] = origin
    to_voxel = np.linalg.inv(volume.affine_lps) @ grid
    array = ndimage.affine_transform(
        blurred, to_voxel[:3, :3], to_voxel[:3, 3], output_shape=tuple(shape), order=1, mode="constant", cval=0.0
    )
    return WorkingScan(np.asarray(array, np.float32), spacing_mm, origin)


def normalised(volume: Volume) -> NDArray[np.float32]:
    """Values from 0 to 1: CT within CT_RANGE_HU, everything else from 0 (its background) to MAX_PERCENTILE."""
    array = np.asarray(volume.array, dtype=np.float32)
    low, high = CT_RANGE_HU if volume.modality == "CT" else (0.0, _bright(array))
    return np.asarray(np.clip((array - np.float32(low)) / np.float32(high - low), 0.0, 1.0), dtype=np.float32)


def _bright(array: NDArray[np.float32]) -> float:
    shown = array[array > 0]
    return max(float(np.percentile(shown, MAX_PERCENTILE)), 1e-6) if shown.size else 1.0
