"""How one scan differs from the next: slice thickness, kernel, dose, calibration. HU in, network input out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

WINDOW_HU = (-1200.0, 400.0)
"""Clipped to this, then (HU + 400) / 400: the bundle's ScaleIntensityRanged."""

NOISE_HU = (5.0, 70.0)
"""Standard deviation, log-uniform: a diagnostic to a very low dose."""


def normalised(hu: Tensor) -> Tensor:
    """HU to -2..2."""
    return (hu.clamp(*WINDOW_HU) + 400.0) / 400.0


def augmented(hu: Tensor, rng: np.random.Generator) -> Tensor:
    """(S, S, S) HU with the slice axis last -> the same with another scanner's look."""
    if rng.random() < 0.4:
        hu = _thick_slices(hu, int(rng.integers(2, 6)))
    if rng.random() < 0.5:
        hu = _kernel(hu, float(rng.uniform(-0.7, 0.8)))
    if rng.random() < 0.5:
        hu = hu + _noise(hu.shape, rng)
    gain = rng.uniform(0.93, 1.07) if rng.random() < 0.5 else 1.0
    shift = rng.normal(0, 25) if rng.random() < 0.5 else 0.0
    return (hu + 1000.0) * gain - 1000.0 + shift


def _thick_slices(hu: Tensor, thickness: int) -> Tensor:
    """Mean over `thickness` mm along the slice axis."""
    before = (thickness - 1) // 2
    padded = functional.pad(hu[None, None], (before, thickness - 1 - before, 0, 0, 0, 0), mode="replicate")
    return functional.avg_pool3d(padded, (1, 1, thickness), stride=1)[0, 0]


def _kernel(hu: Tensor, softness: float) -> Tensor:
    """Softer (towards the 3x3 mean in the plane) or, below zero, sharper."""
    mean = functional.avg_pool2d(hu.permute(2, 0, 1)[None], 3, stride=1, padding=1, count_include_pad=False)
    return torch.lerp(hu, mean[0].permute(1, 2, 0), softness)


def _noise(shape: torch.Size, rng: np.random.Generator) -> Tensor:
    """White, or correlated over two or three voxels in the plane as a soft kernel leaves it."""
    sigma = float(np.exp(rng.uniform(*np.log(NOISE_HU))))
    white = torch.from_numpy(rng.standard_normal(tuple(shape), dtype=np.float32))
    if rng.random() < 0.5:
        return white * sigma
    smooth = functional.avg_pool2d(white.permute(2, 0, 1)[None], 3, stride=1, padding=1)[0].permute(1, 2, 0)
    # the mean of nine values has a third of the deviation
    return smooth * (3.0 * sigma)
