"""Where there is something to see: the body, the box around the brain, the box around the lungs.

Windows that see nothing of the body are never run. Boxes are for --fast: cutting an image down moves the windows, which
changes what a network with statistics over its window (GroupNorm, InstanceNorm) says.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medimg import geometry
from medimg.inference.plan import Triple, triple
from medimg.inference.roi import bounds, lungs, outline
from medimg.study import Volume

MARGIN_MM = 8.0
"""Context that a network sees beyond a box."""

Box = tuple[Triple, Triple]


def body_region(volume: Volume, shape: Sequence[int], affine_ras: geometry.Affine) -> NDArray[np.bool_] | None:
    """Where the patient of a CT in HU is, on a grid of `shape` with `affine_ras`; None where no outline is found."""
    if volume.modality != "CT":
        return None
    mask, mask_affine = outline(volume)
    if not mask.any():
        return None
    return _on_grid(mask, mask_affine, shape, affine_ras)


def lung_box(volume: Volume, shape: Sequence[int], affine_ras: geometry.Affine) -> Box | None:
    """[start, stop) on the grid around the lungs of a CT in HU; None where there are none."""
    region = lungs(volume) if volume.modality == "CT" else None
    if region is None:
        return None
    corners = np.array(np.meshgrid(*zip(region.start, region.stop, strict=True), indexing="ij")).reshape(3, -1).T
    voxels = geometry.to_voxel(affine_ras, geometry.to_world(volume.affine_ras, corners - 0.5))
    return _within(np.floor(voxels.min(axis=0)), np.ceil(voxels.max(axis=0)) + 1, shape)


def brain_box(image: NDArray[np.float32], affine_ras: geometry.Affine) -> Box | None:
    """[start, stop) around what is not 0 in image (C, I, J, K); None where everything is (no skull-stripped brain)."""
    seen = (image != 0).any(axis=0)
    if not seen.any() or seen.all():
        return None
    low, high = bounds(seen)
    margin = MARGIN_MM / geometry.spacing_mm(affine_ras)
    return _within(np.floor(low - margin), np.ceil(high + margin), image.shape[1:])


def _within(low: NDArray[np.float64], high: NDArray[np.float64], shape: Sequence[int]) -> Box | None:
    start, stop = np.clip(low, 0, shape), np.clip(high, 0, shape)
    return (triple(start), triple(stop)) if (start < stop).all() else None


def _on_grid(
    mask: NDArray[np.bool_], mask_affine: geometry.Affine, shape: Sequence[int], affine_ras: geometry.Affine
) -> NDArray[np.bool_]:
    from scipy import ndimage

    matrix = np.linalg.inv(mask_affine) @ affine_ras
    return np.asarray(
        ndimage.affine_transform(mask, matrix[:3, :3], matrix[:3, 3], tuple(shape), order=0, mode="nearest")
    )
