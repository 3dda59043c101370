"""Attenuation type, solid component and calcium against phantoms of each kind."""

from __future__ import annotations

import math

import pytest

from medimg.measure import measure_nodule, segment_nodule
from medimg.phantoms import excerpt as phantoms

CENTER = (0.3, -0.2, 0.4)


def measured(layers, diameter, spacing=(1.0, 1.0, 1.0)):
    made = phantoms.excerpt(layers, spacing, max(30.0, 2.8 * diameter), noise_hu=20.0)
    nodule = segment_nodule(made.volume, CENTER, diameter)
    assert nodule is not None
    return measure_nodule(made.volume, nodule), made


@pytest.mark.parametrize("diameter", [6.0, 12.0])
def test_a_solid_nodule_is_solid_through_and_through(diameter):
    found, _ = measured(phantoms.solid_sphere(CENTER, diameter), diameter)
    assert (found["attenuation"], found["solid_share"], found["calcified"]) == ("solid", 1.0, False)
    assert found["solid_mean_axis_mm"] == found["mean_axis_mm"]


def test_ground_glass_has_no_solid_component():
    found, _ = measured(phantoms.solid_sphere(CENTER, 12.0, phantoms.GLASS_HU), 12.0)
    assert (found["attenuation"], found["solid_volume_mm3"]) == ("ground-glass", 0.0)
    assert found["solid_long_axis_mm"] is None
    assert found["mean_hu"] == pytest.approx(phantoms.GLASS_HU, abs=15)


@pytest.mark.parametrize("diameter", [14.0, 20.0])
def test_a_part_solid_nodule_is_measured_whole_and_by_its_core(diameter):
    found, made = measured(phantoms.part_solid(CENTER, diameter), diameter)
    assert found["attenuation"] == "part-solid"
    assert found["volume_mm3"] == pytest.approx(made.volume_mm3, rel=0.05)
    assert found["solid_volume_mm3"] == pytest.approx(math.pi / 6 * (diameter / 2) ** 3, rel=0.2)
    assert found["solid_mean_axis_mm"] == pytest.approx(diameter / 2, abs=0.6)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 2.5)])
def test_a_rim_of_two_millimetres_belongs_to_the_nodule(spacing):
    found, made = measured(phantoms.part_solid(CENTER, 10.0), 10.0, spacing)
    assert found["attenuation"] == "part-solid"
    assert found["volume_mm3"] == pytest.approx(made.volume_mm3, rel=0.05)


def test_calcium_is_told_and_does_not_make_the_nodule_larger():
    calcium = phantoms.Layer(phantoms.ball(CENTER, 5.0), 600.0, part_of_nodule=True)
    found, made = measured([*phantoms.solid_sphere(CENTER, 10.0), calcium], 10.0)
    assert found["calcified"] is True
    assert found["calcified_share"] == pytest.approx(0.5**3, abs=0.06)
    assert found["volume_mm3"] == pytest.approx(made.volume_mm3, rel=0.05)


def test_mass_is_volume_times_density():
    found, _ = measured(phantoms.solid_sphere(CENTER, 12.0), 12.0)
    assert found["mass_mg"] == pytest.approx(found["volume_mm3"] * (found["mean_hu"] + 1000) / 1000, rel=1e-3)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 2.5)])
@pytest.mark.parametrize("diameter", [8.0, 12.0])
def test_blur_and_thick_slices_take_nothing_from_the_density(diameter, spacing):
    found, _ = measured(phantoms.solid_sphere(CENTER, diameter), diameter, spacing)
    assert found["mean_hu"] == pytest.approx(phantoms.SOLID_HU, abs=40)
    assert found["p10_hu"] <= found["median_hu"] <= found["p90_hu"]


def test_percentiles_are_those_below_the_blurred_edge():
    found, _ = measured(phantoms.solid_sphere(CENTER, 12.0), 12.0)
    assert found["median_hu"] == pytest.approx(phantoms.SOLID_HU, abs=10)
    # a normal distribution has its tenth percentile 1.28 standard deviations below
    assert found["p10_hu"] == pytest.approx(phantoms.SOLID_HU - 1.28 * 20, abs=12)
    assert found["sd_hu"] == pytest.approx(20, abs=6)
