"""Label maps from the model grid to the source grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medimg import geometry
from medimg.inference.roi import bounds

ON_GRID = 1e-3
"""Of a voxel: less than this is rounding of headers, and nearest neighbour gives the same label."""


def labels_on_grid(
    labels: NDArray[np.uint8], affine: geometry.Affine, shape: tuple[int, int, int], target: geometry.Affine
) -> NDArray[np.uint8]:
    """Label map (I, J, K) moved to another grid of one frame by nearest neighbour: (I', J', K') uint8.

    Any orientation, spacing or shear. Only the box of the target that the labels can reach is computed.
    """

    result = np.zeros(shape, dtype=np.uint8)
    occupied = labels > 0
    if not occupied.any():
        return result
    low, high = bounds(occupied)
    start, stop = _reach(low, high - 1, np.linalg.inv(target) @ affine, shape)
    if (stop <= start).any():
        return result
    to_labels = np.linalg.inv(affine) @ target
    box = _turned(labels, to_labels, start, stop)
    if box is None:
        box = _nearest(labels, to_labels, start, stop)
    result[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = box
    return result


def _nearest(
    labels: NDArray[np.uint8], to_labels: geometry.Affine, start: NDArray[np.int64], stop: NDArray[np.int64]
) -> NDArray[np.uint8]:
    from scipy import ndimage

    offset = geometry.to_world(to_labels, start)
    # grid-constant: a voxel reaches half its width beyond its centre; "constant" would drop those at the edge that
    # rounding puts 1e-16 outside, whole faces of an oblique scan
    return np.asarray(
        ndimage.affine_transform(
            labels, to_labels[:3, :3], offset, output_shape=tuple(stop - start), order=0, mode="grid-constant", cval=0
        )
    )


def _turned(
    labels: NDArray[np.uint8], to_labels: geometry.Affine, start: NDArray[np.int64], stop: NDArray[np.int64]
) -> NDArray[np.uint8] | None:
    """Target voxels [start, stop), where each is a voxel of `labels` or outside: axes exchanged and flipped, no more.

    None where the grids differ in anything else by more than ON_GRID of a voxel.
    """
    matrix = np.rint(to_labels[:3, :3])
    corners = np.array(np.meshgrid(*zip(start, stop - 1, strict=True), indexing="ij")).reshape(3, -1).T
    away = geometry.to_world(to_labels, corners) - corners @ matrix.T
    shift = np.rint(away[0])
    if not (np.abs(matrix).sum(axis=0) == 1).all() or not (np.abs(matrix).sum(axis=1) == 1).all():
        return None
    if np.abs(away - shift).max() > ON_GRID:
        return None
    order = np.abs(matrix).argmax(axis=0)  # target axis -> axis of `labels`
    moved = np.transpose(labels, order)
    wanted = [
        (matrix[axis, number] * np.arange(start[number], stop[number]) + shift[axis]).astype(np.int64)
        for number, axis in enumerate(order)
    ]
    inside = [(index >= 0) & (index < length) for index, length in zip(wanted, moved.shape, strict=True)]
    box = np.zeros([len(index) for index in wanted], dtype=np.uint8)
    box[np.ix_(*inside)] = moved[np.ix_(*(index[within] for index, within in zip(wanted, inside, strict=True)))]
    return box


def _reach(
    low: NDArray[np.int64], high: NDArray[np.int64], to_target: geometry.Affine, shape: tuple[int, int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Target voxels [start, stop) around the labelled box, half a label voxel included on every side."""
    corners = np.array(np.meshgrid(*zip(low - 0.5, high + 0.5, strict=True), indexing="ij")).reshape(3, -1).T
    reached = geometry.to_world(to_target, corners)
    start = np.clip(np.floor(reached.min(axis=0)), 0, shape).astype(np.int64)
    stop = np.clip(np.ceil(reached.max(axis=0)) + 1, 0, shape).astype(np.int64)
    return start, stop
