"""Growth, doubling time and the thresholds that tell it from measuring again."""

from __future__ import annotations

import math

import pytest

from medimg.followup.growth import Size, doubling_days, lesion_growth, nodule_growth, rano_category


def sphere(diameter_mm: float) -> Size:
    return Size(math.pi / 6 * diameter_mm**3, diameter_mm, diameter_mm, diameter_mm**2)


def test_a_volume_that_doubles_in_100_days_doubles_in_100_days():
    assert doubling_days(2.0, 100) == pytest.approx(100)
    assert doubling_days(4.0, 100) == pytest.approx(50)
    assert doubling_days(1.0, 100) is None
    assert doubling_days(0.5, 100) is None


def test_a_worked_example_of_the_formula():
    """6 mm to 8 mm in 365 days: ln2 * 365 / (3 ln(8/6)) = 293 days."""
    growth = nodule_growth(sphere(6), sphere(8), 365, thin=True)
    assert growth.status == "grown"
    assert growth.doubling_days == pytest.approx(293.1, abs=0.1)
    assert growth.volume_change_percent == pytest.approx(137.0, abs=0.1)
    assert growth.mean_axis_change_mm == pytest.approx(2.0)
    low, high = growth.doubling_range_days
    assert low < growth.doubling_days < high


@pytest.mark.parametrize(
    ("ratio", "status"),
    [(1.0, "stable"), (1.24, "stable"), (1.25, "grown"), (1 / 1.24, "stable"), (1 / 1.25, "shrunk"), (3.0, "grown")],
)
def test_in_thin_slices_25_percent_of_volume_decide(ratio, status):
    before = Size(1000.0, 10.0, 10.0, 100.0)
    assert nodule_growth(before, Size(1000.0 * ratio, 10.0, 10.0, 100.0), 90, thin=True).status == status


@pytest.mark.parametrize(("change", "status"), [(1.9, "stable"), (2.0, "grown"), (-1.9, "stable"), (-2.0, "shrunk")])
def test_in_thick_slices_2_mm_of_mean_diameter_decide(change, status):
    grown = nodule_growth(sphere(8.0), sphere(8.0 + change), 90, thin=False)
    assert grown.status == status
    assert "Fleischner" in grown.criterion


def test_growth_within_what_measuring_gives_has_no_upper_end_of_its_doubling_time():
    growth = nodule_growth(sphere(10.0), Size(1.1 * sphere(10.0).volume_mm3, 10.3, 10.3, 106.0), 90, thin=True)
    assert growth.status == "stable"
    assert growth.doubling_range_days[1] is None


def test_what_was_not_measured_twice_is_unmeasured_and_never_0():
    growth = nodule_growth(sphere(8.0), Size(None, None, None, None), 90, thin=True)
    assert growth.status == "unmeasured"
    assert growth.volume_change_mm3 is None
    assert growth.to_dict()["volume_doubling_days"] is None


def test_without_days_there_is_no_doubling_time():
    for days in (None, 0):
        growth = nodule_growth(sphere(6), sphere(8), days, thin=True)
        assert growth.doubling_days is None
        assert growth.doubling_range_days is None
        assert growth.volume_change_mm3 > 0


@pytest.mark.parametrize(("ratio", "status"), [(1.39, "stable"), (1.40, "grown"), (0.36, "stable"), (0.35, "shrunk")])
def test_lesions_follow_ranos_volume_thresholds(ratio, status):
    before = Size(10_000.0, 30.0, 30.0, 900.0)
    assert lesion_growth(before, Size(10_000.0 * ratio, 30.0, 30.0, 900.0), 60).status == status


@pytest.mark.parametrize(("ratio", "status"), [(1.24, "stable"), (1.25, "grown"), (0.51, "stable"), (0.5, "shrunk")])
def test_a_lesion_without_volume_follows_the_product_of_its_diameters(ratio, status):
    before = Size(None, 30.0, 30.0, 900.0)
    assert lesion_growth(before, Size(None, 30.0, 30.0, 900.0 * ratio), 60).status == status


def test_the_volume_thresholds_are_those_of_the_product_for_a_sphere():
    assert math.sqrt(1.25) ** 3 - 1 == pytest.approx(0.40, abs=0.005)
    assert 1 - math.sqrt(0.5) ** 3 == pytest.approx(0.65, abs=0.005)


@pytest.mark.parametrize(
    ("prior", "current", "words"),
    [(0.0, 0.0, "none seen"), (500.0, 0.0, "disappeared"), (0.0, 500.0, "new"), (1000.0, 1400.0, "progression"),
     (1000.0, 350.0, "partial response"), (1000.0, 1300.0, "stable")],
)  # fmt: skip
def test_a_region_is_told_by_its_volumes(prior, current, words):
    assert rano_category(prior, current).startswith(words)
    assert rano_category(None, current) is None
