"""A training patch and what can be done with it: cut, mirrored, boxed, turned. What goes into it: `nodule_patches`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medimg.train.nodule_data import Crop, Scan

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
    return mirrored(Patch(image, cut_nodules_ignored(truth)), rng)


def cut_nodules_ignored(truth: Truth) -> Truth:
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


def pose(scale: float, rng: Rng) -> NDArray[np.float64]:
    """(3, 3), patch offsets to source offsets: mirrored, scaled, turned by any angle about the slice axis."""
    c, s = np.cos(angle := rng.uniform(0, 2 * np.pi)), np.sin(angle)
    matrix = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ np.diag(rng.choice([-1.0, 1.0], 3))
    return np.asarray(matrix / scale)


def turned(
    channels: Tensor,
    centre: Vector,
    target: Vector,
    matrix: NDArray[np.float64],
    place: Window,
    beyond: str = "border",
) -> tuple[Tensor, Tensor]:
    """`channels` (C, A, B, D) in a `pose` about `centre`, which lands on the patch's voxel `target`; linear.

    Returns the patch's window `place` of it, (C, *place), and where it is inside the source, 0/1 (*place). What lies
    beyond the source is its border repeated, or with "reflection" its mirror image.
    """
    offsets = [np.arange(span.start, span.stop) - t for span, t in zip(place, target, strict=True)]
    # a pose keeps the slice axis: all slices share one 2-D resampling, several times faster than one in 3-D
    across = np.stack(np.meshgrid(offsets[0], offsets[1], indexing="ij"), -1) @ matrix[:2, :2].T + centre[:2]
    along = offsets[2] * matrix[2, 2] + centre[2]
    last = np.array(channels.shape[1:]) - 1
    plane, slices = _sampled_plane(channels, across, beyond), _sampled_slices(along, int(last[2]), beyond)
    content = torch.lerp(plane[:, slices[0]], plane[:, slices[1]], slices[2]).permute(0, 2, 3, 1).contiguous()
    inside = ((across >= 0) & (across <= last[:2])).all(-1)[:, :, None] & ((along >= 0) & (along <= last[2]))
    return content, torch.from_numpy(inside.astype(np.float32))


def _sampled_plane(channels: Tensor, points: Vector, beyond: str) -> Tensor:
    """(C, D, I, J): every slice of channels (C, A, B, D) at `points` (I, J, 2) of its plane."""
    c, a, b, d = channels.shape
    # grid_sample wants -1..1 between the first and last voxel's centres, and the last axis first
    half = (np.array([a, b]) - 1) / 2
    grid = torch.from_numpy(((points - half) / half).astype(np.float32)).flip(-1)
    slices = channels.permute(0, 3, 1, 2).reshape(1, c * d, a, b)
    found = functional.grid_sample(slices, grid[None], padding_mode=beyond, align_corners=True)
    return found.reshape(c, d, *points.shape[:2])


def _sampled_slices(positions: Vector, last: int, beyond: str) -> tuple[Tensor, Tensor, Tensor]:
    """Per position (K,): the slice below, the slice above, and the weight of the latter, (K, 1, 1)."""
    if beyond == "reflection":
        positions = last - np.abs(last - np.mod(positions, 2 * last))
    held = np.clip(positions, 0, last)
    below = np.minimum(np.floor(held).astype(np.int64), last - 1)
    weight = torch.from_numpy((held - below).astype(np.float32))[:, None, None]
    return torch.from_numpy(below), torch.from_numpy(below + 1), weight


def mirror_images(centre: Vector, shape: tuple[int, ...], target: Vector, matrix: NDArray[np.float64]) -> Vector:
    """(N, 3): the patch's voxels on which `centre` and its nearest mirror images fall when `turned` by reflection."""
    period = 2 * (np.array(shape) - 1)
    per_axis = [np.array([c, -c])[:, None] + p * np.arange(-2, 3)[None] for c, p in zip(centre, period, strict=True)]
    images = np.stack(np.meshgrid(*(values.ravel() for values in per_axis), indexing="ij"), -1).reshape(-1, 3)
    return np.asarray(target + (images - centre) @ np.linalg.inv(matrix).T)


def window(low: Vector, high: Vector) -> Window:
    """The patch's voxels in the box (low, high)."""
    i, j, k = (
        slice(int(np.clip(np.ceil(a), 0, SIZE - 1)), int(np.clip(np.floor(b) + 1, 1, SIZE)))
        for a, b in zip(low, high, strict=True)
    )
    return (i, j, k)


@lru_cache(maxsize=1024)
def soft_mask(crop: Crop) -> Tensor:
    """The nodule's mask grown by a voxel with a smooth edge, 0..1."""
    grown = functional.max_pool3d(torch.from_numpy(crop.mask.astype(np.float32))[None, None], 3, 1, 1)
    return functional.avg_pool3d(grown, 3, 1, 1)[0, 0]


def floats(hu: NDArray[np.int16]) -> Tensor:
    """HU for torch."""
    return torch.from_numpy(hu.astype(np.float32))
