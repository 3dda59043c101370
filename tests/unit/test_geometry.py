"""Affines, world frames and grids."""

import numpy as np
import pytest

from medimg import geometry

OBLIQUE = np.array([[-0.7, 0.1, 0.0, 10.0], [0.1, 0.7, 0.3, -5.0], [0.0, -0.1, 2.4, 30.0], [0, 0, 0, 1.0]])


def test_lps_and_ras_differ_by_the_sign_of_x_and_y():
    point = np.array([1.0, 2.0, 3.0])
    assert geometry.ras_to_lps(point).tolist() == [-1.0, -2.0, 3.0]
    assert np.allclose(geometry.lps_to_ras(geometry.ras_to_lps(point)), point)


def test_a_voxel_goes_to_the_same_place_through_either_frame():
    voxel = np.array([3.0, 4.0, 5.0])
    through_lps = geometry.to_world(geometry.swap_ras_lps(OBLIQUE), voxel)
    assert np.allclose(through_lps, geometry.ras_to_lps(geometry.to_world(OBLIQUE, voxel)))


def test_world_and_voxel_are_inverse():
    points = np.random.default_rng(0).normal(size=(7, 3)) * 100
    assert np.allclose(geometry.to_world(OBLIQUE, geometry.to_voxel(OBLIQUE, points)), points)


def test_the_volume_of_a_sheared_voxel_is_not_the_product_of_its_spacings():
    sheared = np.eye(4)
    sheared[1, 2] = 1.0
    assert geometry.voxel_volume_mm3(sheared) == pytest.approx(1.0)
    assert np.prod(geometry.spacing_mm(sheared)) == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize(
    ("diagonal", "codes"), [((1, 1, 1), "RAS"), ((-1, -1, 1), "LPS"), ((-1, 1, 1), "LAS"), ((1, -1, -1), "RPI")]
)
def test_axis_codes_name_where_each_axis_runs_to(diagonal, codes):
    assert geometry.axis_codes(np.diag([*diagonal, 1.0])) == codes


def test_axis_codes_of_a_permuted_grid():
    sagittal = np.array([[0, 0, 1.0, 0], [1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1]])
    assert geometry.axis_codes(sagittal) == "ASR"


def test_the_affine_of_a_crop_keeps_every_voxel_in_place():
    start = np.array([2, 3, 4])
    cropped = geometry.shifted(OBLIQUE, start)
    assert np.allclose(geometry.to_world(cropped, [0, 0, 0]), geometry.to_world(OBLIQUE, start))


@pytest.mark.parametrize(
    "affine", [np.zeros((4, 4)), np.diag([1.0, 0, 1, 1]), np.full((4, 4), np.nan), np.eye(3)], ids=str
)
def test_unusable_affines_are_told(affine):
    assert not geometry.is_usable(affine)


def test_grids_are_the_same_within_a_tolerance_everywhere():
    moved = OBLIQUE.copy()
    moved[0, 0] += 0.01
    assert geometry.same_grid((10, 10, 10), OBLIQUE, (10, 10, 10), moved, tolerance_mm=0.1)
    assert not geometry.same_grid((100, 10, 10), OBLIQUE, (100, 10, 10), moved, tolerance_mm=0.1)
    assert not geometry.same_grid((10, 10, 10), OBLIQUE, (10, 10, 11), OBLIQUE, tolerance_mm=0.1)
