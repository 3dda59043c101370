"""Continuous building blocks of the phantoms: grids in mm, signed distances, random fields, soft painting.

Everything takes coordinates in mm that broadcast against each other, so that the same function serves
a whole grid, given as (I, 1, 1), (1, J, 1), (1, 1, K), and a list of N points, given as three (N,).
Distances are in mm, negative inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medimg import geometry

Field = NDArray[np.float32]
Triple = tuple[float, float, float]

TINY = 1e-3
"""Keeps radii away from zero where a distance is taken along the ray through a centre."""


@dataclass(frozen=True)
class Grid:
    """An axis-aligned voxel grid whose axes i, j, k run to left, posterior, superior (LPS mm)."""

    shape: tuple[int, int, int]
    spacing_mm: Triple
    origin_lps_mm: Triple

    @classmethod
    def centred(cls, shape: tuple[int, int, int], spacing_mm: Triple, center_lps_mm: Triple) -> Grid:
        """The grid of `shape` whose middle lies at `center_lps_mm`."""
        origin = [c - s * (n - 1) / 2 for n, s, c in zip(shape, spacing_mm, center_lps_mm, strict=True)]
        return cls(shape, spacing_mm, (origin[0], origin[1], origin[2]))

    @property
    def affine_ras(self) -> geometry.Affine:
        """Voxel index -> RAS mm, (4, 4)."""
        affine_lps = np.diag([*self.spacing_mm, 1.0])
        affine_lps[:3, 3] = self.origin_lps_mm
        return geometry.swap_ras_lps(affine_lps)

    def axis_mm(self, axis: int) -> Field:
        """LPS coordinate of every voxel along one axis, (N,)."""
        return (self.origin_lps_mm[axis] + self.spacing_mm[axis] * np.arange(self.shape[axis])).astype(np.float32)

    def coordinates(self) -> tuple[Field, Field, Field]:
        """x (I, 1, 1), y (1, J, 1), z (1, 1, K) in LPS mm."""
        x, y, z = (self.axis_mm(axis) for axis in range(3))
        return x[:, None, None], y[None, :, None], z[None, None, :]

    def window(self, low_lps_mm: ArrayLike, high_lps_mm: ArrayLike) -> tuple[slice, slice, slice] | None:
        """Voxels whose centres lie in the box, or None where the grid has none of them."""
        origin, spacing = np.array(self.origin_lps_mm), np.array(self.spacing_mm)
        start = np.maximum(np.ceil((np.asarray(low_lps_mm) - origin) / spacing), 0).astype(int)
        stop = np.minimum(np.floor((np.asarray(high_lps_mm) - origin) / spacing) + 1, self.shape).astype(int)
        if (start >= stop).any():
            return None
        return (slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2]))

    def windowed(self, window: tuple[slice, slice, slice]) -> tuple[Field, Field, Field]:
        """`coordinates` of the voxels of a window only."""
        x, y, z = (self.axis_mm(axis)[part] for axis, part in enumerate(window))
        return x[:, None, None], y[None, :, None], z[None, None, :]


@dataclass(frozen=True)
class Waves:
    """A smooth random field of unit variance: a sum of plane waves of about one wavelength.

    Analytic, so that a phantom has the same anatomy on every grid.
    """

    vectors: NDArray[np.float64]
    phases: NDArray[np.float64]

    @classmethod
    def draw(cls, rng: np.random.Generator, wavelength_mm: float, count: int = 16) -> Waves:
        """`count` directions spread over the sphere, wavelengths within 25 % of `wavelength_mm`."""
        directions = unit(rng.standard_normal((count, 3)))
        lengths = wavelength_mm * rng.uniform(0.75, 1.25, (count, 1))
        return cls(2 * np.pi * directions / lengths, rng.uniform(0, 2 * np.pi, count))

    def __call__(self, x: Field, y: Field, z: Field) -> Field:
        """Value at the coordinates; the shape is that of their broadcast."""
        total = np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y), np.shape(z)), dtype=np.float32)
        for vector, phase in zip(self.vectors, self.phases, strict=True):
            plane = np.exp(1j * (vector[0] * x + phase)) * np.exp(1j * vector[1] * y)
            line = np.exp(1j * vector[2] * z)
            # real part of the product, so that a grid costs two real multiplications and no sine per voxel
            total += plane.real.astype(np.float32) * line.real.astype(np.float32)
            total -= plane.imag.astype(np.float32) * line.imag.astype(np.float32)
        total *= np.float32(np.sqrt(2 / len(self.phases)))
        return total


def unit(vectors: ArrayLike) -> NDArray[np.float64]:
    """Vectors (..., 3) scaled to length 1."""
    array = np.asarray(vectors, dtype=np.float64)
    return np.asarray(array / np.maximum(np.linalg.norm(array, axis=-1, keepdims=True), 1e-12))


def ellipsoid(x: Any, y: Any, z: Any, center: Triple, semi_axes: Triple, power: float = 2.0) -> Field:
    """Distance along the ray through the centre to a (super)ellipsoid; an infinite semi-axis makes a cylinder."""
    offsets = [a - np.float32(c) for a, c in zip((x, y, z), center, strict=True)]
    endless = [bool(np.isinf(axis)) for axis in semi_axes]
    radius2, level = np.float32(0), np.float32(0)
    for offset, axis, skip in zip(offsets, semi_axes, endless, strict=True):
        if not skip:
            radius2 = radius2 + offset**2
            level = level + np.abs(offset / np.float32(axis)) ** np.float32(power)
    level = np.sqrt(level) if power == 2.0 else level ** np.float32(1 / power)
    return np.asarray(np.sqrt(radius2) * (1 - 1 / np.maximum(level, np.float32(TINY))), dtype=np.float32)


def capsule(x: Field, y: Field, z: Field, start: ArrayLike, end: ArrayLike, radii: tuple[float, float]) -> Field:
    """Distance to a round-ended tube from `start` to `end` (LPS mm) whose radius goes from radii[0] to radii[1]."""
    p, q = np.asarray(start, dtype=np.float32), np.asarray(end, dtype=np.float32)
    axis = q - p
    length2 = np.float32(max(float(axis @ axis), 1e-6))
    dx, dy, dz = x - p[0], y - p[1], z - p[2]
    along = np.clip((dx * axis[0] + dy * axis[1] + dz * axis[2]) / length2, 0, 1)
    distance2 = (dx - along * axis[0]) ** 2 + (dy - along * axis[1]) ** 2 + (dz - along * axis[2]) ** 2
    return np.asarray(np.sqrt(distance2) - (radii[0] + along * np.float32(radii[1] - radii[0])), dtype=np.float32)


def smooth_max(a: Field, b: Field, width_mm: float) -> Field:
    """Maximum of two distances (intersection of two bodies) with the crease rounded over `width_mm`."""
    blend = np.maximum(np.float32(width_mm) - np.abs(a - b), 0)
    return np.asarray(np.maximum(a, b) + blend * blend / np.float32(4 * width_mm), dtype=np.float32)


def smooth_min(a: Field, b: Field, width_mm: float) -> Field:
    """Minimum of two distances (union of two bodies) with the crease filled over `width_mm`."""
    return -smooth_max(-a, -b, width_mm)


def coverage(distance: Field, width_mm: float) -> Field:
    """Share of a voxel inside the body (partial volume): 1 deep inside, 0 outside, linear over `width_mm`."""
    return np.asarray(np.clip(0.5 - distance / np.float32(width_mm), 0, 1), dtype=np.float32)


def paint(volume: Field, share: Field, value: ArrayLike) -> None:
    """Mix `value` into `volume` in place, by the share (0..1) of each voxel it fills."""
    volume += share * (np.asarray(value, dtype=np.float32) - volume)
