"""BraTS's lesion-wise score against its rules taken step by step over the whole volume."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medimg.evaluate.lesionwise import lesion_wise
from medimg.evaluate.overlap import dice
from medimg.evaluate.surface import surface_distances

UNIT = np.ones(3)


def literal(truth, prediction):
    """Dice, HD95, found, missed and false as the challenge's description goes, nothing cut out, one voxel 1 mm3."""
    near, touching = ndimage.generate_binary_structure(3, 2), np.ones((3, 3, 3))
    grown, count = ndimage.label(ndimage.binary_dilation(truth, near, iterations=3), touching)
    parts, number = ndimage.label(prediction, touching)
    dices, distances, used, found, missed = [], [], set(), 0, 0
    for lesion in range(1, count + 1):
        own = truth & (grown == lesion)
        around = ndimage.binary_dilation(own, near, iterations=3)
        hit = set(np.unique(parts[around])) - {0}
        used |= hit
        if own.sum() <= 50:
            continue
        found, missed = found + bool(hit), missed + (not hit)
        predicted = np.isin(parts, list(hit))
        dices.append(dice(own, predicted))
        distances.append(surface_distances(own, predicted, UNIT).hd95_mm())
    false = number - len(used)
    total = len(dices) + false
    if not total:
        return 1.0, 0.0, 0, 0, 0
    return sum(dices) / total, (sum(distances) + 374 * false) / total, found, missed, false


def ball(shape, centre, radius):
    grid = np.indices(shape)
    return sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True)) <= radius**2


def balls(shape, rng):
    """Up to five, anywhere."""
    made = [ball(shape, rng.integers(0, shape), rng.integers(1, 6)) for _ in range(rng.integers(0, 6))]
    return np.logical_or.reduce([np.zeros(shape, bool), *made])


@pytest.mark.parametrize("seed", range(12))
def test_it_is_what_the_description_says_step_by_step(seed):
    rng = np.random.default_rng(seed)
    shape = (44, 40, 36)
    truth, prediction = balls(shape, rng), balls(shape, rng)
    prediction |= truth & (rng.random(shape) < 0.6)
    found = lesion_wise(truth, prediction, UNIT, 1.0)
    counts = (found.true_positives, found.false_negatives, found.false_positives)
    assert (found.dice, found.hd95_mm, *counts) == pytest.approx(literal(truth, prediction))


def test_every_false_and_every_missed_lesion_scores_dice_0_and_hd95_374():
    shape = (60, 60, 40)
    seen, missed, false = (ball(shape, centre, 4) for centre in ((12, 12, 12), (45, 12, 12), (12, 45, 25)))
    result = lesion_wise(seen | missed, seen | false, UNIT, 1.0)
    assert (result.true_positives, result.false_negatives, result.false_positives) == (1, 1, 1)
    assert result.dice == pytest.approx(1 / 3)
    assert result.hd95_mm == pytest.approx(2 * 374 / 3)


def test_parts_that_touch_once_dilated_are_one_lesion():
    shape = (50, 20, 20)
    left = ball(shape, (10, 10, 10), 4)
    near, far = ball(shape, (24, 10, 10), 4), ball(shape, (40, 10, 10), 4)
    assert len(lesion_wise(left | near, left, UNIT, 1.0).lesions) == 1
    assert len(lesion_wise(left | far, left, UNIT, 1.0).lesions) == 2


def test_a_lesion_of_50_mm3_is_not_scored_and_what_lies_on_it_is_not_false():
    truth = np.zeros((20, 20, 20), bool)
    truth[5:10, 5:10, 5:7] = True
    assert truth.sum() == 50
    result = lesion_wise(truth, truth, UNIT, 1.0)
    assert (result.lesions, result.false_positives, result.dice, result.hd95_mm) == ((), 0, 1.0, 0.0)
    assert len(lesion_wise(truth, truth, UNIT, 1.02).lesions) == 1


def test_empty_masks():
    empty, full = np.zeros((20, 20, 20), bool), ball((20, 20, 20), (10, 10, 10), 4)
    both = lesion_wise(empty, empty, UNIT, 1.0)
    assert (both.dice, both.hd95_mm) == (1.0, 0.0)
    for pair in ((full, empty), (empty, full)):
        one = lesion_wise(*pair, UNIT, 1.0)
        assert (one.dice, one.hd95_mm) == (0.0, 374.0)
