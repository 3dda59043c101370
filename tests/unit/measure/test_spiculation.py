"""The spiculation index against spheres with a known number of strands."""

from __future__ import annotations

import pytest

from medimg.measure import measure_nodule, segment_nodule
from medimg.phantoms import excerpt as phantoms

CENTER, DIAMETER = (0.3, -0.2, 0.4), 12.0


def index_of(count: int) -> float:
    made = phantoms.excerpt(phantoms.spiculated(CENTER, DIAMETER, count), side_mm=36.0, noise_hu=10.0)
    nodule = segment_nodule(made.volume, CENTER, DIAMETER)
    assert nodule is not None
    return float(measure_nodule(made.volume, nodule)["spiculation_index"])


def test_a_smooth_nodule_has_no_spicules():
    assert index_of(0) < 0.01


def test_more_strands_give_a_larger_index_near_the_share_they_cover():
    few, many = index_of(6), index_of(24)
    # a strand of 1 mm radius is seen at a quarter of its contrast, which blur makes about half a millimetre wider
    expected = [n * 1.5**2 / (4 * (DIAMETER / 2 + 2.25) ** 2) for n in (6, 24)]
    assert few == pytest.approx(expected[0], rel=0.6)
    assert many == pytest.approx(expected[1], rel=0.6)
    assert many > 2.5 * few
