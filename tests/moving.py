"""A chest and a head that move, on grids of their own: what registration must find is known exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from medimg import geometry
from medimg.followup.motion import Motion
from medimg.phantoms.nodules import Nodule
from medimg.study import Source, Volume

CHEST_SHAPE, CHEST_SPACING_MM = (100, 100, 64), (3.2, 3.2, 4.5)
NODULES = (Nodule((-70.0, 10.0, 40.0), 12.0), Nodule((75.0, -20.0, -20.0), 16.0), Nodule((-60.0, -30.0, -60.0), 9.0))


def rotation(*degrees: float) -> np.ndarray:
    """Rotation about x, then y, then z."""
    return Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()


def motion_of(degrees: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> Motion:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation(*degrees), shift_mm
    return Motion(matrix)


def volume_of(array: np.ndarray, affine_ras: np.ndarray, modality: str = "CT") -> Volume:
    return Volume(array, affine_ras, Source(Path("phantom.nii.gz"), "nifti"), modality)


def grid_about(center_lps_mm, shape, spacing_mm, degrees=(0.0, 0.0, 0.0)) -> np.ndarray:
    """Affine to LPS mm of a turned grid whose middle lies at a point."""
    affine = np.eye(4)
    affine[:3, :3] = rotation(*degrees) @ np.diag(spacing_mm)
    affine[:3, 3] = np.asarray(center_lps_mm) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def scanned_again(volume: Volume, motion: Motion, shape, affine_lps: np.ndarray, order: int = 1) -> Volume:
    """The same patient after `motion`, on another grid: interpolated, air or 0 outside."""
    to_voxel = np.linalg.inv(volume.affine_lps) @ motion.back().matrix @ affine_lps
    outside = -1000.0 if volume.modality == "CT" else 0.0
    array = ndimage.affine_transform(
        np.asarray(volume.array, np.float32), to_voxel[:3, :3], to_voxel[:3, 3], output_shape=shape, order=order,
        cval=outside,
    )  # fmt: skip
    return volume_of(array, geometry.swap_ras_lps(affine_lps), volume.modality)
