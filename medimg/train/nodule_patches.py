"""Training patches for the nodule detector, made from few cases: embedded crops, pasted nodules, plain lungs.

Every patch is (S, S, S) HU float32 at 1 mm with a `Truth`. All randomness comes from the generator handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medimg.train.nodule_canvas import (
    EDGE,
    SIZE,
    Patch,
    Rng,
    Truth,
    Vector,
    cut,
    cut_nodules_ignored,
    mirror_images,
    mirrored,
    outside,
    pose,
    shifted,
    soft_box,
    turned,
    window,
)
from medimg.train.nodule_data import Crop, Scan

LUNG_HU = -860.0
"""Parenchyma around a nodule, for pastes that add to it."""

FAINTER = 0.2
"""Share of reflected crops whose nodule loses a part of its density: few of the real ones are ground-glass."""

PART_SOLID = 0.3
"""Share of pasted ground-glass nodules with a solid core."""

ATTACHED = 0.5
"""Share of pasted nodules placed where they touch pleura or a vessel."""

ATTACHED_HU = -300.0
"""Denser than this within reach: something to be attached to."""

GROUND_GLASS = (0.55, 0.92)
"""Of pasted nodules, drawn in 0..1: below solid, between ground-glass, above solid with a cavity if large enough."""

MIN_CAVITATED_MM = 10.0
"""Smaller nodules get no cavity."""

PIECE = (40, 51)
"""Edge of such a small volume, shortest and longest."""

CANVAS_HU = (-1200.0, -1024.0, -400.0, 0.0)
"""What may surround a crop that is a whole input: padding values of common tools."""


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
    return cut(sources.scans[index], points[rng.integers(len(points))] + rng.integers(-12, 13, 3), rng)


def mined(sources: Sources, rng: Rng) -> Patch:
    """A patch around one of the network's false alarms; plain background as long as there are none."""
    if len(sources.mined) == 0:
        return background(sources, rng)
    row = sources.mined[rng.integers(len(sources.mined))]
    return cut(sources.scans[int(row[0])], np.rint(row[1:]) + rng.integers(-20, 21, 3), rng)


def whole_scan_nodule(sources: Sources, rng: Rng) -> Patch:
    """A patch around an annotated nodule of a whole scan."""
    rows = [(i, row) for i, scan in enumerate(sources.scans) for row in scan.nodules]
    if not rows:
        return background(sources, rng)
    index, row = rows[int(rng.integers(len(rows)))]
    return cut(sources.scans[index], np.rint(row[:3]) + rng.integers(-18, 19, 3), rng)


def phantom(sources: Sources, rng: Rng) -> Patch:
    """A patch of an analytic chest: around one of its nodules, or anywhere within the lungs' box."""
    if not sources.phantoms:
        return background(sources, rng)
    scan = sources.phantoms[int(rng.integers(len(sources.phantoms)))]
    if rng.random() < 0.6:
        centre = scan.nodules[rng.integers(len(scan.nodules)), :3]
    else:
        centre = rng.uniform(0.2, 0.8, 3) * scan.hu.shape
    return cut(scan, np.rint(centre) + rng.integers(-18, 19, 3), rng)


def embedded(sources: Sources, rng: Rng) -> Patch:
    """A real crop, turned and scaled, in a random sub-box with soft edges, somewhere in a real lung patch."""
    crop = sources.crops[int(rng.integers(len(sources.crops)))]
    canvas = background(sources, rng)
    target = rng.uniform(EDGE, SIZE - EDGE, 3)
    scale = _scale(crop, rng)
    diameter = crop.diameter_mm * scale
    low = target - diameter / 2 - rng.uniform(3, 20, 3)
    high = target + diameter / 2 + rng.uniform(3, 20, 3)
    image = _overlaid(canvas.image, crop, target, scale, (low, high), rng)
    truth = outside(canvas.truth, low, high)
    truth.nodules.append((target, diameter))
    return Patch(image, truth)


def reflected(sources: Sources, rng: Rng) -> Patch:
    """A real crop, turned and scaled, continued beyond its faces by its mirror images: nodules in all of their own
    surroundings, pleura and vessels included, with nothing that tells where a crop's middle is."""
    crop = sources.crops[int(rng.integers(len(sources.crops)))]
    target = rng.uniform(EDGE, SIZE - EDGE, 3)
    scale = _scale(crop, rng)
    matrix = pose(scale, rng)
    everywhere = window(np.zeros(3), np.full(3, SIZE - 1.0))
    fainter = rng.random() < FAINTER
    channels = torch.stack([_floats(crop.hu), _soft_mask(crop)]) if fainter else _floats(crop.hu)[None]
    content, _ = turned(channels, crop.centre, target, matrix, everywhere, "reflection")
    image = content[0]
    if fainter:
        image = torch.lerp(image, image.clamp_max(LUNG_HU), content[1] * rng.uniform(0.2, 0.7))
    images = mirror_images(crop.centre, crop.hu.shape, target, matrix)
    diameter = crop.diameter_mm * scale
    near = ((images > -diameter / 2) & (images < SIZE + diameter / 2)).all(axis=1)
    return Patch(image, cut_nodules_ignored(Truth([(centre, diameter) for centre in images[near]])))


def _scale(crop: Crop, rng: Rng) -> float:
    """Small nodules keep their size: the network must not learn sizes that no reader marks."""
    return float(rng.uniform(0.8, 1.25) if crop.diameter_mm > 7 else rng.uniform(0.95, 1.35))


def negative_embedded(sources: Sources, rng: Rng) -> Patch:
    """The same seams without a nodule: the nodule-free side of a crop, or a piece of another scan."""
    canvas = background(sources, rng)
    if rng.random() < 0.5:
        other = background(sources, rng)
        centre, half = rng.uniform(8, SIZE - 8, 3), rng.uniform(8, 24, 3)
        low, high = centre - half, centre + half
        weight = soft_box(low, high, rng.uniform(0.5, 4))
        truth = outside(canvas.truth, low, high)
        for kept, pasted in ((truth.nodules, other.truth.nodules), (truth.ignore, other.truth.ignore)):
            kept += [(c, size) for c, size in pasted if ((c > low) & (c < high)).all()]
        # a ball cut by the seam is neither there nor gone
        truth.ignore += [(c, d / 2) for c, d in other.truth.nodules if not ((c > low) & (c < high)).all()]
        return Patch(torch.lerp(canvas.image, other.image, weight), truth)
    crop = sources.crops[int(rng.integers(len(sources.crops)))]
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
    return Patch(image, outside(canvas.truth, low, high))


def on_canvas(sources: Sources, rng: Rng) -> Patch:
    """A small volume as a whole input, padded as tools pad: a crop, or a piece of scan of the same size."""
    size = rng.integers(*PIECE, 3, endpoint=True)
    truth = Truth()
    if rng.random() < 0.7:
        crop = sources.crops[int(rng.integers(len(sources.crops)))]
        start = np.rint(rng.uniform(0, 1, 3) * np.maximum(0, crop.hu.shape - size)).astype(int)
        piece = _floats(crop.hu[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))])
        truth.nodules.append((crop.centre - start, crop.diameter_mm))
    else:
        patch = background(sources, rng)
        piece = patch.image[: size[0], : size[1], : size[2]]
        truth = Truth([n for n in patch.truth.nodules if (n[0] < size).all()], patch.truth.ignore)
    patch = mirrored(Patch(piece, truth), rng)
    before = [int(rng.integers(0, SIZE - n + 1)) for n in patch.image.shape]
    pads: list[int] = []
    for n, b in zip(reversed(patch.image.shape), reversed(before), strict=True):
        pads += [b, SIZE - n - b]
    if rng.random() < 0.4:
        padded = functional.pad(patch.image[None, None], pads, mode="replicate")[0, 0]
    else:
        padded = functional.pad(patch.image, pads, value=float(rng.choice(CANVAS_HU)))
    return Patch(padded, shifted(patch.truth, np.array(before)))


def pasted(sources: Sources, rng: Rng) -> Patch:
    """One or two nodules without their surroundings in a lung patch: solid (maximum) or ground-glass (added)."""
    patch = background(sources, rng)
    for _ in range(int(rng.integers(1, 3))):
        patch = _paste(patch, sources, rng)
    return patch


def _paste(patch: Patch, sources: Sources, rng: Rng) -> Patch:
    crop = sources.crops[int(rng.integers(len(sources.crops)))]
    diameter = float(np.clip(crop.diameter_mm * rng.uniform(0.4, 1.3), 4.0, 30.0))
    inside = torch.nonzero(_free_places(patch.image, diameter, attached=rng.random() < ATTACHED))
    if len(inside) == 0:
        return patch
    target = inside[int(rng.integers(len(inside)))].numpy().astype(np.float64) * 2 + EDGE
    if any(np.linalg.norm(c - target) < (d + diameter) / 2 for c, d in patch.truth.nodules):
        return patch
    place = window(target - diameter * 0.9 - 3, target + diameter * 0.9 + 3)
    channels = torch.stack([_floats(crop.hu), _soft_mask(crop)])
    nodule, _ = turned(channels, crop.centre, target, pose(diameter / crop.diameter_mm, rng), place)
    image = patch.image.clone()
    image[place] = _blended(image[place], nodule[0], nodule[1], diameter, rng)
    return Patch(image, Truth([*patch.truth.nodules, (target, diameter)], list(patch.truth.ignore)))


def _free_places(image: Tensor, diameter: float, *, attached: bool) -> Tensor:
    """Every second voxel of the patch's inner part: whether it is air, and near something dense if `attached`."""
    sparse = image[EDGE:-EDGE:2, EDGE:-EDGE:2, EDGE:-EDGE:2]
    free = sparse < -700
    if not attached:
        return free
    reach = max(1, round(diameter / 4))
    near = sparse[None, None]
    for axis in range(3):
        size = [2 * reach + 1 if other == axis else 1 for other in range(3)]
        near = functional.max_pool3d(near, size, stride=1, padding=[n // 2 for n in size])
    return free & (near[0, 0] > ATTACHED_HU)


def _blended(lung: Tensor, nodule: Tensor, weight: Tensor, diameter: float, rng: Rng) -> Tensor:
    """A nodule over lung where `weight` says: solid, ground-glass, or solid with a cavity."""
    style = rng.random()
    if GROUND_GLASS[0] <= style < GROUND_GLASS[1]:
        # vessels beneath stay visible, density rises by a fraction of the nodule's own
        added = weight * (nodule - LUNG_HU).clamp_min(0) * rng.uniform(0.2, 0.55)
        image = torch.maximum(lung, torch.minimum(lung + added, nodule.clamp_min(-300)))
        if rng.random() < PART_SOLID:
            image = torch.lerp(image, torch.maximum(image, nodule), _core(weight))
        return image
    image = torch.maximum(lung, torch.lerp(lung, nodule, weight))
    if style >= GROUND_GLASS[1] and diameter > MIN_CAVITATED_MM:
        image = torch.lerp(image, torch.full_like(image, -900.0), _core(weight) * 0.9)
    return image


def _core(weight: Tensor) -> Tensor:
    """The inside of a nodule, two voxels and more from its edge, soft."""
    inner = functional.avg_pool3d((weight > 0.99).float()[None, None], 5, 1, 2)[0, 0]
    return ((inner - 0.8) * 5).clamp(0, 1)


@lru_cache(maxsize=1024)
def _soft_mask(crop: Crop) -> Tensor:
    """The nodule's mask grown by a voxel with a smooth edge, 0..1."""
    grown = functional.max_pool3d(torch.from_numpy(crop.mask.astype(np.float32))[None, None], 3, 1, 1)
    return functional.avg_pool3d(grown, 3, 1, 1)[0, 0]


def _overlaid(canvas: Tensor, crop: Crop, target: Vector, scale: float, box: tuple[Vector, Vector], rng: Rng) -> Tensor:
    """`canvas` with the turned crop in the box (low, high), soft at its faces."""
    place = window(*box)
    content, valid = turned(_floats(crop.hu)[None], crop.centre, target, pose(scale, rng), place)
    weight = soft_box(*box, rng.uniform(0.5, 4))[place] * valid
    image = canvas.clone()
    image[place] = torch.lerp(image[place], content[0], weight)
    return image


def _floats(hu: NDArray[np.int16]) -> Tensor:
    return torch.from_numpy(hu.astype(np.float32))
