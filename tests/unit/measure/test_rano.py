from __future__ import annotations

import numpy as np
import pytest

from medimg.measure import lesions
from medimg.measure.rano import sum_of_products_mm2
from medimg.results import Segmentation

AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])
GROUPS = {"whole": (1, 2), "enhancing": (1,)}


def ellipse(shape, center, semi_axes, half_height):
    i, j, k = np.indices(shape)
    inside = ((i - center[0]) / semi_axes[0]) ** 2 + ((j - center[1]) / semi_axes[1]) ** 2 <= 1
    return inside & (abs(k - center[2]) <= half_height)


@pytest.fixture
def segmentation() -> Segmentation:
    """Oedema about an enhancing ellipse of 20 x 14 mm with a satellite, and a second lesion of 8 x 8 mm."""
    array = np.zeros((80, 60, 20), dtype=np.uint8)
    array[ellipse(array.shape, (25, 30, 10), (18, 16, 0), 6)] = 2
    array[ellipse(array.shape, (25, 30, 10), (10, 7, 0), 3)] = 1
    array[25, 44, 10] = 1
    array[ellipse(array.shape, (65, 30, 10), (4, 4, 0), 3)] = 1
    return Segmentation(array, AFFINE, {1: "enhancing", 2: "oedema"})


def test_the_enhancing_part_is_measured_by_itself(segmentation):
    first = lesions(segmentation, GROUPS, 0)[0].measurements
    assert first["enhancing_long_axis_mm"] == pytest.approx(20.0, abs=1.0)
    assert first["enhancing_short_axis_mm"] == pytest.approx(14.0, abs=1.0)
    assert first["enhancing_product_mm2"] == pytest.approx(
        first["enhancing_long_axis_mm"] * first["enhancing_short_axis_mm"], rel=1e-3
    )
    assert first["long_axis_mm"] == pytest.approx(36.0, abs=1.0)


def test_a_lesion_is_measurable_from_ten_millimetres_both_ways(segmentation):
    found = lesions(segmentation, GROUPS, 0)
    assert [finding.measurements["enhancing_measurable"] for finding in found] == [True, False]


def test_the_sum_of_products_is_over_measurable_lesions(segmentation):
    found = lesions(segmentation, GROUPS, 0)
    assert sum_of_products_mm2(found) == pytest.approx(found[0].measurements["enhancing_product_mm2"])
    assert sum_of_products_mm2(found[1:]) == 0
    assert sum_of_products_mm2([]) == 0


def test_oedema_alone_is_not_measurable_and_has_no_axes(segmentation):
    array = np.where(segmentation.array == 2, 2, 0).astype(np.uint8)
    (found,) = lesions(Segmentation(array, AFFINE, segmentation.labels), GROUPS, 0)
    assert found.measurements["enhancing_measurable"] is False
    assert found.measurements["enhancing_product_mm2"] is None


def test_enhancement_that_cannot_be_seen_is_unknown_and_never_0(segmentation):
    array = np.where(segmentation.array > 0, 2, 0).astype(np.uint8)
    merged = Segmentation(array, AFFINE, {2: "whole"}, ("enhancing",), {2: (2, 1)})
    found = lesions(merged, GROUPS, 0)
    assert {finding.measurements["enhancing_measurable"] for finding in found} == {None}
    assert sum_of_products_mm2(found) is None


def test_a_short_axis_is_a_chord_and_not_the_width_of_the_shadow():
    # a parallelogram: its width across the long axis is more than any chord at right angles to it
    array = np.zeros((70, 40, 3), dtype=np.uint8)
    for j in range(20):
        array[5 + 2 * j : 25 + 2 * j, 5 + j, 1] = 1
    first = lesions(Segmentation(array, AFFINE, {1: "enhancing"}), {}, 0)[0].measurements
    long_way = np.array([57.0, 19.0])
    assert first["long_axis_mm"] == pytest.approx(np.linalg.norm(long_way), abs=1.0)
    # the chord through the middle at right angles: 20 pixels along i, cut by sides of slope 1/2
    angle = np.arctan2(19, 57)
    chord = 20 / (np.sin(angle) + 2 * np.cos(angle))
    assert first["short_axis_mm"] == pytest.approx(chord, abs=1.5)
