"""Small CT excerpts with one nodule of known volume: bodies painted finely, blurred as a scanner does, sampled, noisy.

What a measurement is held against. The truth is counted on the fine grid before blur and noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medimg.phantoms.shapes import Field, Grid, Triple, coverage, ellipsoid, paint
from medimg.study import Source, Volume

LUNG_HU, SOLID_HU, WALL_HU = -860.0, 30.0, 40.0
"""Lung at inspiration, a solid nodule without contrast medium, the chest wall (textbook values)."""

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
