"""What is searched: the lungs at 1 mm, with everything around them made as dark as they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medimg import geometry
from medimg.inference.isotropic import isotropic
from medimg.inference.roi import AIR_BELOW_HU, DILATION_MM, Chest

LUNG_HU = -850.0
"""Parenchyma at full inspiration; what lies outside the lungs gets it, so that a nodule at the pleura is a blob."""

DENSITY_HU = (-1000.0, 100.0)
"""Clipped to this: calcium, metal and bone are no more of a nodule than soft tissue is."""

CLOSING_MM = 8
"""Radius of the closing that takes nodules at the pleura into an excerpt's own lung."""


@dataclass(frozen=True)
class Region:
    """hu: (I, J, K) float32 on a RAS grid of 1 mm, LUNG_HU outside the lungs. lung: bool on the same grid.

    whole: whether lungs were recognised; False for an excerpt, whose own air is its lung.
    """

    hu: NDArray[np.float32]
    lung: NDArray[np.bool_]
    affine_ras: geometry.Affine
    whole: bool


def searched(chest: Chest) -> Region:
    """The region of a chest CT in HU or of an excerpt of one."""
    volume, found = chest.volume, chest.lungs
    grid = isotropic(volume if found is None else volume.crop(found.start, found.stop))
    lung = _own_lung(grid.array) if found is None else _without_rim(found.on_grid(grid))
    hu = np.clip(grid.array, *DENSITY_HU).astype(np.float32)
    hu[~lung] = LUNG_HU
    return Region(hu, lung, grid.affine_ras, found is not None)


def _without_rim(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask without the pleura that `roi` adds for the network."""
    return np.asarray(ndimage.binary_erosion(mask, iterations=round(DILATION_MM), border_value=1))


def _own_lung(hu: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Air of an excerpt, closed over what is small in it or lies at its edge, and filled."""
    air = ndimage.uniform_filter(hu.astype(np.float32), 3) < AIR_BELOW_HU
    if air.all() or not air.any():
        return np.ones(hu.shape, dtype=bool)
    padded = np.pad(air, CLOSING_MM, mode="edge")
    grown = ndimage.distance_transform_edt(~padded) <= CLOSING_MM
    closed = ndimage.distance_transform_edt(grown) > CLOSING_MM
    inner = tuple(slice(CLOSING_MM, CLOSING_MM + n) for n in hu.shape)
    return np.asarray(ndimage.binary_fill_holes(closed[inner] | air))
