"""A volume on the detectors' own grid: RAS axes, cubic voxels."""

from __future__ import annotations

import numpy as np

from medimg.study import Volume

VOXEL_MM = 1.0
"""Spacing of the lung detectors' grid."""


def isotropic(volume: Volume, spacing_mm: float = VOXEL_MM) -> Volume:
    """The volume on axes that run R, A, S at `spacing_mm`, linear, HU rounded to int16; first voxel's centre kept."""
    import SimpleITK as sitk

    turned = volume.canonical()
    image = sitk.GetImageFromArray(np.ascontiguousarray(turned.array.transpose(2, 1, 0), np.float32))
    spacing = turned.spacing_mm
    image.SetSpacing(spacing.tolist())
    size = [int(np.floor((n - 1) * s / spacing_mm)) + 1 for n, s in zip(image.GetSize(), spacing, strict=True)]
    resampled = sitk.Resample(
        image, size, sitk.Transform(), sitk.sitkLinear, [0.0] * 3, [spacing_mm] * 3, np.eye(3).ravel().tolist()
    )
    array = np.rint(sitk.GetArrayFromImage(resampled).transpose(2, 1, 0)).astype(np.int16)
    affine = turned.affine_ras @ np.diag([*(spacing_mm / spacing), 1.0])
    return Volume(np.ascontiguousarray(array), affine, volume.source, volume.modality)
