"""From a heat map to candidates: local maxima, refined below the cell, without near duplicates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medimg import geometry

MIN_DISTANCE_MM = 5.0
"""Two maxima closer than this are one nodule: about two cells, the width of the smallest target."""

DIAMETER_FRACTION = 0.5
"""Within this fraction of the stronger one's diameter of its centre (that is, inside it) a maximum is suppressed."""

DIAMETER_RANGE_MM = (2.0, 60.0)
"""What the network may call a nodule's diameter; LIDC-IDRI's nodules measure 3-30 mm."""

MAX_CANDIDATES = 100
"""LUNA16 reads at most 100 marks a scan (shared/reference/conventions.md)."""


@dataclass(frozen=True)
class Candidates:
    """Strongest first. voxels: (N, 3) centres on the network's input grid; probability (N,); diameter_mm (N,)."""

    voxels: NDArray[np.float64]
    probability: NDArray[np.float64]
    diameter_mm: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.probability)

    def select(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> Candidates:
        """The candidates a mask or index array picks."""
        return Candidates(self.voxels[keep], self.probability[keep], self.diameter_mm[keep])


@dataclass(frozen=True)
class Detection:
    """One candidate in the patient's frame: center_lps_mm (x, y, z)."""

    center_lps_mm: tuple[float, float, float]
    probability: float
    diameter_mm: float


def cell_to_voxel(cells: NDArray[np.float64], stride: int) -> NDArray[np.float64]:
    """Centre of heat map cells in input voxels: a cell covers `stride` voxels, so flips of even grids keep it."""
    return np.asarray(cells * stride + (stride - 1) / 2)


def peaks(
    probability: Tensor,
    log_diameter: Tensor,
    stride: int,
    threshold: float,
    *,
    voxel_mm: float = 1.0,
    max_candidates: int = MAX_CANDIDATES,
) -> Candidates:
    """Candidates of one heat map.

    probability: (A, B, C) in 0..1; log_diameter: (A, B, C), natural logarithm of millimetres; stride: input voxels
    per cell; voxel_mm: spacing of the (isotropic) input grid. A candidate is a cell at least as high as its 26
    neighbours and `threshold`; its position is the probability-weighted mean of those 27 cells.
    """
    heat = probability.detach().float()
    highest = functional.max_pool3d(heat[None, None], 3, stride=1, padding=1)[0, 0]
    cells = torch.nonzero((heat >= highest) & (heat >= threshold))
    scores = heat[cells[:, 0], cells[:, 1], cells[:, 2]]
    # a plateau can hold many equal cells: suppression below needs only the strongest of them
    order = torch.argsort(scores, descending=True, stable=True)[: 10 * max_candidates]
    cells, scores = cells[order], scores[order]
    offset, log_d = _refine(heat, log_diameter.detach().float(), cells)
    candidates = Candidates(
        cell_to_voxel(cells.double().cpu().numpy() + offset, stride),
        scores.double().cpu().numpy(),
        np.clip(np.exp(log_d), *DIAMETER_RANGE_MM),
    )
    return candidates.select(suppress(candidates, voxel_mm)[:max_candidates])


def suppress(candidates: Candidates, voxel_mm: float = 1.0) -> NDArray[np.int64]:
    """Indices of candidates no stronger one claims, strongest first. A claim is a ball: see the constants above."""
    order = np.argsort(-candidates.probability, kind="stable")
    points = candidates.voxels * voxel_mm
    reach = np.maximum(MIN_DISTANCE_MM, DIAMETER_FRACTION * candidates.diameter_mm)
    kept: list[int] = []
    for index in order:
        distance = np.linalg.norm(points[kept] - points[index], axis=1)
        if not (distance < reach[kept]).any():
            kept.append(int(index))
    return np.array(kept, dtype=np.int64)


def detections_lps(candidates: Candidates, affine_ras: geometry.Affine) -> list[Detection]:
    """Candidates on a grid with `affine_ras` (voxel -> RAS mm) as detections in LPS mm."""
    centres = geometry.ras_to_lps(geometry.to_world(affine_ras, candidates.voxels))
    return [
        Detection((float(x), float(y), float(z)), float(probability), float(diameter))
        for (x, y, z), probability, diameter in zip(
            centres, candidates.probability, candidates.diameter_mm, strict=True
        )
    ]


def _refine(heat: Tensor, log_diameter: Tensor, cells: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probability-weighted mean offset (N, 3) in cells, and log diameter (N,), over the 3x3x3 neighbourhood."""
    around = torch.cartesian_prod(*[torch.arange(-1, 2, device=heat.device)] * 3)
    index = cells[:, None] + around
    shape = torch.tensor(heat.shape, device=heat.device)
    inside = ((index >= 0) & (index < shape)).all(-1)
    i, j, k = torch.minimum(index.clamp_min(0), shape - 1).unbind(-1)
    weight = heat[i, j, k].double() * inside
    # a maximum of zero has no neighbourhood to weigh
    weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-12)
    offset = torch.einsum("nm,mc->nc", weight, around.double())
    return offset.cpu().numpy(), (weight * log_diameter[i, j, k].double()).sum(1).cpu().numpy()
