"""Channels painted into labels, and labels moved between grids."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import special

from medimg import geometry
from medimg.errors import PipelineError
from medimg.inference.resample import labels_on_grid
from medimg.inference.segment import SegmentOptions, painted
from medimg.pipeline import load_pipeline

HALF_VOXEL_MM = 0.6

OPTIONS = {
    "channels": ["TC", "WT", "ET"],
    "labels": {1: "necrotic core", 2: "oedema", 3: "enhancing"},
    "paint": {"WT": 2, "TC": 1, "ET": 3},
}


def logits():
    maps = np.full((3, 8, 8, 8), -5.0, np.float32)
    maps[1, 1:7, 1:7, 1:7] = 5.0
    maps[0, 2:6, 2:6, 2:6] = 5.0
    maps[2, 3:5, 3:5, 3:5] = 5.0
    return maps


def test_inner_regions_are_painted_over_outer_ones():
    labels = painted(logits(), SegmentOptions.from_stage(OPTIONS), 1.0)
    assert np.bincount(labels.ravel()).tolist() == [512 - 216, 64 - 8, 216 - 64, 8]


def test_specks_below_the_smallest_volume_are_not_painted():
    options = SegmentOptions.from_stage({**OPTIONS, "min_volume_mm3": {"ET": 9.0}})
    assert 3 not in painted(logits(), options, 1.0)
    assert 3 in painted(logits(), options, 2.0)


def test_parts_that_are_improbable_on_average_are_not_painted_whatever_their_size():
    maps = np.full((3, 8, 8, 8), -5.0, np.float32)
    maps[1, :5] = special.logit(0.7)
    maps[1, 7, 7, 7] = special.logit(0.95)
    doubtful = {"min_confidence": {"WT": 0.8}}
    labels = painted(maps, SegmentOptions.from_stage({**OPTIONS, **doubtful}), 1.0)
    assert np.argwhere(labels).tolist() == [[7, 7, 7]]
    labels = painted(maps, SegmentOptions.from_stage({**OPTIONS, **doubtful, "never_empty": ["WT"]}), 1.0)
    assert np.count_nonzero(labels) == 5 * 64 + 1


def test_a_filled_hole_counts_with_its_own_low_probability():
    maps = logits()
    maps[1, 2:6, 2:6, 2:6] = -5.0
    options = {**OPTIONS, "paint": {"WT": 2}, "fill_holes": ["WT"]}
    assert painted(maps, SegmentOptions.from_stage(options), 1.0)[4, 4, 4] == 2
    share = (216 - 64) / 216
    for least, painted_at_all in ((share - 0.02, True), (share + 0.02, False)):
        chosen = SegmentOptions.from_stage({**options, "min_confidence": {"WT": least}})
        assert painted(maps, chosen, 1.0).any() == painted_at_all


def test_a_threshold_counts_in_probability():
    maps = np.full((3, 2, 2, 2), -50.0, np.float32)
    maps[1] = special.logit(0.4)
    assert painted(maps, SegmentOptions.from_stage({**OPTIONS, "threshold": {"WT": 0.39}}), 1.0).all()
    assert not painted(maps, SegmentOptions.from_stage({**OPTIONS, "threshold": {"WT": 0.41}}), 1.0).any()


def test_what_a_ring_encloses_can_belong_to_it():
    maps = logits()
    maps[0, 3:5, 3:5, 3:5] = -5.0
    maps[2] = -5.0
    hollow = painted(maps, SegmentOptions.from_stage(OPTIONS), 1.0)
    whole = painted(maps, SegmentOptions.from_stage({**OPTIONS, "fill_holes": ["TC"]}), 1.0)
    assert hollow[4, 4, 4] == 2
    assert whole[4, 4, 4] == 1


def test_what_a_ring_encloses_in_a_slice_can_belong_to_it_though_the_ring_is_open_elsewhere():
    maps = logits()
    maps[0, 3:5, 3:5, 3:5] = -5.0
    maps[0, 3, 3, 5:] = -5.0
    maps[2] = -5.0
    closed = painted(maps, SegmentOptions.from_stage({**OPTIONS, "fill_holes": ["TC"]}), 1.0)
    rings = painted(maps, SegmentOptions.from_stage({**OPTIONS, "fill_rings": ["TC"]}), 1.0)
    assert closed[4, 4, 4] == 2
    assert rings[4, 4, 4] == 1
    assert rings[3, 3, 7] == closed[3, 3, 7]


def test_rings_hold_every_hole_and_an_empty_map_has_neither():
    rng = np.random.default_rng(0)
    maps = np.where(rng.random((3, 14, 12, 10)) < 0.6, 5.0, -5.0).astype(np.float32)
    only = {**OPTIONS, "paint": {"TC": 1}}
    holes, rings, both = (
        painted(maps, SegmentOptions.from_stage({**only, **more}), 1.0)
        for more in ({"fill_holes": ["TC"]}, {"fill_rings": ["TC"]}, {"fill_holes": ["TC"], "fill_rings": ["TC"]})
    )
    assert np.array_equal(rings, both)
    assert (rings >= holes).all()
    assert (rings > holes).any()
    assert not painted(np.full_like(maps, -5.0), SegmentOptions.from_stage({**only, "fill_rings": ["TC"]}), 1.0).any()


NEEDS = {**OPTIONS, "needs": {"TC": ["t1c"], "ET": ["t1c"]}}


def test_regions_that_can_be_seen_are_told_apart_as_ever():
    options = SegmentOptions.from_stage(NEEDS)
    assert options.seen_with(["t1c", "t2f"]) == options


def test_regions_that_cannot_be_seen_join_the_one_around_them_and_are_named():
    options = SegmentOptions.from_stage(NEEDS).seen_with(["t2f"])
    assert options.not_available == ("TC", "ET")
    assert options.labels == {2: "oedema / necrotic core / enhancing"}
    assert options.merged == {2: (2, 1, 3)}
    assert np.bincount(painted(logits(), options, 1.0).ravel()).tolist() == [512 - 216, 0, 216]


def test_only_the_innermost_region_can_be_hidden():
    options = SegmentOptions.from_stage({**OPTIONS, "needs": {"ET": ["t1c"]}}).seen_with(["t2f"])
    assert options.labels == {2: "oedema", 1: "necrotic core / enhancing"}
    assert options.merged == {1: (1, 3)}


def test_a_pipeline_whose_outermost_region_is_hidden_is_refused():
    with pytest.raises(PipelineError, match="WT is painted first"):
        SegmentOptions.from_stage({**OPTIONS, "needs": {"WT": ["t2f"]}}).seen_with(["t1c"])


@pytest.mark.parametrize(
    "change",
    [
        {"needs": {"XX": ["t1c"]}},
        {"never_empty": ["XX"]},
        {"paint": {"XX": 1}},
        {"paint": {"WT": 9}},
        {"labels": None},
        {"threshold": 50},
    ],
)
def test_options_that_do_not_fit_are_refused(change):
    with pytest.raises(PipelineError, match="infer stage"):
        SegmentOptions.from_stage({**OPTIONS, **change})


def blob():
    labels = np.zeros((20, 22, 24), np.uint8)
    labels[5:9, 6:12, 7:15] = 2
    return labels


def test_labels_survive_flips_and_permutations_exactly():
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    permuted = np.array([[0, 0, -1.0, 19], [1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1]])
    moved = labels_on_grid(blob(), affine, (22, 24, 20), permuted)
    assert np.array_equal(moved, blob()[::-1].transpose(1, 2, 0))


def test_labels_keep_their_place_and_volume_on_a_finer_oblique_grid():
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    angle = np.deg2rad(20)
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turned[:3, 3] = [10, -20, 0]
    moved = labels_on_grid(blob(), affine, (70, 70, 50), turned)
    centre = geometry.to_world(affine, np.argwhere(blob())).mean(axis=0)
    assert np.allclose(
        geometry.to_world(turned, np.argwhere(moved)).mean(axis=0), centre, atol=0.6
    )  # half a voxel of rounding
    assert np.count_nonzero(moved) == pytest.approx(8 * np.count_nonzero(blob()), rel=0.03)


def test_labels_outside_the_target_vanish():
    far = np.eye(4)
    far[:3, 3] = 1000
    assert not labels_on_grid(blob(), np.eye(4), (10, 10, 10), far).any()


@pytest.mark.parametrize(
    ("absent", "said"),
    [
        (["t1n"], ["without t1n: A"]),
        (["t1n", "t2w"], ["without t1n, t2w: C"]),
        (["t2w", "t1n"], ["without t2w, t1n: C"]),
        (["t1c", "t1n", "t2w"], ["without t1n, t2w: C", "without t1c: expect less than with all contrasts, see"]),
        (["t1n", "t2f"], ["without t1n: A", "without t2f: expect less"]),
        ([], []),
    ],
)
def test_contrasts_that_are_missing_together_are_told_together(absent, said):
    lost = {"t1n": "A", "t2w": "B", "t2w+t1n": "C"}
    told = SegmentOptions(("WT",), {1: "t"}, {"WT": 1}, without=lost).losses(absent)
    assert len(told) == len(said)
    assert all(one.startswith(start) for one, start in zip(told, said, strict=True))


def test_every_combination_that_brain_tumour_takes_has_a_sentence_and_et_is_in_none_where_it_is_not_available():
    stage = load_pipeline("brain_tumour").options("infer")
    optional = ("t1c", "t1n", "t2w")
    for number in range(1, 4):
        for absent in itertools.combinations(optional, number):
            options = SegmentOptions.from_stage(stage).seen_with({*optional, "t2f"} - set(absent))
            (told,) = options.losses(absent)
            assert told.startswith(f"without {', '.join(absent)}: ")
            assert not ("ET" in options.not_available and ("ET" in told or "enhancing" in told))
