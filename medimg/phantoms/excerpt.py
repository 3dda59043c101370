"""Small CT excerpts with one nodule of known volume: bodies painted finely, blurred as a scanner does, sampled, noisy.

What a measurement is held against. The truth is counted on the fine grid before blur and noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medimg.phantoms.shapes import Field, Grid, Triple, capsule, coverage, ellipsoid, paint
from medimg.study import Source, Volume

LUNG_HU, SOLID_HU, WALL_HU, GLASS_HU = -860.0, 30.0, 40.0, -620.0
"""Lung at inspiration, a solid nodule without contrast medium, the chest wall, ground glass (textbook values)."""

FINE_MM = 0.35
"""The bodies are painted on voxels no larger than this."""

POINT_SPREAD_MM = 0.5
"""Standard deviation of the in-plane blur: a full width at half maximum of 1.2 mm, a medium to sharp kernel."""

Body = Callable[[Field, Field, Field], Field]
"""Signed distance in mm, negative inside, at LPS coordinates that broadcast."""


@dataclass(frozen=True)
class Layer:
    """A body and its attenuation. part_of_nodule: whether its volume belongs to the truth."""

    body: Body
    hu: float
    part_of_nodule: bool = False


@dataclass(frozen=True)
class Excerpt:
    """volume: the scan. volume_mm3: of the nodule's layers where no later layer covers them."""

    volume: Volume
    volume_mm3: float


def excerpt(
    layers: Sequence[Layer],
    spacing_mm: Triple = (1.0, 1.0, 1.0),
    side_mm: float = 44.0,
    noise_hu: float = 0.0,
    point_spread_mm: float = POINT_SPREAD_MM,
    seed: int = 0,
) -> Excerpt:
    """Paint `layers`, each over those before it, into lung and scan them on a grid centred on the origin.

    side_mm: edge of the cube. noise_hu: standard deviation after a blur of one voxel in the plane (grain).
    """
    parts = [max(1, int(np.ceil(step / FINE_MM))) for step in spacing_mm]
    shape = [int(side_mm / step) for step in spacing_mm]
    fine_spacing = tuple(step / n for step, n in zip(spacing_mm, parts, strict=True))
    fine_shape = tuple(n * p for n, p in zip(shape, parts, strict=True))
    fine = Grid.centred(fine_shape, fine_spacing, (0.0, 0.0, 0.0))  # type: ignore[arg-type]
    hu, share = _painted(layers, fine)
    blur = (point_spread_mm / fine_spacing[0], point_spread_mm / fine_spacing[1], 0.0)
    hu = np.asarray(ndimage.gaussian_filter(hu, blur), dtype=np.float32)
    # a voxel is the mean over its own size: along the slices that is the slice profile
    blocks = hu.reshape(shape[0], parts[0], shape[1], parts[1], shape[2], parts[2])
    array = blocks.mean(axis=(1, 3, 5)) + _grain((shape[0], shape[1], shape[2]), noise_hu, seed)
    grid = Grid.centred((shape[0], shape[1], shape[2]), spacing_mm, (0.0, 0.0, 0.0))
    source = Source(Path("excerpt.nii.gz"), "nifti")
    volume = Volume(np.rint(array).astype(np.int16), grid.affine_ras, source, "CT")
    return Excerpt(volume, float(share.sum(dtype=np.float64)) * float(np.prod(fine_spacing)))


def ball(center: Triple, diameter_mm: float) -> Body:
    """A sphere."""
    return lambda x, y, z: ellipsoid(x, y, z, center, (diameter_mm / 2,) * 3)


def solid_sphere(center: Triple, diameter_mm: float, hu: float = SOLID_HU) -> list[Layer]:
    """One nodule of one density."""
    return [Layer(ball(center, diameter_mm), hu, part_of_nodule=True)]


def solid_ellipsoid(center: Triple, diameter_mm: float) -> list[Layer]:
    """Semi-axes 1.3 : 0.8 : 0.96 of the radius along left, posterior, superior; the volume is the sphere's."""
    x, y = 1.3 * diameter_mm / 2, 0.8 * diameter_mm / 2
    semi_axes = (x, y, (diameter_mm / 2) ** 3 / (x * y))
    return [Layer(lambda a, b, c: ellipsoid(a, b, c, center, semi_axes), SOLID_HU, part_of_nodule=True)]


def part_solid(center: Triple, diameter_mm: float, core_share: float = 0.5) -> list[Layer]:
    """Ground glass with a solid core of `core_share` of its diameter."""
    core = Layer(ball(center, core_share * diameter_mm), SOLID_HU, part_of_nodule=True)
    return [*solid_sphere(center, diameter_mm, GLASS_HU), core]


def on_vessels(center: Triple, diameter_mm: float) -> list[Layer]:
    """A solid sphere where a vessel of 0.3 diameters (2 mm at least) ends and one of 0.7 times that goes on."""
    radius = max(1.0, 0.15 * diameter_mm)
    x, y, z = center
    ends = (((x + 40, y + 25, z + 12), radius), ((x - 40, y - 5, z + 12), 0.7 * radius))
    vessels = [Layer(partial(capsule, start=center, end=end, radii=(r, r)), SOLID_HU) for end, r in ends]
    return [*vessels, *solid_sphere(center, diameter_mm)]


def on_wall(center: Triple, diameter_mm: float, sunk: float, lung_radius_mm: float = 90.0) -> list[Layer]:
    """A solid sphere of which `sunk` diameters lie behind the pleura, on the left; the truth is the rest."""
    x, y, z = center
    middle = (x + diameter_mm * (0.5 - sunk) - lung_radius_mm, y, z)
    lung = (lung_radius_mm,) * 3
    return [
        *solid_sphere(center, diameter_mm),
        Layer(lambda a, b, c: -ellipsoid(a, b, c, middle, lung), WALL_HU),
    ]


def spiculated(center: Triple, diameter_mm: float, count: int, width_mm: float = 2.0) -> list[Layer]:
    """A solid sphere with straight strands of `width_mm` along spread directions, which are no part of the truth."""
    k = np.arange(count)
    height = 1 - (2 * k + 1) / max(count, 1)
    angle, ring = k * np.pi * (3 - np.sqrt(5)), np.sqrt(1 - height**2)
    ends = np.array(center) + diameter_mm * 1.5 * np.column_stack([ring * np.cos(angle), ring * np.sin(angle), height])
    strands = [
        Layer(partial(capsule, start=center, end=end, radii=(width_mm / 2, width_mm / 2)), SOLID_HU) for end in ends
    ]
    return [*strands, *solid_sphere(center, diameter_mm)]


def _painted(layers: Sequence[Layer], grid: Grid) -> tuple[Field, Field]:
    """HU (I, J, K), and the share of each voxel that is nodule."""
    axes = grid.coordinates()
    hu = np.full(grid.shape, LUNG_HU, dtype=np.float32)
    share = np.zeros(grid.shape, dtype=np.float32)
    width = float(np.cbrt(np.prod(grid.spacing_mm)))
    for layer in layers:
        covered = coverage(layer.body(*axes), width)
        paint(hu, covered, layer.hu)
        paint(share, covered, 1.0 if layer.part_of_nodule else 0.0)
    return hu, share


def _grain(shape: tuple[int, int, int], noise_hu: float, seed: int) -> NDArray[np.float64]:
    if noise_hu == 0:
        return np.zeros(shape)
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), (0.7, 0.7, 0.0))
    return np.asarray(noise * (noise_hu / noise.std()))
