"""Findings of two lists paired one to one, each at most once, by where they lie and how large they are. Frames: LPS mm.

The assignment problem (Kuhn, Naval Research Logistics Quarterly 1955;2:83-97) as scipy solves it: of all ways to pair,
the one with the least total cost, where leaving two findings alone costs as much as a pair at the gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIZE_MM_PER_OCTAVE = 2.0
"""Cost of a doubling or halving of the diameter, as if it were so many mm of distance: enough to decide between
neighbours, little beside the gate. A nodule that doubles its diameter has eight times its volume."""

SMALLEST_MM = 1.0
"""Diameters below this, and those not known, count as this where sizes are compared."""


@dataclass(frozen=True)
class Place:
    """Where something lies, (x, y, z) in mm, and its diameter in mm (None where not known)."""

    center_mm: tuple[float, float, float]
    diameter_mm: float | None


@dataclass(frozen=True)
class Pair:
    """Indices into the two lists, and the distance between the two centres."""

    first: int
    second: int
    distance_mm: float


def pair(first: Sequence[Place], second: Sequence[Place], gate_mm: float) -> list[Pair]:
    """The pairs, by index of the first; what is in none has no partner.

    The cost of a pair is the distance of the centres, less half the difference of the diameters (what grows to one
    side moves its centre by as much), and SIZE_MM_PER_OCTAVE; no pair costs more than `gate_mm`.
    """
    from scipy.optimize import linear_sum_assignment

    if not first or not second:
        return []
    distance = np.linalg.norm(_centers(first)[:, None] - _centers(second)[None], axis=-1)
    mine, theirs = _diameters(first)[:, None], _diameters(second)[None]
    apart = np.maximum(distance - np.abs(mine - theirs) / 2, 0.0)
    cost = apart + SIZE_MM_PER_OCTAVE * np.abs(np.log2(mine / theirs))
    allowed = cost <= gate_mm
    # a partner of its own for everything, so that nobody must be paired
    padded = np.full((len(first) + len(second),) * 2, gate_mm / 2)
    padded[: len(first), : len(second)] = np.where(allowed, cost, 4 * gate_mm)
    padded[len(first) :, len(second) :] = 0.0
    rows, columns = linear_sum_assignment(padded)
    return [
        Pair(int(a), int(b), round(float(distance[a, b]), 3))
        for a, b in zip(rows, columns, strict=True)
        if a < len(first) and b < len(second) and allowed[a, b]
    ]


def _centers(places: Sequence[Place]) -> NDArray[np.float64]:
    return np.array([place.center_mm for place in places], dtype=np.float64).reshape(-1, 3)


def _diameters(places: Sequence[Place]) -> NDArray[np.float64]:
    """Diameters for comparing; unknown ones count as the smallest."""
    return np.array([max(place.diameter_mm or 0.0, SMALLEST_MM) for place in places])
