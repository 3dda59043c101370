"""A scan with a label map on the model grid, and the training patches that are cut from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray
from torch import Tensor

Generator = np.random.Generator


@dataclass(frozen=True)
class LabelledCase:
    """image: float16 (C, I, J, K) after the bundle's preprocessing, 0 outside the patient; labels: uint8 (I, J, K).

    foreground, inside: voxel indices (N, 3) to centre patches on: labelled ones, and some of all within the patient.
    """

    name: str
    image: torch.Tensor
    labels: torch.Tensor
    foreground: NDArray[np.int16]
    inside: NDArray[np.int16]


def make_case(name: str, image: torch.Tensor, labels: NDArray[np.uint8]) -> LabelledCase:
    """A case from its model-grid arrays: float (C, I, J, K) and uint8 (I, J, K)."""
    plain = image.as_tensor() if isinstance(image, MetaTensor) else image
    inside = (plain != 0).any(0).numpy()
    return LabelledCase(
        name,
        plain.half(),
        torch.from_numpy(labels),
        np.argwhere(labels > 0).astype(np.int16),
        np.argwhere(inside)[::37].astype(np.int16),
    )


def patch(case: LabelledCase, size: int, foreground_share: float, rng: Generator) -> tuple[Tensor, Tensor]:
    """Image float32 (C, S, S, S) and labels uint8 (S, S, S), mirrored at random."""
    on_label = len(case.foreground) > 0 and rng.random() < foreground_share
    pool = case.foreground if on_label else case.inside
    centre = pool[rng.integers(len(pool))] + rng.uniform(-size / 5, size / 5, 3)
    image, labels = _cube(case, size, centre)
    axes = [axis for axis in range(3) if rng.random() < 0.5]
    return image.flip([axis + 1 for axis in axes]), labels.flip(axes)


def _cube(case: LabelledCase, size: int, centre: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """The cube of edge `size` voxels around `centre`, zeros where it leaves the scan."""
    start = np.rint(centre).astype(int) - size // 2
    image = torch.zeros((case.image.shape[0], size, size, size))
    labels = torch.zeros((size, size, size), dtype=torch.uint8)
    low = np.maximum(start, 0)
    high = np.minimum(start + size, case.labels.shape)
    if (high <= low).any():
        return image, labels
    i, j, k = (slice(a, b) for a, b in zip(low, high, strict=True))
    to_i, to_j, to_k = (slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))
    image[:, to_i, to_j, to_k] = case.image[:, i, j, k].float()
    labels[to_i, to_j, to_k] = case.labels[i, j, k]
    return image, labels
