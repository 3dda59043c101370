"""A grid made coarser: the mean of blocks of voxels, their labels, and where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg import geometry

ALIKE = 1.1
"""Axes whose spacing is within this ratio of the finest are averaged together."""

Steps = tuple[int, int, int]
"""Voxels of a block along i, j, k."""

Box = tuple[slice, slice, slice]


def block_mean(array: NDArray[Any], steps: Steps) -> NDArray[Any]:
    """Mean over blocks; the array itself where a block is one voxel."""
    return array if steps == (1, 1, 1) else block_sum(array, steps) / np.float32(np.prod(steps))


def block_sum(array: NDArray[Any], steps: Steps) -> NDArray[Any]:
    """Sum over blocks of steps[0] x steps[1] x steps[2] voxels, whose number divides the shape."""
    kind = np.float32 if array.dtype.kind == "f" else np.int32
    total = np.zeros([n // step for n, step in zip(array.shape, steps, strict=True)], dtype=kind, order="F")
    for i, j, k in np.ndindex(*steps):
        total += array[i :: steps[0], j :: steps[1], k :: steps[2]]
    return total


def coarser(steps: Steps, spacing_mm: NDArray[np.float64], box: Box) -> Steps | None:
    """One more voxel averaged along the finest axes that have one more; None when none has."""
    room = np.array([part.stop - part.start > step for part, step in zip(box, steps, strict=True)])
    if not room.any():
        return None
    now = spacing_mm * steps
    finest = room & (now <= ALIKE * now[room].min())
    i, j, k = (step + int(more) for step, more in zip(steps, finest, strict=True))
    return (i, j, k)


def trimmed(box: Box, steps: Steps) -> Box:
    """The box without the last voxels that fill no block."""
    ends = [part.start + (part.stop - part.start) // step * step for part, step in zip(box, steps, strict=True)]
    i, j, k = (slice(part.start, end) for part, end in zip(box, ends, strict=True))
    return (i, j, k)


def block_affine(affine_ras: geometry.Affine, box: Box, steps: Steps) -> geometry.Affine:
    """Voxel -> RAS mm of the blocks: their centres."""
    middle = [part.start + (step - 1) / 2 for part, step in zip(box, steps, strict=True)]
    moved = geometry.shifted(affine_ras, middle)
    return np.asarray(moved @ np.diag([*steps, 1.0]))


def block_labels(labels: NDArray[np.uint8], steps: Steps) -> NDArray[np.uint8]:
    """Labels of blocks: the most frequent one where half the block is labelled.

    A label that would have no block keeps the one it fills most, so that none is lost. The array itself where a block
    is one voxel.
    """
    if steps == (1, 1, 1):
        return labels
    half_filled = 2 * block_sum(labels > 0, steps) >= np.prod(steps)
    coarse = np.zeros(half_filled.shape, dtype=np.uint8)
    most = np.zeros(half_filled.shape, dtype=np.int32)
    fullest: dict[int, tuple[Box, tuple[int, ...]]] = {}
    for value, blocks, count in _counts(labels, steps):
        wins = half_filled[blocks] & (count > most[blocks])
        coarse[blocks][wins], most[blocks][wins] = value, count[wins]
        # only the place is kept: the counts of a hundred labels are many times the scan
        fullest[value] = (blocks, tuple(int(at) for at in np.unravel_index(count.argmax(), count.shape)))
    for value, (blocks, place) in fullest.items():
        if not (coarse[blocks] == value).any():
            coarse[blocks][place] = value
    return coarse


def _counts(labels: NDArray[np.uint8], steps: Steps) -> Iterator[tuple[int, Box, NDArray[Any]]]:
    """Each label with the blocks that hold it, and its voxels in each of them."""
    from scipy import ndimage

    for value, where in enumerate(ndimage.find_objects(labels), start=1):
        if where is not None:
            i, j, k = (slice(p.start // s, -(-p.stop // s)) for p, s in zip(where, steps, strict=True))
            part = tuple(slice(p.start * s, p.stop * s) for p, s in zip((i, j, k), steps, strict=True))
            yield value, (i, j, k), block_sum(labels[part] == value, steps)
