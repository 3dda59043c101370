"""How one scan differs from the next: slice thickness, kernel, dose, calibration. HU in, network input out."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

WINDOW_HU = (-1200.0, 400.0)
"""Clipped to this, then (HU + 400) / 400: the bundle's ScaleIntensityRanged."""

NOISE_HU = (5.0, 70.0)
"""Standard deviation, log-uniform: a diagnostic to a very low dose."""


QUANTUM_HU = 4.0
"""Standard deviation of the least noise: it hides that lung_boxes are stored in steps of 8 HU and crops are not."""

NOISE_GRID = 112
"""Edge of the block of white noise that every patch takes a piece of: drawing afresh costs a tenth of a step."""


def normalised(hu: Tensor) -> Tensor:
    """HU to -2..2."""
    return (hu.clamp(*WINDOW_HU) + 400.0) / 400.0


def augmented(hu: Tensor, rng: np.random.Generator) -> Tensor:
    """(S, S, S) HU with the slice axis last -> the same with another scanner's look."""
    if rng.random() < 0.4:
        hu = _thick_slices(hu, int(rng.integers(2, 6)))
    if rng.random() < 0.5:
        hu = _kernel(hu, float(rng.uniform(-0.7, 0.8)))
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
    return torch.lerp(hu, _plane_mean(hu), softness)


def _noise(shape: torch.Size, rng: np.random.Generator) -> Tensor:
    """White, or correlated over two or three voxels in the plane as a soft kernel leaves it; often next to none."""
    corner = rng.integers(0, NOISE_GRID - np.array(shape), endpoint=True)
    white = _white()[tuple(slice(a, a + n) for a, n in zip(corner, shape, strict=True))]
    if rng.random() < 0.5:
        return white * QUANTUM_HU
    sigma = float(np.exp(rng.uniform(*np.log(NOISE_HU))))
    # the mean of nine values has a third of the deviation
    return white * sigma if rng.random() < 0.5 else _plane_mean(white) * (3.0 * sigma)


@cache
def _white() -> Tensor:
    noise = np.random.default_rng(0).standard_normal((NOISE_GRID,) * 3, dtype=np.float32)
    return torch.from_numpy(noise)


def _plane_mean(values: Tensor) -> Tensor:
    """Mean over 3x3 in the plane; the edge is repeated. Sums of shifted views: several times faster than pooling."""
    for axis in (0, 1):
        n = values.shape[axis]
        below = torch.cat([values.narrow(axis, 0, 1), values.narrow(axis, 0, n - 1)], axis)
        above = torch.cat([values.narrow(axis, 1, n - 1), values.narrow(axis, n - 1, 1)], axis)
        values = (below + values + above) / 3
    return values
