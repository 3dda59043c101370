from __future__ import annotations

import numpy as np
import pytest
import torch

from medimg.inference.detect import Candidates, cell_to_voxel, detections_lps, peaks, suppress

STRIDE = 2


def heat_map(*nodules, shape=(24, 24, 24)):
    """Gaussians at voxel centres with heights and diameters, sampled where the cells are."""
    grid = cell_to_voxel(np.moveaxis(np.indices(shape), 0, -1).astype(float), STRIDE)
    heat, log_diameter = np.zeros(shape), np.zeros(shape)
    for centre, height, diameter in nodules:
        blob = height * np.exp(-((grid - centre) ** 2).sum(-1) / (2 * 3.0**2))
        log_diameter = np.where(blob > heat, np.log(diameter), log_diameter)
        heat = np.maximum(heat, blob)
    return torch.from_numpy(heat).float(), torch.from_numpy(log_diameter).float()


def test_a_nodule_is_found_below_the_cell_with_its_probability_and_diameter():
    found = peaks(*heat_map(((20.3, 11.6, 30.1), 0.9, 8.0)), STRIDE, 0.3)
    assert len(found) == 1
    np.testing.assert_allclose(found.voxels[0], (20.3, 11.6, 30.1), atol=0.8)
    assert found.probability[0] == pytest.approx(0.9, abs=0.05)
    assert found.diameter_mm[0] == pytest.approx(8.0, rel=0.01)


def test_mirroring_the_input_mirrors_the_candidates():
    heat, log_diameter = heat_map(((20.3, 11.6, 30.1), 0.9, 8.0))
    there = peaks(heat, log_diameter, STRIDE, 0.3)
    back = peaks(heat.flip(0), log_diameter.flip(0), STRIDE, 0.3)
    np.testing.assert_allclose(47 - back.voxels[:, 0], there.voxels[:, 0])


def test_candidates_come_strongest_first_and_none_below_the_threshold():
    nodules = [((10, 10, 10), 0.4, 6), ((30, 30, 30), 0.8, 6), ((10, 36, 20), 0.2, 6)]
    found = peaks(*heat_map(*nodules), STRIDE, 0.3)
    assert np.round(found.probability, 1).tolist() == [0.8, 0.4]


def test_a_maximum_inside_a_stronger_nodule_is_suppressed_and_one_beside_it_is_not():
    voxels = np.array([[20.0, 20, 20], [26, 20, 20], [33, 20, 20]])
    found = Candidates(voxels, np.array([0.9, 0.8, 0.7]), np.array([20.0, 20.0, 5.0]))
    assert suppress(found).tolist() == [0, 2]


def test_distances_are_millimetres():
    voxels = np.array([[20.0, 20, 20], [24, 20, 20]])
    found = Candidates(voxels, np.array([0.9, 0.8]), np.array([5.0, 5.0]))
    assert suppress(found, voxel_mm=1.0).tolist() == [0]
    assert suppress(found, voxel_mm=2.0).tolist() == [0, 1]


def test_an_empty_heat_map_gives_no_candidates():
    assert len(peaks(torch.zeros(8, 8, 8), torch.zeros(8, 8, 8), STRIDE, 0.1)) == 0
    assert detections_lps(peaks(torch.zeros(8, 8, 8), torch.zeros(8, 8, 8), STRIDE, 0.1), np.eye(4)) == []


def test_a_plateau_gives_few_candidates_not_one_a_cell():
    found = peaks(torch.full((16, 16, 16), 0.5), torch.full((16, 16, 16), 2.0), STRIDE, 0.3, max_candidates=10)
    assert 1 <= len(found) <= 10


def test_the_count_is_capped_at_the_strongest():
    nodules = [((6.5 + 12 * i, 6.5 + 12 * j, 20.5), 0.4 + 0.05 * (i + 3 * j), 5) for i in range(3) for j in range(3)]
    found = peaks(*heat_map(*nodules), STRIDE, 0.3, max_candidates=4)
    assert len(found) == 4
    assert found.probability.min() > 0.5


def test_a_maximum_at_the_edge_of_the_map_is_found():
    found = peaks(*heat_map(((0.5, 20.5, 47 - 0.5), 0.9, 8.0)), STRIDE, 0.3)
    assert len(found) == 1
    np.testing.assert_allclose(found.voxels[0], (0.5, 20.5, 46.5), atol=2)


def test_diameters_stay_in_the_range_of_nodules():
    found = peaks(*heat_map(((20, 20, 20), 0.9, 1e6)), STRIDE, 0.3)
    assert found.diameter_mm[0] == 60.0


def test_detections_are_in_lps_millimetres():
    affine_ras = np.array([[2.0, 0, 0, 5], [0, 1, 0, 7], [0, 0, 3, -9], [0, 0, 0, 1]])
    found = Candidates(np.array([[1.0, 2, 3]]), np.array([0.75]), np.array([6.0]))
    (detection,) = detections_lps(found, affine_ras)
    assert detection.center_lps_mm == (-7.0, -9.0, 0.0)
    assert (detection.probability, detection.diameter_mm) == (0.75, 6.0)
