"""Branching trees that fill a volume: pulmonary vessels and airways as tapered tubes.

The tree grows towards points spread over the lung: a branch runs part of the way to the centroid of
its points, then the points are halved and each half gets a branch (the volume-filling idea of
Tawhai, Pullan and Hunter, Ann Biomed Eng 2000;28:793-802).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medimg.phantoms.shapes import Field, Grid, capsule, coverage, unit

MURRAY_EXPONENT = 2.7
"""radius^x is conserved at a branching; 3 in Murray's law (1926), 2.7 fits lungs (Weibel's morphometry)."""

STEP_SHARE = (0.3, 0.55)
"""How far a branch runs towards the centroid of its points, as a share of the way."""

SPLIT_SHARE = (0.3, 0.7)
"""Where the points of a branch are divided: real lungs branch unevenly."""

BEND = 0.08
"""Sideways shift of a branch's middle, as a share of its length."""


@dataclass(frozen=True)
class Tubes:
    """N tapered tubes. start, end: (N, 3) LPS mm; radius: (N, 2) mm at start and end."""

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    radius: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.start)

    def distance(self, points_lps_mm: ArrayLike) -> NDArray[np.float64]:
        """Distance of each of M points (M, 3) to the surface of each tube, (M, N); negative inside."""
        points = np.asarray(points_lps_mm, dtype=np.float64)[:, None, :]
        axis = self.end - self.start
        length2 = np.maximum((axis**2).sum(axis=1), 1e-6)
        along = np.clip(((points - self.start) * axis).sum(axis=2) / length2, 0, 1)
        nearest = self.start + along[..., None] * axis
        radius = self.radius[:, 0] + along * (self.radius[:, 1] - self.radius[:, 0])
        return np.asarray(np.linalg.norm(points - nearest, axis=2) - radius)

    def kept(self, keep: NDArray[np.bool_]) -> Tubes:
        """The tubes of a (N,) mask."""
        return Tubes(self.start[keep], self.end[keep], self.radius[keep])

    def resized(self, factor: float, extra_mm: float = 0.0) -> Tubes:
        """The same tubes with radius * factor + extra_mm."""
        return Tubes(self.start, self.end, self.radius * factor + extra_mm)


def joined(parts: list[Tubes]) -> Tubes:
    """All tubes of several trees."""
    return Tubes(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("start", "end", "radius")))


def polyline(points_lps_mm: ArrayLike, radius_mm: ArrayLike) -> Tubes:
    """Tubes along M points (M, 3) with one radius or one for each point (M,)."""
    points = np.asarray(points_lps_mm, dtype=np.float64)
    radius = np.broadcast_to(np.asarray(radius_mm, dtype=np.float64), len(points))
    return Tubes(points[:-1], points[1:], np.stack([radius[:-1], radius[1:]], axis=1))


def grow(rng: np.random.Generator, root: ArrayLike, tips: NDArray[np.float64], radii: tuple[float, float]) -> Tubes:
    """A tree from `root` (3,) that ends in every one of `tips` (N, 3); LPS mm.

    radii: (of a tip, the largest allowed) in mm.
    """
    segments: list[tuple[NDArray[np.float64], NDArray[np.float64], float, float]] = []
    first = _radius(len(tips), radii)
    pending = [(np.asarray(root, dtype=np.float64), tips, first)]
    while pending:
        start, points, parent_radius = pending.pop()
        radius = _radius(len(points), radii)
        way = points.mean(axis=0) - start
        end = start + way * (1.0 if len(points) == 1 else rng.uniform(*STEP_SHARE))
        middle = (start + end) / 2 + BEND * np.linalg.norm(end - start) * rng.standard_normal(3)
        # the child begins as wide as itself or a little wider, never as wide as its parent
        begin = min(parent_radius, 1.15 * radius)
        segments += [(start, middle, begin, radius), (middle, end, radius, radius)]
        if len(points) > 1:
            pending += [(end, half, radius) for half in _halves(rng, points)]
    starts, ends, begins, finishes = zip(*segments, strict=True)
    return Tubes(np.array(starts), np.array(ends), np.stack([begins, finishes], axis=1))


def _radius(tips: int, radii: tuple[float, float]) -> float:
    return float(min(radii[1], radii[0] * tips ** (1 / MURRAY_EXPONENT)))


def _halves(rng: np.random.Generator, points: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Divide points (N, 3), N >= 2, across their longest direction, give or take."""
    centred = points - points.mean(axis=0)
    longest = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    along = centred @ unit(longest + 0.3 * rng.standard_normal(3))
    cut = min(max(round(len(points) * rng.uniform(*SPLIT_SHARE)), 1), len(points) - 1)
    order = np.argsort(along, kind="stable")
    return [points[order[:cut]], points[order[cut:]]]


def render(tubes: Tubes, grid: Grid, width_mm: float) -> Field:
    """Share of every voxel that lies in any tube, (I, J, K) in 0..1."""
    share = np.zeros(grid.shape, dtype=np.float32)
    margin = tubes.radius.max(axis=1)[:, None] + width_mm
    low, high = np.minimum(tubes.start, tubes.end) - margin, np.maximum(tubes.start, tubes.end) + margin
    for index in range(len(tubes)):
        window = grid.window(low[index], high[index])
        if window is None:
            continue
        x, y, z = grid.windowed(window)
        radii = (float(tubes.radius[index, 0]), float(tubes.radius[index, 1]))
        distance = capsule(x, y, z, tubes.start[index], tubes.end[index], radii)
        np.maximum(share[window], coverage(distance, width_mm), out=share[window])
    return share
