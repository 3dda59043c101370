from __future__ import annotations

import numpy as np
import pytest

from medimg import geometry
from medimg.report.coarse import block_affine, block_labels, block_mean, coarser, trimmed

STEPS = (2, 3, 1)


@pytest.fixture
def array():
    return np.random.default_rng(1).integers(-1000, 1000, (8, 9, 5)).astype(np.int16)


def test_each_block_has_the_mean_of_its_voxels(array):
    expected = array.reshape(4, 2, 3, 3, 5, 1).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(block_mean(array, STEPS), expected, atol=1e-3)


def test_one_voxel_a_block_changes_nothing(array):
    assert block_mean(array, (1, 1, 1)) is array


def test_a_block_lies_where_its_voxels_do():
    affine = np.array([[0, -0.7, 0, 5], [0.7, 0, 0.2, -3], [0, 0, 2.5, 11], [0, 0, 0, 1.0]])
    box = (slice(1, 7), slice(2, 8), slice(0, 4))
    coarse = block_affine(affine, box, STEPS)
    # block (1, 1, 2) holds voxels 3-4, 5-7 and 2
    np.testing.assert_allclose(geometry.to_world(coarse, (1, 1, 2)), geometry.to_world(affine, (3.5, 6, 2)))


def test_labels_are_those_of_most_voxels_and_never_new_ones():
    labels = np.zeros((4, 4, 4), dtype=np.uint8)
    labels[:2, :2, :2] = 7
    labels[0, 0, 0] = 200
    labels[2:, :2, :2] = [[[200, 200], [200, 7]], [[0, 7], [0, 0]]]
    coarse = block_labels(labels, (2, 2, 2))
    assert coarse[0, 0, 0] == 7
    assert coarse[1, 0, 0] == 200
    assert set(np.unique(coarse)) == {0, 7, 200}


@pytest.mark.parametrize(("large", "small"), [(3, 9), (9, 3)])
def test_a_label_of_a_single_voxel_is_not_lost_to_a_larger_one(large, small):
    labels = np.zeros((8, 8, 8), dtype=np.uint8)
    labels[:4] = large
    labels[1, 1, 1] = small
    labels[7, 7, 7] = 200
    coarse = block_labels(labels, (2, 2, 2))
    assert coarse[0, 0, 0] == small
    assert coarse[3, 3, 3] == 200
    assert (coarse == large).sum() == 2 * 4 * 4 - 1


def test_labels_keep_their_volume():
    i, j, k = np.indices((60, 60, 60))
    ball = ((i - 30) ** 2 + (j - 30) ** 2 + (k - 30) ** 2 <= 20**2).astype(np.uint8)
    assert 8 * np.count_nonzero(block_labels(ball, (2, 2, 2))) == pytest.approx(np.count_nonzero(ball), rel=0.03)


def test_the_finest_axes_are_joined_first():
    box = (slice(0, 512), slice(0, 512), slice(0, 133))
    spacing = np.array([0.7, 0.7, 2.5])
    assert coarser((1, 1, 1), spacing, box) == (2, 2, 1)
    assert coarser((3, 3, 1), spacing, box) == (4, 4, 1)
    assert coarser((4, 4, 1), spacing, box) == (4, 4, 2)
    assert coarser((1, 1, 1), spacing, (slice(0, 1),) * 3) is None


def test_what_fills_no_block_is_left_out():
    assert trimmed((slice(1, 8), slice(0, 9), slice(2, 5)), STEPS) == (slice(1, 7), slice(0, 9), slice(2, 5))


def test_blocks_of_one_voxel_are_the_labels_themselves():
    labels = np.random.default_rng(1).integers(0, 4, (5, 4, 3)).astype(np.uint8)
    np.testing.assert_array_equal(block_labels(labels, (1, 1, 1)), labels)
