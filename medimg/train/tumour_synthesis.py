"""Tumours that the cases do not hold: altered, moved between patients and drawn anew, on real anatomy.

Everything works on an `Atlas` of plain tensors: image float32 (4, I, J, K) in z-scores, channels t1c, t1n, t2w, t2f;
labels uint8 (I, J, K), 1 necrotic or non-enhancing core, 2 oedema, 3 enhancing. Both are changed in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

CORE, OEDEMA, ENHANCING = 1, 2, 3
T1C, T1N, T2W, T2F = range(4)

SIGNAL = {
    CORE: ((-0.4, -0.4, 1.8, 2.0), (0.5, 0.5, 0.8, 1.0)),
    OEDEMA: ((0.1, 0.1, 0.9, 2.0), (0.35, 0.35, 0.45, 0.5)),
    ENHANCING: ((1.8, 0.1, 1.2, 2.0), (0.7, 0.5, 0.6, 0.8)),
}
"""Mean and spread over cases of each label's z-score per channel: from the 27 cases of the model card."""

CYST_SIGNAL = ((-1.2, -1.2, 2.8, -0.4), (0.3, 0.3, 0.7, 0.6))
"""A core filled with fluid: as cerebrospinal fluid, dark on FLAIR too."""

MARGIN = 8
"""Voxels (mm) around a tumour in which its surroundings are judged."""

FEW = 50
"""Voxels (mm3) below which a region is not worth altering."""

Generator = np.random.Generator
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Scene:
    """One head: image float32 (4, I, J, K), 0 outside the brain, and labels uint8 (I, J, K)."""

    image: Tensor
    labels: Tensor

    def view(self, box: Box) -> Scene:
        """The part inside `box`, sharing memory."""
        i, j, k = box
        return Scene(self.image[:, i, j, k], self.labels[i, j, k])

    @property
    def inside(self) -> Tensor:
        """Brain mask (I, J, K)."""
        return (self.image != 0).any(0)


def alter(scene: Scene, rng: Generator) -> None:
    """Change the look of the tumour in `scene`; where it enhances or not, its labels follow."""
    box = tumour_box(scene.labels)
    if box is None:
        return
    part = scene.view(box)
    outside = ~part.inside
    kinds: list[Callable[[Scene, Generator], None]] = [unenhanced, cystic, faint, recoloured, enhanced]
    kinds[int(rng.choice(len(kinds), p=[0.4, 0.15, 0.15, 0.2, 0.1]))](part, rng)
    part.image.masked_fill_(outside, 0)


def unenhanced(scene: Scene, rng: Generator) -> None:
    """Enhancement on T1c weakened, or taken away: then what enhanced is non-enhancing core."""
    rim = scene.labels == ENHANCING
    if int(rim.sum()) < FEW:
        return
    away = rng.random() < 0.7
    bright = scene.image[T1C][rim].mean()
    level = _surroundings(scene)[T1C] - float(rng.uniform(0.0, 0.8)) if away else bright * float(rng.uniform(0.2, 0.6))
    weight = soft(rim)
    flat = (scene.image[T1C] - bright) * float(rng.uniform(0.2, 0.5)) + level
    scene.image[T1C].lerp_(flat, weight)
    if away:
        scene.labels[rim] = CORE


def cystic(scene: Scene, rng: Generator) -> None:
    """The core filled with fluid, often dark on FLAIR."""
    core = scene.labels == CORE
    if int(core.sum()) < FEW:
        return
    _paint(scene, soft(core) * float(rng.uniform(0.6, 1.0)), _drawn(CYST_SIGNAL, rng))


def faint(scene: Scene, rng: Generator) -> None:
    """All regions brought towards the tissue around them, by the same share of their contrast."""
    around, share = _surroundings(scene), float(rng.uniform(0.3, 0.65))
    for label in (CORE, OEDEMA, ENHANCING):
        region = scene.labels == label
        if region.any():
            weight = soft(region) * share
            for channel in range(4):
                # enhancement is what defines its region: it is kept visible
                kept = 0.5 if (label, channel) == (ENHANCING, T1C) else 1.0
                contrast = float(scene.image[channel][region].mean() - around[channel]) * kept
                scene.image[channel] -= weight * contrast


def recoloured(scene: Scene, rng: Generator) -> None:
    """Each region a little brighter or darker in each contrast."""
    for label in (CORE, OEDEMA, ENHANCING):
        weight = soft(scene.labels == label)
        for channel, shift in enumerate(rng.normal(0, 0.45, 4)):
            scene.image[channel] += weight * float(max(shift, -0.3) if label == ENHANCING else shift)


def enhanced(scene: Scene, rng: Generator) -> None:
    """Part of the core enhances: a patch of it, or its rim."""
    core = scene.labels == CORE
    if int(core.sum()) < 4 * FEW:
        return
    if rng.random() < 0.5:
        part = core & (smooth_field(core.shape, rng, 14) > float(rng.uniform(0.2, 1.0)))
    else:
        part = core & (soft(core, 2) < float(rng.uniform(0.85, 0.97)))
    if int(part.sum()) < FEW:
        return
    scene.image[T1C] += soft(part) * float(rng.uniform(1.0, 2.8))
    scene.labels[part] = ENHANCING


def move(scene: Scene, donor: Scene, rng: Generator) -> None:
    """The donor's tumour, mirrored and rescaled, set into healthy tissue of `scene`; nothing where it does not fit."""
    box = tumour_box(donor.labels)
    if box is None:
        return
    part = donor.view(box)
    axes = [axis for axis in range(3) if rng.random() < 0.5]
    image, labels = part.image.flip([axis + 1 for axis in axes]), part.labels.flip(axes)
    factor = float(rng.uniform(0.35, 1.1))
    size = [max(4, round(length * factor)) for length in labels.shape]
    guest = Scene(
        functional.interpolate(image[None], size=size, mode="trilinear", align_corners=False)[0],
        functional.interpolate(labels[None, None].float(), size=size, mode="nearest")[0, 0].to(torch.uint8),
    )
    place = _free_place(scene, guest.labels > 0, rng)
    if place is None:
        return
    host = scene.view(place)
    inside = host.inside
    shift = _surroundings(host) - _surroundings(guest)
    weight = soft(guest.labels > 0) * (inside & guest.inside)
    host.image.lerp_(guest.image + shift.view(4, 1, 1, 1), weight)
    taken = (guest.labels > 0) & inside
    host.labels[taken] = guest.labels[taken]


def grow(scene: Scene, rng: Generator) -> None:
    """A tumour drawn from nothing: a lobed body with or without cyst, rim, core and oedema; edges sharp or diffuse."""
    radius = float(np.exp(rng.uniform(np.log(6), np.log(26))))
    half = int(np.ceil(1.6 * radius)) + MARGIN
    axes = [torch.arange(-half, half + 1, dtype=torch.float32) / float(s) for s in rng.uniform(0.75, 1.3, 3) * radius]
    i, j, k = axes
    distance = torch.sqrt(i[:, None, None] ** 2 + j[None, :, None] ** 2 + k[None, None, :] ** 2)
    distance += 0.22 * smooth_field(distance.shape, rng, 0.7 * radius)
    core = float(rng.uniform(0.45, 0.95)) if rng.random() < 0.8 else 0.0
    rim = core - min(core, float(rng.uniform(2.0, 6.0)) / radius) if rng.random() < 0.4 else core
    labels = torch.zeros(distance.shape, dtype=torch.uint8)
    labels[distance < (1.0 if core == 0 or rng.random() < 0.8 else core)] = OEDEMA
    labels[distance < core] = ENHANCING
    labels[distance < rim] = CORE
    place = _free_place(scene, labels > 0, rng)
    if place is None:
        return
    host = scene.view(place)
    inside = host.inside
    width = int(rng.integers(1, 5))
    strength = float(rng.uniform(0.6, 1.0))
    cyst = rng.random() < 0.3
    for label in (OEDEMA, CORE, ENHANCING):
        signal = CYST_SIGNAL if cyst and label == CORE else SIGNAL[label]
        region = labels == label
        if region.any():
            _paint(host, soft(region, width if label == OEDEMA else 1) * strength, _drawn(signal, rng))
    host.image.masked_fill_(~inside, 0)
    taken = (labels > 0) & inside
    host.labels[taken] = labels[taken]


def tumour_box(labels: Tensor) -> Box | None:
    """The box of all labels with MARGIN around it, inside the array; None without any."""
    marked = labels > 0
    if not bool(marked.any()):
        return None
    ranges = []
    for axis in range(3):
        first, second = (other for other in range(3) if other != axis)
        hit = torch.nonzero(marked.any(second).any(first)).flatten()
        ranges.append(slice(max(0, int(hit[0]) - MARGIN), int(hit[-1]) + 1 + MARGIN))
    return (ranges[0], ranges[1], ranges[2])


def soft(mask: Tensor, width: int = 1) -> Tensor:
    """Weights 0..1 of the mask (I, J, K): its edge spread over `width` voxels, half or more inside, however thin."""
    size = 2 * width + 1
    spread = functional.avg_pool3d(mask[None, None].float(), size, stride=1, padding=width, count_include_pad=False)
    return (spread[0, 0] + mask) / 2


def smooth_field(shape: tuple[int, ...], rng: Generator, wavelength: float) -> Tensor:
    """Random values of unit variance at knots `wavelength` voxels apart, interpolated to `shape`."""
    knots = [max(2, round(length / wavelength) + 1) for length in shape]
    coarse = torch.from_numpy(rng.standard_normal((1, 1, *knots), dtype=np.float32))
    return functional.interpolate(coarse, size=tuple(shape), mode="trilinear", align_corners=True)[0, 0]


def _paint(scene: Scene, weight: Tensor, levels: Tensor) -> None:
    """Bring the image towards `levels` (4,) by `weight`, keeping part of the texture below."""
    for channel in range(4):
        mean = (scene.image[channel] * weight).sum() / weight.sum()
        texture = (scene.image[channel] - mean) * 0.3
        scene.image[channel].lerp_(texture + levels[channel], weight)


def _drawn(signal: tuple[tuple[float, ...], tuple[float, ...]], rng: Generator) -> Tensor:
    mean, spread = signal
    return torch.from_numpy(rng.normal(mean, spread).astype(np.float32))


def _surroundings(scene: Scene) -> Tensor:
    """Mean (4,) of the brain around the tumour; 0, the mean of any brain, where there is next to none."""
    around = scene.inside & (scene.labels == 0)
    if int(around.sum()) < FEW:
        return torch.zeros(4)
    return scene.image[:, around].mean(1)


def _free_place(scene: Scene, mask: Tensor, rng: Generator, tries: int = 12) -> Box | None:
    """A box of the mask's shape where most of the mask lies in brain without a tumour; None when none is found."""
    free = scene.inside & (scene.labels == 0)
    room = [a - b for a, b in zip(free.shape, mask.shape, strict=True)]
    if min(room) < 0:
        return None
    wanted = int(mask.sum())
    for _ in range(tries):
        start = [int(rng.integers(length + 1)) for length in room]
        i, j, k = (slice(s, s + n) for s, n in zip(start, mask.shape, strict=True))
        if int((free[i, j, k] & mask).sum()) >= 0.85 * wanted:
            return (i, j, k)
    return None
