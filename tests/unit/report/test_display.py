from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from medimg import geometry
from medimg.report.display import AXIAL, CORONAL, LUNG_WINDOW, SAGITTAL, mr_window, to_display, window_of
from medimg.study import Source, Volume


def oriented(order, signs):
    """An affine whose voxel axes run along the given world axes."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for voxel_axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        affine[world, voxel_axis] = sign * (voxel_axis + 1.0)
    affine[:3, 3] = [5.0, -7.0, 11.0]
    return affine


ORIENTATIONS = list(itertools.product(itertools.permutations(range(3)), itertools.product([1, -1], repeat=3)))


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_every_orientation_is_turned_to_left_posterior_superior(order, signs):
    affine = oriented(order, signs)
    array = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    display = to_display(array, affine)
    directions = display.affine_lps[:3, :3] / geometry.spacing_mm(display.affine_lps)
    np.testing.assert_allclose(directions, np.eye(3), atol=1e-12)
    # each voxel keeps its place in the patient
    for voxel in [(0, 0, 0), (3, 1, 2), (1, 4, 5)]:
        place = geometry.to_world(geometry.swap_ras_lps(affine), voxel)
        assert display.array[display.index_at(place)] == array[voxel]


def test_display_shares_memory_with_the_scan():
    array = np.zeros((4, 5, 6))
    assert np.shares_memory(to_display(array, oriented((1, 0, 2), (1, -1, 1))).array, array)


def test_the_patients_right_is_on_the_images_left_and_front_on_top():
    array = np.zeros((8, 8, 8))
    array[7, 7, 3] = 1  # right-most (RAS x grows to the right), most anterior
    picture = to_display(array, np.eye(4)).slice(AXIAL, 3)
    assert picture[0, 0] == 1


def test_coronal_and_sagittal_rows_rise_to_the_head():
    array = np.zeros((8, 8, 8))
    array[7, 7, 6] = 1
    display = to_display(array, np.eye(4))
    assert display.slice(CORONAL, 0)[6, 0] == 1
    assert display.slice(SAGITTAL, 0)[6, 0] == 1
    assert CORONAL.superior_up
    assert SAGITTAL.superior_up


def test_positions_are_mm_from_the_outer_edge():
    display = to_display(np.zeros((10, 10, 10)), np.diag([-2.0, -2.0, 3.0, 1.0]))
    assert display.position_mm(AXIAL, (0.0, 4.0, 6.0)) == (1.0, 5.0)
    assert display.size_mm(CORONAL) == (20.0, 30.0)


def test_places_outside_the_scan_move_to_its_edge():
    display = to_display(np.zeros((10, 10, 10)), np.diag([-1.0, -1.0, 1.0, 1.0]))
    assert display.index_at((-50.0, 4.4, 99.0)) == (0, 4, 9)


def test_content_is_what_is_not_zero():
    array = np.zeros((10, 20, 30))
    array[2:5, 10:15, 3:9] = 1
    display = to_display(array, np.diag([-1.0, -1.0, 2.0, 1.0]))
    np.testing.assert_allclose(display.content(), [[2, 10, 6], [5, 15, 18]])
    np.testing.assert_allclose(to_display(np.zeros((4, 4, 4)), np.eye(4)).content(), [[0, 0, 0], [4, 4, 4]])


def volume(array, modality):
    return Volume(array, np.eye(4), Source(Path("x"), "nifti"), modality)


def test_ct_has_the_lung_window_and_says_so():
    window = window_of(volume(np.zeros((4, 4, 4)), "CT"), LUNG_WINDOW)
    assert (window.low, window.high) == (-1350.0, 150.0)
    assert window.text == "lung window W1500 L-600 HU"


def test_mr_is_windowed_by_what_is_not_background():
    array = np.zeros((20, 20, 20))
    array[:5] = np.linspace(100, 300, 5 * 400).reshape(5, 20, 20)
    window = window_of(volume(array, "MR"), LUNG_WINDOW)
    assert 100 < window.low < 105
    assert 295 < window.high < 300
    assert "1-99.5 percentile" in window.text


def test_a_scan_of_one_value_still_has_a_window():
    window = mr_window(volume(np.full((4, 4, 4), 7.0), "MR"))
    assert window.high > window.low
