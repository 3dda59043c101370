"""Lung nodules of known place, size and kind, painted into a phantom (or any CT on a `Grid`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from medimg.errors import UsageError
from medimg.phantoms.shapes import Field, Grid, Triple, Waves, coverage, paint, unit

Kind = Literal["solid", "part_solid", "ground_glass"]

SOLID_HU, GROUND_GLASS_HU = 35.0, -560.0
"""Textbook attenuation of a solid nodule without contrast medium and of pure ground glass."""

CORE_SHARE = 0.55
"""Radius of the solid core of a part-solid nodule, as a share of the whole radius."""

GROUND_GLASS_EDGE_MM = 2.0
"""Ground glass fades out; a solid nodule ends within a voxel."""

ROUGHNESS = 0.09
"""Standard deviation of the radius over directions, as a share of it: slightly irregular."""

SPHERE_SAMPLES = 400
"""Directions over which the volume of the irregular shape is integrated."""


@dataclass(frozen=True)
class Nodule:
    """center_lps_mm: middle of the shape; diameter_mm: of the sphere of equal volume."""

    center_lps_mm: Triple
    diameter_mm: float
    kind: Kind = "solid"

    def __post_init__(self) -> None:
        """Raise UsageError for a kind that does not exist or a diameter that is none."""
        if self.kind not in get_args(Kind):
            raise UsageError(f"nodule kind {self.kind!r} is unknown; use one of {', '.join(get_args(Kind))}")
        if not 0 < self.diameter_mm < np.inf:
            raise UsageError(f"nodule diameter {self.diameter_mm} mm is not a size; use a positive number")


@dataclass(frozen=True)
class Surface:
    """Radius over directions: an ellipsoid roughened by low-order waves, its volume that of a sphere of `radius_mm`."""

    radius_mm: float
    stretch: NDArray[np.float64]
    waves: Waves

    @classmethod
    def draw(cls, rng: np.random.Generator, diameter_mm: float) -> Surface:
        """A shape whose volume is that of a sphere of `diameter_mm`."""
        stretch = rng.uniform(0.88, 1.14, 3)
        shape = cls(1.0, stretch, Waves.draw(rng, 1.6, 8))
        directions = _fibonacci_sphere(SPHERE_SAMPLES)
        mean_cube = float((shape.radius(directions.T.astype(np.float32)) ** 3).mean())
        return cls(diameter_mm / 2 / mean_cube ** (1 / 3), stretch, shape.waves)

    def radius(self, direction: NDArray[np.float32]) -> Field:
        """Radius in mm along unit vectors (3, ...)."""
        x, y, z = direction
        ellipsoid = 1 / np.sqrt(sum((part / s) ** 2 for part, s in zip((x, y, z), self.stretch, strict=True)))
        roughness = np.clip(1 + ROUGHNESS * self.waves(x, y, z), 0.7, 1.3)
        return np.asarray(self.radius_mm * ellipsoid * roughness, dtype=np.float32)

    def distance(self, offset: NDArray[np.float32]) -> Field:
        """Distance along the ray from the centre, (3, ...) mm -> (...)."""
        length = np.sqrt((offset**2).sum(axis=0))
        return np.asarray(length - self.radius(offset / np.maximum(length, 1e-4)), dtype=np.float32)


def _fibonacci_sphere(count: int) -> NDArray[np.float64]:
    """Directions (N, 3) spread evenly over the sphere along a golden-angle spiral."""
    height = 1 - (2 * np.arange(count) + 1) / count
    angle = np.pi * (3 - np.sqrt(5)) * np.arange(count)
    ring = np.sqrt(1 - height**2)
    return unit(np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=1))


def add_nodule(
    volume: Field,
    labels: NDArray[np.uint8],
    grid: Grid,
    nodule: Nodule,
    label: int,
    seed: tuple[int, ...],
    width_mm: float,
) -> None:
    """Paint one nodule into `volume` (HU) and its voxels as `label` into `labels`, both in place.

    The shape depends on `seed` only, so it is the same on every grid. A nodule outside the grid changes nothing.
    """
    surface = Surface.draw(np.random.default_rng(seed), nodule.diameter_mm)
    center = np.array(nodule.center_lps_mm)
    reach = 0.8 * nodule.diameter_mm + GROUND_GLASS_EDGE_MM
    window = grid.window(center - reach, center + reach)
    if window is None:
        return
    axes = [axis - np.float32(c) for axis, c in zip(grid.windowed(window), center, strict=True)]
    distance = surface.distance(np.stack(np.broadcast_arrays(*axes)))
    part = volume[window]
    if nodule.kind == "solid":
        paint(part, coverage(distance, width_mm), SOLID_HU)
    else:
        # ground glass adds to what is there: vessels stay visible through it
        share = coverage(distance, max(width_mm, GROUND_GLASS_EDGE_MM))
        part[...] = np.maximum(part, part + share * (np.float32(GROUND_GLASS_HU) - part))
    if nodule.kind == "part_solid":
        core = distance + np.float32((1 - CORE_SHARE) * nodule.diameter_mm / 2)
        paint(part, coverage(core, width_mm), SOLID_HU)
    labels[window][distance < 0] = label
