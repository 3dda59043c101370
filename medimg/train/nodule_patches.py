"""Training patches for the nodule detector, made from few cases: embedded crops, pasted nodules, plain lungs.

Every patch is (S, S, S) HU float32 at 1 mm with a `Truth`. All randomness comes from the generator handed in.
The recipe is the one measured in shared/reference/models.md, with crops on an empty canvas and pasted ground-glass added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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

LUNG_HU = -860.0
"""Parenchyma around a nodule, for pastes that add to it."""

GROUND_GLASS = (0.55, 0.92)
"""Of pasted nodules, drawn in 0..1: below solid, between ground-glass, above solid with a cavity if large enough."""

MIN_CAVITATED_MM = 10.0
"""Smaller nodules get no cavity."""

CANVAS_HU = (-1200.0, -1024.0, -400.0, 0.0)
"""What may surround a crop that is a whole input: padding values of common tools."""


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


@dataclass(frozen=True)
class Sources:
    """What patches are cut from. mined: (N, 4) scan index and voxel of the network's false alarms."""

    crops: Sequence[Crop]
    scans: Sequence[Scan]
    lung_points: Sequence[NDArray[np.int32]]
    mined: NDArray[np.float64]
    phantoms: Sequence[Scan] = ()


def background(sources: Sources, rng: Rng) -> Patch:
    """A patch around a random lung voxel of a random scan."""
    index = int(rng.integers(len(sources.scans)))
    points = sources.lung_points[index]
    return _cut(sources.scans[index], points[rng.integers(len(points))] + rng.integers(-12, 13, 3), rng)


def mined(sources: Sources, rng: Rng) -> Patch:
    """A patch around one of the network's false alarms; plain background as long as there are none."""
    if len(sources.mined) == 0:
        return background(sources, rng)
    row = sources.mined[rng.integers(len(sources.mined))]
    return _cut(sources.scans[int(row[0])], np.rint(row[1:]) + rng.integers(-20, 21, 3), rng)


def whole_scan_nodule(sources: Sources, rng: Rng) -> Patch:
    """A patch around an annotated nodule of a whole scan."""
    rows = [(i, row) for i, scan in enumerate(sources.scans) for row in scan.nodules]
    if not rows:
        return background(sources, rng)
    index, row = rows[rng.integers(len(rows))]
    return _cut(sources.scans[index], np.rint(row[:3]) + rng.integers(-18, 19, 3), rng)


def phantom(sources: Sources, rng: Rng) -> Patch:
    """A patch of an analytic chest: around one of its nodules, or anywhere within the lungs' box."""
    if not sources.phantoms:
        return background(sources, rng)
    scan = sources.phantoms[rng.integers(len(sources.phantoms))]
    if rng.random() < 0.6:
        centre = scan.nodules[rng.integers(len(scan.nodules)), :3]
    else:
        centre = rng.uniform(0.2, 0.8, 3) * scan.hu.shape
    return _cut(scan, np.rint(centre) + rng.integers(-18, 19, 3), rng)


def embedded(sources: Sources, rng: Rng) -> Patch:
    """A real crop, turned and scaled, in a random sub-box with soft edges, somewhere in a real lung patch."""
    crop = sources.crops[rng.integers(len(sources.crops))]
    canvas = background(sources, rng)
    target = rng.uniform(EDGE, SIZE - EDGE, 3)
    # small nodules keep their size: the network must not learn sizes that no reader marks
    scale = rng.uniform(0.8, 1.25) if crop.diameter_mm > 7 else rng.uniform(0.95, 1.35)
    diameter = crop.diameter_mm * scale
    low = target - diameter / 2 - rng.uniform(3, 20, 3)
    high = target + diameter / 2 + rng.uniform(3, 20, 3)
    image = _overlaid(canvas.image, crop, target, scale, (low, high), rng)
    truth = _outside(canvas.truth, low, high)
    truth.nodules.append((target, diameter))
    return Patch(image, truth)


def negative_embedded(sources: Sources, rng: Rng) -> Patch:
    """The same seams without a nodule: the nodule-free side of a crop, or a piece of another scan."""
    canvas = background(sources, rng)
    if rng.random() < 0.5:
        other = background(sources, rng)
        centre, half = rng.uniform(8, SIZE - 8, 3), rng.uniform(8, 24, 3)
        low, high = centre - half, centre + half
        weight = _soft_box(low, high, rng.uniform(0.5, 4))
        truth = _outside(canvas.truth, low, high)
        for kept, pasted in ((truth.nodules, other.truth.nodules), (truth.ignore, other.truth.ignore)):
            kept += [(c, size) for c, size in pasted if ((c > low) & (c < high)).all()]
        # a ball cut by the seam is neither there nor gone
        truth.ignore += [(c, d / 2) for c, d in other.truth.nodules if not ((c > low) & (c < high)).all()]
        return Patch(torch.lerp(canvas.image, other.image, weight), truth)
    crop = sources.crops[rng.integers(len(sources.crops))]
    target = rng.uniform(EDGE, SIZE - EDGE, 3)
    reach = crop.diameter_mm * 0.75 + 4
    low, high = target - 25, target + 25
    axis = int(rng.integers(3))
    if rng.random() < 0.5:
        low[axis] = target[axis] + reach
    else:
        high[axis] = target[axis] - reach
    if high[axis] - low[axis] < 6:
        return canvas
    image = _overlaid(canvas.image, crop, target, 1.0, (low, high), rng)
    return Patch(image, _outside(canvas.truth, low, high))


def on_canvas(sources: Sources, rng: Rng) -> Patch:
    """A small volume as a whole input, padded as tools pad: a crop, or a piece of scan of the same size."""
    size = rng.integers(40, 52, 3)
    truth = Truth()
    if rng.random() < 0.7:
        crop = sources.crops[rng.integers(len(sources.crops))]
        hu, centre = crop.hu, crop.centre
        slack = 51 - size
        start = np.minimum(slack, np.maximum(0, np.rint(rng.uniform(0, 1, 3) * slack))).astype(int)
        piece = torch.from_numpy(
            hu[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))].astype(np.float32)
        )
        truth.nodules.append((centre - start, crop.diameter_mm))
    else:
        patch = background(sources, rng)
        piece = patch.image[: size[0], : size[1], : size[2]]
        truth = patch.truth
    patch = _mirrored(Patch(piece, truth), rng)
    before = [int(rng.integers(0, SIZE - n + 1)) for n in patch.image.shape]
    pads: list[int] = []
    for n, b in zip(reversed(patch.image.shape), reversed(before), strict=True):
        pads += [b, SIZE - n - b]
    if rng.random() < 0.4:
        padded = functional.pad(patch.image[None, None], pads, mode="replicate")[0, 0]
    else:
        padded = functional.pad(patch.image, pads, value=float(rng.choice(CANVAS_HU)))
    return Patch(padded, _shifted(patch.truth, np.array(before)))


def pasted(sources: Sources, rng: Rng) -> Patch:
    """One or two nodules without their surroundings in a lung patch: solid (maximum) or ground-glass (added)."""
    patch = background(sources, rng)
    for _ in range(int(rng.integers(1, 3))):
        patch = _paste(patch, sources, rng)
    return patch


def _paste(patch: Patch, sources: Sources, rng: Rng) -> Patch:
    crop = sources.crops[rng.integers(len(sources.crops))]
    inside = torch.nonzero(patch.image[EDGE:-EDGE:2, EDGE:-EDGE:2, EDGE:-EDGE:2] < -700)
    if len(inside) == 0:
        return patch
    target = inside[int(rng.integers(len(inside)))].numpy().astype(np.float64) * 2 + EDGE
    diameter = float(np.clip(crop.diameter_mm * rng.uniform(0.4, 1.3), 4.0, 30.0))
    if any(np.linalg.norm(c - target) < (d + diameter) / 2 for c, d in patch.truth.nodules):
        return patch
    window = _window(target - diameter * 0.9 - 3, target + diameter * 0.9 + 3)
    channels = torch.stack([_floats(crop.hu), _soft_mask(crop)])
    turned, _ = _turned(channels, crop.centre, target, diameter / crop.diameter_mm, rng, window)
    image = patch.image.clone()
    image[window] = _blended(image[window], turned[0], turned[1], diameter, rng)
    return Patch(image, Truth([*patch.truth.nodules, (target, diameter)], list(patch.truth.ignore)))


def _blended(lung: Tensor, nodule: Tensor, weight: Tensor, diameter: float, rng: Rng) -> Tensor:
    """A nodule over lung where `weight` says: solid, ground-glass, or solid with a cavity."""
    style = rng.random()
    if style < GROUND_GLASS[0] or style >= GROUND_GLASS[1]:
        image = torch.maximum(lung, torch.lerp(lung, nodule, weight))
    else:
        # ground-glass: vessels beneath stay visible, density rises by a fraction of the nodule's own
        added = weight * (nodule - LUNG_HU).clamp_min(0) * rng.uniform(0.2, 0.55)
        image = torch.maximum(lung, torch.minimum(lung + added, nodule.clamp_min(-300)))
    if style >= GROUND_GLASS[1] and diameter > MIN_CAVITATED_MM:
        core = functional.avg_pool3d((weight > 0.99).float()[None, None], 5, 1, 2)[0, 0]
        image = torch.lerp(image, torch.full_like(image, -900.0), ((core - 0.8) * 5).clamp(0, 1) * 0.9)
    return image


def _soft_mask(crop: Crop) -> Tensor:
    """The nodule's mask grown by a voxel with a smooth edge, 0..1."""
    grown = functional.max_pool3d(torch.from_numpy(crop.mask.astype(np.float32))[None, None], 3, 1, 1)
    return functional.avg_pool3d(grown, 3, 1, 1)[0, 0]


def _overlaid(canvas: Tensor, crop: Crop, target: Vector, scale: float, box: tuple[Vector, Vector], rng: Rng) -> Tensor:
    """`canvas` with the turned crop in the box (low, high), soft at its faces."""
    window = _window(*box)
    turned, valid = _turned(_floats(crop.hu)[None], crop.centre, target, scale, rng, window)
    weight = _soft_box(*box, rng.uniform(0.5, 4))[window] * valid
    image = canvas.clone()
    image[window] = torch.lerp(image[window], turned[0], weight)
    return image


def _window(low: Vector, high: Vector) -> Window:
    """The patch's voxels in the box (low, high)."""
    i, j, k = (
        slice(int(np.clip(np.ceil(a), 0, SIZE - 1)), int(np.clip(np.floor(b) + 1, 1, SIZE)))
        for a, b in zip(low, high, strict=True)
    )
    return (i, j, k)


def _floats(hu: NDArray[np.int16]) -> Tensor:
    return torch.from_numpy(hu.astype(np.float32))


def _cut(scan: Scan, centre: Vector, rng: Rng) -> Patch:
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
    return _mirrored(Patch(image, _cut_nodules_ignored(truth)), rng)


def _cut_nodules_ignored(truth: Truth) -> Truth:
    """Nodules whose centre is not well inside the patch are neither positive nor negative."""
    inside = [((c >= 3) & (c <= SIZE - 4)).all() for c, _ in truth.nodules]
    whole = [nodule for nodule, kept in zip(truth.nodules, inside, strict=True) if kept]
    broken = [(c, d / 2 + 2) for (c, d), kept in zip(truth.nodules, inside, strict=True) if not kept]
    return Truth(whole, truth.ignore + broken)


def _mirrored(patch: Patch, rng: Rng) -> Patch:
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


def _shifted(truth: Truth, by: Vector) -> Truth:
    return Truth([(c + by, d) for c, d in truth.nodules], [(c + by, r) for c, r in truth.ignore])


def _outside(truth: Truth, low: Vector, high: Vector) -> Truth:
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


def _soft_box(low: Vector, high: Vector, width: float) -> Tensor:
    """(S, S, S) weight: 1 in the box, falling linearly to 0 over `width` voxels inside its faces."""
    grid = np.arange(SIZE)
    ramps = [
        torch.from_numpy(np.clip(np.minimum(grid - a, b - grid) / width, 0, 1).astype(np.float32))
        for a, b in zip(low, high, strict=True)
    ]
    return ramps[0][:, None, None] * ramps[1][None, :, None] * ramps[2][None, None, :]


def _turned(
    channels: Tensor, centre: Vector, target: Vector, scale: float, rng: Rng, window: Window
) -> tuple[Tensor, Tensor]:
    """`channels` (C, A, B, D) turned, mirrored and scaled about `centre`, which lands on the patch's voxel `target`.

    Any angle about the slice axis, 8 degrees (one deviation) of tilt. Returns the patch's `window` of it, (C, *window),
    and where it is inside the source, 0/1 (*window).
    """
    about, tilt_x, tilt_y = rng.uniform(0, 2 * np.pi), *rng.normal(0, np.radians(8), 2)
    matrix = _rotation(about, 2) @ _rotation(tilt_x, 0) @ _rotation(tilt_y, 1) @ np.diag(rng.choice([-1.0, 1.0], 3))
    matrix = matrix / scale
    # grid_sample wants -1..1 between the first and last voxel's centres, and the last axis first
    half = (np.array(channels.shape[1:]) - 1) / 2
    steps = []
    for axis, span in enumerate(window):
        offset = np.arange(span.start, span.stop) - target[axis]
        steps.append(torch.from_numpy(np.outer(offset, matrix[:, axis] / half).astype(np.float32)))
    grid = steps[0][:, None, None] + steps[1][None, :, None] + steps[2][None, None, :]
    grid = grid + torch.from_numpy(((centre - half) / half).astype(np.float32))
    turned = functional.grid_sample(channels[None], grid[None].flip(-1), padding_mode="border", align_corners=True)
    return turned[0], (grid.abs().amax(-1) <= 1).float()


def _rotation(angle: float, axis: int) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    i, j = [a for a in range(3) if a != axis]
    matrix = np.eye(3)
    matrix[i, i], matrix[j, j], matrix[i, j], matrix[j, i] = c, c, -s, s
    return matrix
