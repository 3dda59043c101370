from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medimg.measure import lesions
from medimg.results import Segmentation

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])
GROUPS = {"core": (1,), "rim": (2,), "whole": (1, 2)}


@pytest.fixture
def segmentation() -> Segmentation:
    """A block of 4x4x4 with a core of 2x2x2, one of a single label, one of one voxel."""
    array = np.zeros((30, 30, 30), dtype=np.uint8)
    array[4:8, 4:8, 4:8] = 2
    array[5:7, 5:7, 5:7] = 1
    array[20:23, 20:22, 20:22] = 2
    array[15, 15, 15] = 1
    return Segmentation(array, AFFINE, {1: "core", 2: "rim"})


def test_each_component_is_one_finding_largest_first(segmentation):
    found = lesions(segmentation, GROUPS, min_volume_mm3=0)
    assert [finding.id for finding in found] == ["lesion-1", "lesion-2", "lesion-3"]
    assert [finding.volume_mm3 for finding in found] == [128.0, 24.0, 2.0]


def test_small_components_are_left_out(segmentation):
    assert len(lesions(segmentation, GROUPS, min_volume_mm3=24.0)) == 2


def test_volumes_of_groups_add_up(segmentation):
    first = lesions(segmentation, GROUPS, 0)[0].measurements
    assert (first["core_mm3"], first["rim_mm3"], first["whole_mm3"]) == (16.0, 112.0, 128.0)


def test_a_label_the_map_does_not_hold_has_no_volume(segmentation):
    assert lesions(segmentation, {"other": (9,)}, 0)[0].measurements["other_mm3"] == 0.0


def test_a_group_that_cannot_be_told_apart_is_none_and_never_0(segmentation):
    merged = replace(segmentation, array=np.where(segmentation.array > 0, 2, 0), merged={2: (2, 1)})
    first = lesions(merged, {**GROUPS, "other": (9,)}, 0)[0].measurements
    assert (first["core_mm3"], first["rim_mm3"], first["whole_mm3"], first["other_mm3"]) == (None, None, 128.0, 0.0)


def test_places_are_in_lps(segmentation):
    first = lesions(segmentation, GROUPS, 0)[0]
    assert first.center_lps_mm == pytest.approx((5.5, 5.5, 11.0))
    assert first.box_lps_mm == pytest.approx((3.5, 3.5, 7.0, 7.5, 7.5, 15.0))


def test_the_diameter_is_the_longest_axial_one(segmentation):
    first = lesions(segmentation, GROUPS, 0)[0]
    # corner to corner of 4x4 pixel centres, and half a pixel
    assert first.diameter_mm == pytest.approx(3 * np.sqrt(2) + 0.5, abs=0.05)
    assert first.diameter_mm == pytest.approx(first.measurements["long_axis_mm"], abs=1e-3)


def test_a_lesion_of_one_label_names_its_segment(segmentation):
    assert [finding.segment for finding in lesions(segmentation, GROUPS, 0)] == [None, 2, 1]


def test_parts_that_share_a_corner_are_one_lesion():
    array = np.zeros((8, 8, 8), dtype=np.uint8)
    array[2, 2, 2] = array[3, 3, 3] = 1
    assert len(lesions(Segmentation(array, AFFINE, {1: "a"}), {}, 0)) == 1


def test_a_lesion_cut_by_the_border_has_no_sizes():
    array = np.zeros((8, 8, 8), dtype=np.uint8)
    array[0:3, 2:5, 2:5] = 1
    (found,) = lesions(Segmentation(array, AFFINE, {1: "a"}), {"a": (1,)}, 0, label="tumour")
    assert found.id == "tumour-1"
    assert found.measurements.pop("touches_border") is True
    assert set(found.measurements.values()) == {None}
    assert found.diameter_mm is None
    assert found.volume_mm3 is None
    # its place is that of the part inside: indices 0..2, 2..4, 2..4
    assert found.center_lps_mm == pytest.approx((1.0, 3.0, 6.0))
    assert found.box_lps_mm == pytest.approx((-0.5, 1.5, 3.0, 2.5, 4.5, 9.0))


def test_an_empty_map_has_no_lesions():
    assert lesions(Segmentation(np.zeros((4, 4, 4), dtype=np.uint8), AFFINE, {1: "a"}), GROUPS, 0) == []
