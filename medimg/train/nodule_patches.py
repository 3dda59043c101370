"""Training patches for the nodule detector, made from few cases: embedded crops, pasted nodules, plain lungs.

Every patch is (S, S, S) HU float32 at 1 mm with a `Truth`. All randomness comes from the generator handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    floats,
    mirror_images,
    mirrored,
    outside,
    pose,
    shifted,
    soft_box,
    soft_mask,
    turned,
    window,
)
from medimg.train.nodule_data import Crop, Scan

LUNG_HU = -860.0
"""Parenchyma around a nodule, for pastes that add to it."""

FAINTER = 0.2
"""Share of reflected crops whose nodule loses a part of its density: few of the real ones are ground-glass."""

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
    channels = torch.stack([floats(crop.hu), soft_mask(crop)]) if fainter else floats(crop.hu)[None]
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
        piece = floats(crop.hu[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))])
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


def _overlaid(canvas: Tensor, crop: Crop, target: Vector, scale: float, box: tuple[Vector, Vector], rng: Rng) -> Tensor:
    """`canvas` with the turned crop in the box (low, high), soft at its faces."""
    place = window(*box)
    content, valid = turned(floats(crop.hu)[None], crop.centre, target, pose(scale, rng), place)
    weight = soft_box(*box, rng.uniform(0.5, 4))[place] * valid
    image = canvas.clone()
    image[place] = torch.lerp(image[place], content[0], weight)
    return image
