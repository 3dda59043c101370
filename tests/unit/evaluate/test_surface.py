"""Overlap and surfaces against MONAI's metrics, on masks of many shapes and spacings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric, HausdorffDistanceMetric, MeanIoU, SurfaceDiceMetric
from scipy import ndimage

from medimg.evaluate import overlap, surface

# MONAI's own call of its own function
pytestmark = pytest.mark.filterwarnings("ignore:monai.metrics.utils get_mask_edges:FutureWarning")

SPACINGS = [(1.0, 1.0, 1.0), (0.7, 0.7, 2.5), (1.5, 0.9, 3.0)]


def masks(seed, shape=(20, 18, 14)):
    """Two smooth random masks that overlap, in several pieces, some on the edge of the array."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=shape), 2)
    other = noise + 0.4 * ndimage.gaussian_filter(rng.normal(size=shape), 1.5)
    return noise > np.quantile(noise, 0.8), other > np.quantile(other, 0.82)


def monai_value(metric, truth, prediction, **options) -> float:
    tensors = (torch.from_numpy(mask)[None, None].float() for mask in (prediction, truth))
    metric(*tensors, **options)
    return float(metric.aggregate())


@pytest.mark.parametrize("seed", range(6))
def test_overlap_is_that_of_monai(seed):
    truth, prediction = masks(seed)
    assert overlap.dice(truth, prediction) == pytest.approx(monai_value(DiceMetric(), truth, prediction))
    assert overlap.iou(truth, prediction) == pytest.approx(monai_value(MeanIoU(), truth, prediction))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(6))
def test_hd95_is_that_of_monai(seed, spacing):
    truth, prediction = masks(seed)
    expected = monai_value(HausdorffDistanceMetric(percentile=95), truth, prediction, spacing=spacing)
    found = surface.surface_distances(truth, prediction, np.array(spacing)).hd95_mm()
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("tolerance", [0.5, 1.0, 2.0])
def test_surface_dice_is_that_of_monai(spacing, tolerance):
    truth, prediction = masks(1)
    expected = monai_value(SurfaceDiceMetric(class_thresholds=[tolerance]), truth, prediction, spacing=spacing)
    found = surface.surface_distances(truth, prediction, np.array(spacing)).surface_dice(tolerance)
    assert found == pytest.approx(expected, rel=1e-5)


def test_two_cubes_a_known_way_apart():
    truth, prediction = np.zeros((2, 30, 30, 30), bool)
    truth[5:10, 5:10, 5:10] = True
    prediction[12:17, 5:10, 5:10] = True
    distances = surface.surface_distances(truth, prediction, np.array([2.0, 1.0, 1.0]))
    # the far faces are 7 voxels of 2 mm from the other cube's
    assert distances.hd95_mm() == pytest.approx(14.0)
    assert distances.surface_dice(5.0) == 0.0
    assert distances.surface_dice(14.0) == 1.0


def test_empty_masks_follow_the_rule_of_brats():
    empty, full = np.zeros((8, 8, 8), bool), np.zeros((8, 8, 8), bool)
    full[2:5, 2:5, 2:5] = True
    unit = np.ones(3)
    both, missed, false = (
        surface.surface_distances(*pair, unit) for pair in ((empty, empty), (full, empty), (empty, full))
    )
    assert (both.hd95_mm(), both.surface_dice(), overlap.dice(empty, empty), overlap.iou(empty, empty)) == (0, 1, 1, 1)
    for one in (missed, false):
        assert (one.hd95_mm(), one.surface_dice()) == (374.0, 0.0)
    assert overlap.dice(full, empty) == overlap.dice(empty, full) == 0.0
    assert (overlap.sensitivity(full, empty), overlap.precision(empty, full)) == (0.0, 0.0)
    # shares of nothing
    assert np.isnan([overlap.sensitivity(empty, full), overlap.precision(full, empty)]).all()
