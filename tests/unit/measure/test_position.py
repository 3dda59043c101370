"""Side, height and pleura of nodules in the chest phantom and beside a wall."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medimg.inference.roi import lungs
from medimg.measure import segment_nodule
from medimg.measure.position import LungMap, position
from medimg.phantoms import excerpt as phantoms
from medimg.phantoms.thorax import thorax
from medimg.pipeline import load_pipeline
from medimg.stages.case import Clock
from medimg.stages.chain import open_case
from medimg.stages.select import select
from medimg.study import Source, Volume


@pytest.fixture(scope="module")
def lung_map() -> LungMap:
    scan = thorax(shape=(128, 96, 100), spacing_mm=(2.8, 2.8, 3.0), seed=1, noise_hu=10.0)
    region = lungs(Volume(scan.array, scan.affine_ras, Source(Path("thorax.nii.gz"), "nifti"), "CT"))
    assert region is not None
    return LungMap(region)


def test_the_lungs_are_told_apart_at_their_midline(lung_map):
    heights = np.percentile(lung_map.points[:, 2], [20, 50, 80])
    for height in heights:
        middle = lung_map.midline_mm(float(height))
        assert middle is not None
        assert abs(middle) < 25


def test_the_middle_of_the_lung_is_deep_and_its_border_is_not(lung_map):
    right = lung_map.points[lung_map.points[:, 0] > 40]
    assert lung_map.depth_mm(np.median(right, axis=0)[None]) > 15
    assert lung_map.depth_mm(np.array([[500.0, 0.0, 0.0]])) == 0.0


def nodule_at(gap_mm):
    """A 10 mm nodule whose surface is `gap_mm` from a wall on the left; sunk into it where negative."""
    layers = phantoms.on_wall((0.0, 0.0, 0.0), 10.0, sunk=-gap_mm / 10.0)
    made = phantoms.excerpt(layers, side_mm=44.0)
    found = segment_nodule(made.volume, (0.0, 0.0, 0.0), 10.0)
    assert found is not None
    return position(found.outline, None)


def test_the_distance_to_a_wall_is_that_of_the_phantom():
    told = nodule_at(2.0)
    assert told["pleura_distance_mm"] == pytest.approx(2.0, abs=0.8)
    assert told["pleural_contact"] is False


def test_a_nodule_on_the_wall_touches_it():
    told = nodule_at(-2.5)
    assert (told["pleura_distance_mm"], told["pleural_contact"]) == (0.0, True)


def test_what_cannot_be_known_is_none():
    made = phantoms.excerpt(phantoms.solid_sphere((0.0, 0.0, 0.0), 8.0), side_mm=36.0)
    found = segment_nodule(made.volume, (0.0, 0.0, 0.0), 8.0)
    assert found is not None
    assert set(position(found.outline, None).values()) == {None}


@pytest.mark.real
def test_real_nodules_lie_where_the_scan_shows_them(shared_data):
    """LIDC-IDRI-0001's nodule lies at the back of the left lung, near the middle of its height."""
    scan = shared_data / "lung" / "LIDC-IDRI-0001"
    volume = open_case(select([(None, scan)], load_pipeline("lung_nodule")), Clock()).first
    region = lungs(volume)
    found = segment_nodule(volume, (56.6, 85.4, -115.0), 24.0)
    assert region is not None
    assert found is not None
    told = position(found.outline, LungMap(region))
    assert told["side"] == "left"
    assert told["zone"] in {"middle", "upper"}
