from __future__ import annotations

import numpy as np
from scipy.special import erf

from medimg.measure import pleura

TRUTH = np.array([0.4, 0.3, -0.2, 0.5, 0.1, -0.3])
LUNG_HU, WALL_HU, EDGE_MM = -860.0, 40.0, 0.7


def scanned(noise_hu: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    across, height = random.uniform(-1, 1, (4000, 2)), random.uniform(-3, 3, 4000)
    above = height - pleura.quadric(*across.T, TRUTH)
    hu = LUNG_HU + (WALL_HU - LUNG_HU) * (1 - erf(above / (np.sqrt(2) * EDGE_MM))) / 2
    return across, height, hu + random.normal(0, noise_hu, 4000)


def test_a_pleura_taken_wrong_by_half_a_millimetre_is_put_right_by_the_densities():
    wrong = np.array([0.9, 0.4, -0.2, 0.5, 0.0, -0.3])
    across, height, hu = scanned(25.0)
    found = pleura.refined(wrong, across, height, hu, (LUNG_HU + WALL_HU) / 2)
    assert np.abs(found - TRUTH).max() < 0.03


def test_a_lower_threshold_is_passed_further_out():
    across, height, hu = scanned(1.0)
    found = pleura.refined(TRUTH, across, height, hu, LUNG_HU + 0.1587 * (WALL_HU - LUNG_HU))
    # the normal distribution leaves 15.87 % beyond one deviation
    assert abs(found[0] - TRUTH[0] - EDGE_MM) < 0.02


def test_where_no_edge_passes_the_threshold_the_first_surface_stays():
    across, height, _ = scanned(1.0)
    assert (pleura.refined(TRUTH, across, height, np.full(4000, LUNG_HU), -400.0) == TRUTH).all()
