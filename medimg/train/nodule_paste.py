"""Nodules without their surroundings laid into lung: solid, ground-glass, part-solid, cavitated, free or attached."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from medimg.train.nodule_canvas import EDGE, Patch, Rng, Truth, floats, pose, soft_mask, turned, window
from medimg.train.nodule_patches import LUNG_HU, Sources, background

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
    channels = torch.stack([floats(crop.hu), soft_mask(crop)])
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
