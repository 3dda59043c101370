from __future__ import annotations

import numpy as np
import pytest

from medimg.measure import common

FLIPPED = np.array([[-2.0, 0, 0, 10], [0, 1.0, 0, 20], [0, 0, 3.0, 30], [0, 0, 0, 1]])


def both(voxels, affine):
    axes = common.axial_axes(voxels, affine)
    return axes.long_mm, axes.short_mm


def test_a_box_holds_whole_voxels_in_lps():
    voxels = np.array([[0, 0, 0], [1, 2, 3]])
    # RAS centres x 10..8, y 20..22, z 30..39; half a voxel on each side; x and y change sign in LPS
    assert common.box_lps_mm(voxels, FLIPPED) == (-11.0, -22.5, 28.5, -7.0, -19.5, 40.5)


def test_the_centroid_is_in_lps():
    assert common.centroid_lps_mm(np.array([[0, 0, 0], [1, 2, 2]]), FLIPPED) == (-9.0, -21.0, 33.0)


def test_volume_counts_voxels_of_any_shape():
    sheared = FLIPPED.copy()
    sheared[0, 2] = 1.0
    assert common.volume_mm3(np.zeros((5, 3), dtype=int), sheared) == pytest.approx(30.0)


def test_the_equivalent_diameter_of_a_sphere_is_its_own():
    assert common.equivalent_diameter_mm(np.pi / 6 * 12.0**3) == pytest.approx(12.0)


@pytest.mark.parametrize(
    ("voxel", "touches"), [((0, 3, 3), True), ((3, 9, 3), True), ((3, 3, 9), True), ((1, 8, 8), False)]
)
def test_only_voxels_on_a_face_touch_the_border(voxel, touches):
    assert common.touches_border(np.array([voxel]), (10, 10, 10)) is touches


def test_a_single_voxel_has_axes_of_half_its_size():
    assert both(np.array([[4, 4, 4]]), np.diag([2.0, 2.0, 5.0, 1.0])) == pytest.approx((1.0, 1.0))


@pytest.mark.parametrize("diameter", [6.0, 12.0, 24.0])
def test_the_axes_of_spheres_are_right_on_average(diameter):
    random = np.random.default_rng(7)
    size = int(diameter) + 6
    indices = np.moveaxis(np.indices((size, size, size)), 0, -1)
    axes = []
    for _ in range(20):
        center = size / 2 + random.uniform(-0.5, 0.5, 3)
        inside = np.linalg.norm(indices - center, axis=-1) <= diameter / 2
        axes.append(both(np.argwhere(inside), np.eye(4)))
    long_mm, short_mm = np.mean(axes, axis=0)
    assert long_mm == pytest.approx(diameter, abs=0.5)
    assert short_mm == pytest.approx(diameter, abs=0.5)


@pytest.mark.parametrize("name", ["isotropic", "thin", "permuted", "oblique"])
def test_axial_axes_of_an_ellipse_are_found_whatever_the_grid(name, grids):
    affine = np.eye(4)
    affine[:3, :3] = grids[name]
    shape = np.array([70, 70, 70])
    voxels = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 3)
    middle = affine[:3, :3] @ (shape / 2)
    through = common.superior_axis(affine)
    # long in a direction within the axial slice, 30 degrees off its first axis
    first, second = (
        grids[name][:, axis] / np.linalg.norm(grids[name][:, axis]) for axis in range(3) if axis != through
    )
    long_way = np.cos(np.pi / 6) * first + np.sin(np.pi / 6) * second
    short_way = np.cos(np.pi / 6) * second - np.sin(np.pi / 6) * first
    up = np.cross(first, second)
    points = voxels @ grids[name].T - middle
    inside = (points @ long_way / 12) ** 2 + (points @ short_way / 7) ** 2 + (points @ up / 9) ** 2 <= 1
    long_mm, short_mm = both(voxels[inside], affine)
    assert long_mm == pytest.approx(24.0, abs=0.6)
    assert short_mm == pytest.approx(14.0, abs=0.6)


def test_axial_means_across_the_superior_axis_of_the_patient():
    sagittal = np.array([[0, 0, 3.0, 0], [1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1]])
    assert common.superior_axis(sagittal) == 1
    # 11 voxels along the superior axis: long in space, one pixel in every axial slice
    column = np.array([[5, j, 5] for j in range(11)])
    long_mm, short_mm = both(column, sagittal)
    assert (long_mm, short_mm) == pytest.approx((1.5, 0.5), abs=1e-6)


@pytest.mark.parametrize("through", [0, 1, 2])
def test_the_axes_of_a_shape_without_symmetry_do_not_depend_on_which_voxel_axis_is_superior(through):
    rng = np.random.default_rng(5)
    voxels = np.argwhere(rng.uniform(size=(14, 11, 9)) < 0.2 * np.linspace(0, 1, 9))
    affine, places = np.zeros((4, 4)), [0, 1]
    places.insert(through, 2)
    for axis, world in enumerate(places):
        affine[world, axis] = (1.0, 1.5, 2.0)[world]
    affine[3, 3] = 1
    moved = voxels[:, places]
    expected = common.axial_axes(voxels, np.diag([1.0, 1.5, 2.0, 1.0]))
    found = common.axial_axes(moved, affine)
    assert (found.long_mm, found.short_mm) == pytest.approx((expected.long_mm, expected.short_mm))
    np.testing.assert_allclose(np.sort(found.long_ends, axis=0), np.sort(expected.long_ends, axis=0))
    assert common.max_diameter_mm(moved, affine) == pytest.approx(
        common.max_diameter_mm(voxels, np.diag([1.0, 1.5, 2.0, 1.0]))
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mask_has_the_line_ends_and_the_mean_of_its_voxels(axis):
    mask = np.random.default_rng(3).random((7, 5, 6)) > 0.6
    voxels = np.argwhere(mask)
    ends = {tuple(end) for end in common.mask_line_ends(mask, axis)}
    assert ends == {tuple(end) for end in common.line_ends(voxels, axis)}
    assert common.mean_index(mask) == pytest.approx(voxels.mean(axis=0), abs=1e-12)


def test_line_ends_are_the_first_and_the_last_voxel_of_each_line():
    voxels = np.array([[0, 0, 3], [0, 0, 1], [0, 0, 2], [5, 1, 7]])
    ends = {tuple(end) for end in common.line_ends(voxels, 2)}
    assert ends == {(0, 0, 1), (0, 0, 3), (5, 1, 7)}
    assert {tuple(end) for end in common.line_ends(voxels, 0)} == {tuple(voxel) for voxel in voxels}
