"""Label maps from the model grid to the source grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medimg import geometry


def labels_on_grid(
    labels: NDArray[np.uint8], affine: geometry.Affine, shape: tuple[int, int, int], target: geometry.Affine
) -> NDArray[np.uint8]:
    """Label map (I, J, K) moved to another grid of one frame by nearest neighbour: (I', J', K') uint8.

    Any orientation, spacing or shear. Only the box of the target that the labels can reach is computed.
    """
    from scipy import ndimage

    result = np.zeros(shape, dtype=np.uint8)
    occupied = np.argwhere(labels)
    if not len(occupied):
        return result
    start, stop = _reach(occupied.min(axis=0), occupied.max(axis=0), np.linalg.inv(target) @ affine, shape)
    if (stop <= start).any():
        return result
    to_labels = np.linalg.inv(affine) @ target
    offset = geometry.to_world(to_labels, start)
    # grid-constant: a voxel reaches half its width beyond its centre; "constant" would drop those at the edge that
    # rounding puts 1e-16 outside, whole faces of an oblique scan
    box = ndimage.affine_transform(
        labels, to_labels[:3, :3], offset, output_shape=tuple(stop - start), order=0, mode="grid-constant", cval=0
    )
    result[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = box
    return result


def _reach(
    low: NDArray[np.int64], high: NDArray[np.int64], to_target: geometry.Affine, shape: tuple[int, int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Target voxels [start, stop) around the labelled box, half a label voxel included on every side."""
    corners = np.array(np.meshgrid(*zip(low - 0.5, high + 0.5, strict=True), indexing="ij")).reshape(3, -1).T
    reached = geometry.to_world(to_target, corners)
    start = np.clip(np.floor(reached.min(axis=0)), 0, shape).astype(np.int64)
    stop = np.clip(np.ceil(reached.max(axis=0)) + 1, 0, shape).astype(np.int64)
    return start, stop
