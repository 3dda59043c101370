"""Training patches of glioma heads: where they are taken, and what a scanner might do to them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from medimg.train.tumour_synthesis import smooth_field

Generator = np.random.Generator

DROPPED: tuple[tuple[tuple[int, ...], float], ...] = (
    ((), 0.7),
    ((1,), 0.06),
    ((2,), 0.06),
    ((1, 2), 0.08),
    ((0,), 0.02),
    ((3,), 0.03),
    ((0, 1, 2), 0.05),
)
"""Channels of (t1c, t1n, t2w, t2f) that a patch lacks, and how often: T1c + FLAIR and FLAIR alone among them."""


def scanner(image: Tensor, rng: Generator) -> Tensor:
    """What differs between scanners and hospitals: (4, S, S, S) changed in intensity, background kept at 0."""
    inside = (image != 0).any(0)
    if rng.random() < 0.15:
        image = _blurred(image, rng)
    if rng.random() < 0.15:
        image = _thick_slices(image, rng)
    noise = torch.Generator().manual_seed(int(rng.integers(1 << 31)))
    changed = torch.stack([_channel(channel, rng, noise) for channel in image])
    return changed * inside


def without(image: Tensor, channels: tuple[int, ...]) -> Tensor:
    """The patch (4, S, S, S) as if the channels had not been scanned: 0, their mean over the brain."""
    for channel in channels:
        image[channel] = 0
    return image


def dropped(rng: Generator) -> tuple[int, ...]:
    """Channels to leave out, drawn from DROPPED."""
    return DROPPED[int(rng.choice(len(DROPPED), p=[share for _, share in DROPPED]))][0]


def _channel(channel: Tensor, rng: Generator, noise: torch.Generator) -> Tensor:
    """Contrast, brightness, tone curve, bias field, noise and coarse grey levels of one contrast."""
    result = channel * float(rng.uniform(0.75, 1.3)) + float(rng.normal(0, 0.2))
    if rng.random() < 0.4:
        # a monotone tone curve on the -4..4 that normalised intensities keep to
        bend, bow = float(rng.uniform(-0.09, 0.09)), float(rng.uniform(-0.012, 0.012))
        square = result * result
        result = result + bend * square + bow * square * result
    if rng.random() < 0.35:
        result = result * torch.exp(smooth_field(tuple(channel.shape), rng, 32) * float(rng.uniform(0.05, 0.2)))
    if rng.random() < 0.4:
        grain = torch.randn(channel.shape, generator=noise)
        result = result.add_(grain, alpha=float(rng.uniform(0.03, 0.2)))
    if rng.random() < 0.3:
        step = float(rng.uniform(0.05, 0.2))
        result = torch.round(result / step) * step
    return result.clamp(-4, 4)


def _blurred(image: Tensor, rng: Generator) -> Tensor:
    mixed = functional.avg_pool3d(image[None], 3, stride=1, padding=1)[0]
    return image.lerp(mixed, float(rng.uniform(0.3, 1.0)))


def _thick_slices(image: Tensor, rng: Generator) -> Tensor:
    """As if one axis had been scanned in slices of 2-5 mm and interpolated."""
    axis = int(rng.integers(3))
    scale = [1.0, 1.0, 1.0]
    scale[axis] = 1 / float(rng.uniform(2.0, 5.0))
    size = [round(length * factor) for length, factor in zip(image.shape[1:], scale, strict=True)]
    thin = functional.interpolate(image[None], size=size, mode="area")
    return functional.interpolate(thin, size=tuple(image.shape[1:]), mode="trilinear", align_corners=False)[0]
