"""A training patch and what can be done with it: cut, mirrored, boxed, turned. What goes into it: `nodule_patches`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medimg.train.nodule_data import Scan

Rng = np.random.Generator
Vector = NDArray[np.float64]
Window = tuple[slice, slice, slice]

SIZE = 64
"""Edge of a patch in voxels (mm)."""

EDGE = 6
"""A nodule's centre is placed no closer than this to the patch's edge."""


@dataclass
class Truth:
    """What a patch holds: nodules (centre in voxels, diameter in mm) and balls (centre, radius) of unknown truth."""

    nodules: list[tuple[Vector, float]] = field(default_factory=list)
    ignore: list[tuple[Vector, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Patch:
    """image: (S, S, S) float32 HU."""

    image: Tensor
    truth: Truth


def cut(scan: Scan, centre: Vector, rng: Rng) -> Patch:
    """The patch around a voxel, kept inside the scan where the scan is large enough, randomly mirrored."""
    shape = np.array(scan.hu.shape)
    start = np.clip(np.asarray(centre).astype(int) - SIZE // 2, 0, np.maximum(0, shape - SIZE))
    window = tuple(slice(a, a + SIZE) for a in start)
    image = torch.from_numpy(scan.hu[window].astype(np.float32))
    if tuple(image.shape) != (SIZE, SIZE, SIZE):
        pads = [p for n in reversed(image.shape) for p in (0, SIZE - n)]
        image = functional.pad(image[None, None], pads, mode="replicate")[0, 0]
    truth = Truth()
    for table, kept, margin in ((scan.nodules, truth.nodules, 0.5), (scan.ignore, truth.ignore, 1.0)):
        for row in table:
            point = row[:3] - start
            if ((point > -margin * row[3]) & (point < SIZE + margin * row[3])).all():
                kept.append((point, float(row[3])))
    return mirrored(Patch(image, _cut_nodules_ignored(truth)), rng)


def _cut_nodules_ignored(truth: Truth) -> Truth:
    """Nodules whose centre is not well inside the patch are neither positive nor negative."""
    inside = [((c >= 3) & (c <= SIZE - 4)).all() for c, _ in truth.nodules]
    whole = [nodule for nodule, kept in zip(truth.nodules, inside, strict=True) if kept]
    broken = [(c, d / 2 + 2) for (c, d), kept in zip(truth.nodules, inside, strict=True) if not kept]
    return Truth(whole, truth.ignore + broken)


def mirrored(patch: Patch, rng: Rng) -> Patch:
    """One of the 16 symmetries that keep the slice direction: mirrors of each axis, and x and y exchanged."""
    image, swap = patch.image, bool(rng.random() < 0.5)
    flips = [axis for axis in range(3) if rng.random() < 0.5]
    if swap:
        image = image.transpose(0, 1)
    extent = np.array(image.shape, dtype=np.float64) - 1

    def move(point: Vector) -> Vector:
        moved = point[[1, 0, 2]] if swap else point.copy()
        moved[flips] = extent[flips] - moved[flips]
        return np.asarray(moved)

    truth = Truth([(move(c), d) for c, d in patch.truth.nodules], [(move(c), r) for c, r in patch.truth.ignore])
    return Patch(image.flip(flips), truth)


def shifted(truth: Truth, by: Vector) -> Truth:
    """The truth moved by (3,) voxels."""
    return Truth([(c + by, d) for c, d in truth.nodules], [(c + by, r) for c, r in truth.ignore])


def outside(truth: Truth, low: Vector, high: Vector) -> Truth:
    """Truth of what a box laid over it leaves: nodules it touches are unknown unless wholly covered."""
    kept = Truth(ignore=list(truth.ignore))
    for centre, diameter in truth.nodules:
        touched = ((centre > low - diameter / 2) & (centre < high + diameter / 2)).all()
        covered = ((centre - diameter / 2 > low) & (centre + diameter / 2 < high)).all()
        if not touched:
            kept.nodules.append((centre, diameter))
        elif not covered:
            kept.ignore.append((centre, diameter / 2 + 2))
    return kept


def soft_box(low: Vector, high: Vector, width: float) -> Tensor:
    """(S, S, S) weight: 1 in the box, falling linearly to 0 over `width` voxels inside its faces."""
    grid = np.arange(SIZE)
    ramps = [
        torch.from_numpy(np.clip(np.minimum(grid - a, b - grid) / width, 0, 1).astype(np.float32))
        for a, b in zip(low, high, strict=True)
    ]
    return ramps[0][:, None, None] * ramps[1][None, :, None] * ramps[2][None, None, :]


def turned(
    channels: Tensor, centre: Vector, target: Vector, scale: float, rng: Rng, place: Window
) -> tuple[Tensor, Tensor]:
    """`channels` (C, A, B, D) turned, mirrored and scaled about `centre`, which lands on the patch's voxel `target`.

    Any angle about the slice axis, 8 degrees (one deviation) of tilt. Returns the patch's window `place` of it,
    (C, *place), and where it is inside the source, 0/1 (*place).
    """
    about, tilt_x, tilt_y = rng.uniform(0, 2 * np.pi), *rng.normal(0, np.radians(8), 2)
    matrix = _rotation(about, 2) @ _rotation(tilt_x, 0) @ _rotation(tilt_y, 1) @ np.diag(rng.choice([-1.0, 1.0], 3))
    matrix = matrix / scale
    # grid_sample wants -1..1 between the first and last voxel's centres, and the last axis first
    half = (np.array(channels.shape[1:]) - 1) / 2
    steps = []
    for axis, span in enumerate(place):
        offset = np.arange(span.start, span.stop) - target[axis]
        steps.append(torch.from_numpy(np.outer(offset, matrix[:, axis] / half).astype(np.float32)))
    grid = steps[0][:, None, None] + steps[1][None, :, None] + steps[2][None, None, :]
    grid = grid + torch.from_numpy(((centre - half) / half).astype(np.float32))
    content = functional.grid_sample(channels[None], grid[None].flip(-1), padding_mode="border", align_corners=True)
    return content[0], (grid.abs().amax(-1) <= 1).float()


def _rotation(angle: float, axis: int) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    i, j = [a for a in range(3) if a != axis]
    matrix = np.eye(3)
    matrix[i, i], matrix[j, j], matrix[i, j], matrix[j, i] = c, c, -s, s
    return matrix


def window(low: Vector, high: Vector) -> Window:
    """The patch's voxels in the box (low, high)."""
    i, j, k = (
        slice(int(np.clip(np.ceil(a), 0, SIZE - 1)), int(np.clip(np.floor(b) + 1, 1, SIZE)))
        for a, b in zip(low, high, strict=True)
    )
    return (i, j, k)
