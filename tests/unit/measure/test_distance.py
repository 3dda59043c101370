"""Distances computed in a box are those of the whole grid."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medimg.measure.distance import depth_mm, within_mm

STEP_MM = 0.6


@pytest.fixture(params=["inside", "at the border", "two parts"])
def mask(request):
    random = np.random.default_rng(4)
    blob = ndimage.gaussian_filter(random.normal(size=(12, 9, 10)), 1.5) > 0.02
    place = np.zeros((30, 26, 24), dtype=bool)
    corner = (0, 17, 0) if request.param == "at the border" else (9, 8, 7)
    place[tuple(slice(c, c + n) for c, n in zip(corner, blob.shape, strict=True))] = blob
    if request.param == "two parts":
        place[28, 24, 22] = True
    return place


def test_depth_in_a_box_is_that_of_the_whole_grid(mask):
    np.testing.assert_array_equal(depth_mm(mask, STEP_MM), ndimage.distance_transform_edt(mask, sampling=STEP_MM))


@pytest.mark.parametrize("reach_mm", [0.3, STEP_MM, 1.5, 6.0, 40.0])
def test_what_is_near_is_the_same_in_a_box(mask, reach_mm):
    whole = ndimage.distance_transform_edt(~mask, sampling=STEP_MM) <= reach_mm
    np.testing.assert_array_equal(within_mm(mask, reach_mm, STEP_MM), whole)


def test_an_empty_mask_has_no_depth_and_nothing_near():
    empty = np.zeros((5, 6, 7), dtype=bool)
    assert not depth_mm(empty, STEP_MM).any()
    assert not within_mm(empty, 3.0, STEP_MM).any()
