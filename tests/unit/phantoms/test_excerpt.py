"""Excerpts whose truth is counted: volumes of bodies that are known, and a scan that holds as much as was painted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from medimg.phantoms import excerpt as phantoms

CENTER = (0.3, -0.2, 0.4)


@pytest.mark.parametrize("layers", [phantoms.solid_sphere, phantoms.solid_ellipsoid, phantoms.part_solid])
def test_the_truth_is_the_volume_of_the_sphere(layers):
    made = phantoms.excerpt(layers(CENTER, 10.0), side_mm=24.0)
    assert made.volume_mm3 == pytest.approx(math.pi / 6 * 1000, rel=0.01)


def test_what_lies_behind_the_pleura_is_no_part_of_the_truth():
    made = phantoms.excerpt(phantoms.on_wall(CENTER, 10.0, sunk=0.5, lung_radius_mm=1e4), side_mm=24.0)
    assert made.volume_mm3 == pytest.approx(math.pi / 12 * 1000, rel=0.02)


def test_blur_keeps_what_was_painted():
    made = phantoms.excerpt(phantoms.solid_sphere(CENTER, 10.0), (0.7, 0.7, 2.5), side_mm=30.0)
    excess = (made.volume.array.astype(float) - phantoms.LUNG_HU).sum() * 0.7 * 0.7 * 2.5
    assert excess / (phantoms.SOLID_HU - phantoms.LUNG_HU) == pytest.approx(made.volume_mm3, rel=0.01)


def test_noise_has_the_deviation_asked_for_and_is_the_same_again():
    first, second = (phantoms.excerpt([], side_mm=24.0, noise_hu=30.0, seed=4).volume.array for _ in range(2))
    assert first.std() == pytest.approx(30.0, rel=0.02)
    np.testing.assert_array_equal(first, second)
