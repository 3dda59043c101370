"""The detectors' grid: points stay where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medimg import geometry
from medimg.inference.isotropic import isotropic
from medimg.study import Source, Volume


def test_resampling_keeps_points_where_they_are():
    hu = np.full((30, 40, 20), -800, np.int16)
    grid_points = np.moveaxis(np.indices(hu.shape), 0, -1)
    hu[((grid_points - np.array((12, 20, 9))) ** 2).sum(-1) <= 9] = 400
    affine = np.array([[0, -0.8, 0, 50], [-0.8, 0, 0, 10], [0, 0, 1.6, -5], [0, 0, 0, 1]], dtype=float)
    grid = isotropic(Volume(hu, affine, Source(Path("x"), "memory")))
    assert geometry.axis_codes(grid.affine_ras) == "RAS"
    np.testing.assert_allclose(grid.spacing_mm, 1)
    centre = geometry.to_world(grid.affine_ras, np.argwhere(grid.array > -200).mean(0))
    np.testing.assert_allclose(centre, geometry.to_world(affine, (12, 20, 9)), atol=0.5)
