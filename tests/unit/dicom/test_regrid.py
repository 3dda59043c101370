"""Interpolation onto the even and the orthogonal grid, against scipy and by sampling in the world."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from medimg import geometry
from medimg.dicom.regrid import regrid, tilt_degrees

OUTSIDE = -1000


def sheared(i_per_slice: float, j_per_slice: float) -> np.ndarray:
    """An oblique affine whose slices slide by so many voxels along i and j."""
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = turn * [0.7, 0.9, 2.5]
    affine[:3, 3] = [12, -40, 7]
    affine[:3, 2] += i_per_slice * affine[:3, 0] + j_per_slice * affine[:3, 1]
    return affine


@pytest.fixture
def scan() -> np.ndarray:
    return np.random.default_rng(0).integers(-900, 2000, (9, 11, 7)).astype(np.int16)


def sampled(array, affine, result) -> tuple[np.ndarray, np.ndarray]:
    """The scan where the result has its voxels, by scipy, and whether that is within it."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in result.array.shape], indexing="ij"), axis=-1)
    places = np.round(geometry.to_voxel(affine, geometry.to_world(result.affine_ras, index)), 6)
    inside = ((places >= 0) & (places <= np.array(array.shape) - 1)).all(axis=-1)
    return map_coordinates(array.astype(float), np.moveaxis(places, -1, 0), order=1, mode="nearest"), inside


@pytest.mark.parametrize("shear", [(0.0, 0.3), (0.0, -0.3), (0.45, 0.2), (-0.45, 0.2), (1.0, -2.0), (0.0, 1 / 3)])
def test_an_untilted_scan_is_the_scan_sampled_on_an_orthogonal_grid(scan, shear):
    affine = sheared(*shear)
    result = regrid(scan, affine, np.arange(7.0), 7, untilt=True, outside=OUTSIDE)
    assert not geometry.is_sheared(result.affine_ras)
    expected, inside = sampled(scan, affine, result)
    assert result.array.dtype == np.int16
    assert np.array_equal(result.made_up, ~inside)
    assert np.abs(result.array - expected)[inside].max() <= 0.501
    assert (result.array[~inside] == OUTSIDE).all()
    as_float = regrid(scan.astype(np.float32), affine, np.arange(7.0), 7, untilt=True, outside=OUTSIDE)
    np.testing.assert_allclose(as_float.array[inside], expected[inside], atol=1e-3)


@pytest.mark.parametrize("shear", [(0.0, 0.3), (-0.45, 0.2)])
def test_no_voxel_of_the_scan_lies_outside_the_orthogonal_grid_and_it_has_no_idle_margin(scan, shear):
    affine = sheared(*shear)
    result = regrid(scan, affine, np.arange(7.0), 7, untilt=True, outside=OUTSIDE)
    corners = np.array([(i, j, k) for i in (0, 8) for j in (0, 10) for k in (0, 6)])
    at = geometry.to_voxel(result.affine_ras, geometry.to_world(affine, corners))
    last = np.array(result.array.shape) - 1
    assert at.min() >= -1e-6
    assert (at <= last + 1e-6).all()
    assert (at.min(axis=0) < 1).all()
    assert (at.max(axis=0) > last - 1).all()


def test_whole_shifts_move_voxels_and_change_none(scan):
    result = regrid(scan, sheared(0, 2), np.arange(7.0), 7, untilt=True, outside=OUTSIDE)
    for k in range(7):
        assert np.array_equal(result.array[:, 2 * k : 2 * k + 11, k], scan[..., k])


@pytest.mark.parametrize("at", [[0, 1, 2, 3, 5, 6, 9], [0, 1.25, 2, 3.5, 4, 6.2, 8.8], [-0.4, 0, 1, 2, 3, 4, 5.4]])
def test_slices_are_interpolated_between_their_neighbours_and_kept_where_they_fall(scan, at):
    at = np.array(at, dtype=float)
    count = round(at[-1]) + 1
    result = regrid(scan, sheared(0, 0), at, count)
    np.testing.assert_array_equal(result.affine_ras, sheared(0, 0))
    expected = np.apply_along_axis(lambda column: np.interp(np.arange(count), at, column), 2, scan.astype(float))
    assert np.abs(result.array - expected).max() <= 0.501
    kept = [k for k in range(count) if k in at]
    assert list(result.made_up_slices) == [k for k in range(count) if k not in kept]
    assert np.array_equal(result.made_up.all(axis=(0, 1)), ~np.isin(np.arange(count), at))
    for k in kept:
        assert np.array_equal(result.array[..., k], scan[..., at.tolist().index(k)])


def test_integers_are_rounded_once_when_gaps_and_tilt_are_undone_together(scan):
    at = np.array([0, 1, 2, 4, 5, 6, 8], dtype=float)
    affine = sheared(0.3, 0.45)
    once = regrid(scan, affine, at, 9, untilt=True, outside=OUTSIDE)
    exact = regrid(scan.astype(np.float64), affine, at, 9, untilt=True, outside=OUTSIDE)
    assert np.array_equal(once.made_up, exact.made_up)
    assert np.abs(once.array - exact.array).max() <= 0.501


@pytest.mark.parametrize(("shear", "degrees"), [((0, 0), 0.0), ((0, 1), np.degrees(np.arctan2(0.9, 2.5)))])
def test_the_tilt_is_the_angle_between_step_and_normal(shear, degrees):
    assert tilt_degrees(sheared(*shear)) == pytest.approx(degrees, abs=1e-6)
    # k against row x column: the same angle
    assert tilt_degrees(sheared(*shear) @ np.diag([1, 1, -1, 1.0])) == pytest.approx(degrees, abs=1e-6)
