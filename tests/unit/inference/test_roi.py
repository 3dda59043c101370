from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medimg import geometry
from medimg.inference import roi
from medimg.inference.roi import Chest, LungRegion, lungs
from medimg.study import Source, Volume

SPACING = 4.0
SHAPE = (90, 70, 60)
LEFT, RIGHT = np.array([27.0, 35.0, 30.0]), np.array([62.0, 35.0, 30.0])
AIR, LUNG, TISSUE, FOAM = -1000, -850, 40, -950


def ball(centre, radii):
    grid = np.indices(SHAPE).reshape(3, -1).T
    return ((((grid - centre) / radii) ** 2).sum(axis=1) <= 1).reshape(SHAPE)


def chest(*, left=True, right=True, table=False):
    """A body (an elliptic cylinder along z) with two lungs, in voxels of 4 mm, axes R, A, S."""
    hu = np.full(SHAPE, AIR, np.int16)
    body = ball((44.5, 35, 30), (38, 28, 1e6))
    hu[body] = TISSUE
    for wanted, centre in ((left, LEFT), (right, RIGHT)):
        if wanted:
            hu[ball(centre, (13, 18, 22))] = LUNG
    if table:
        hu[10:80, 1:6] = TISSUE
        hu[11:79, 2:5] = FOAM
    return hu


def volume(hu, affine=None):
    affine = np.diag([SPACING, SPACING, SPACING, 1.0]) if affine is None else affine
    return Volume(hu, affine, Source(Path("chest"), "memory"), "CT")


def centres(*voxels):
    return np.array(voxels) * SPACING


def test_the_lungs_of_a_chest_are_those_of_its_volume_and_are_searched_for_once(monkeypatch):
    scan, calls = volume(chest()), []
    monkeypatch.setattr(roi, "lungs", lambda asked: calls.append(asked) or lungs(asked))
    both = Chest(scan)
    assert (both.lungs.mask == lungs(scan.canonical()).mask).all()
    assert both.lungs is both.lungs
    assert len(calls) == 1


def test_both_lungs_of_a_chest_are_in_the_region_and_the_heart_between_them_is_not():
    region = lungs(volume(chest()))
    assert isinstance(region, LungRegion)
    assert region.contains(centres(LEFT, RIGHT)).all()
    assert not region.contains(centres((44.5, 20, 30), (2, 2, 2), (-50, 0, 0))).any()


def test_the_box_holds_the_lungs_with_a_margin_and_little_else():
    region = lungs(volume(chest()))
    assert region is not None
    radii = np.array((13, 18, 22))
    low, high = LEFT - radii, RIGHT + radii
    assert (np.array(region.start) < low).all()
    assert (np.array(region.stop) > high).all()
    assert (np.array(region.start) >= low - 5).all()
    assert (np.array(region.stop) <= high + 6).all()


def test_volume_is_about_that_of_the_lungs():
    region = lungs(volume(chest()))
    assert region is not None
    true_ml = np.count_nonzero(chest() == LUNG) * SPACING**3 / 1000
    assert region.volume_ml == pytest.approx(true_ml, rel=0.35)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(), (0, 2)])
def test_any_orientation_gives_the_same_region_in_the_world(axes, flips):
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    for new, old in enumerate(axes):
        matrix[old, new] = SPACING
    array = chest().transpose(axes)
    for axis in flips:
        array = np.flip(array, axis)
        matrix[:3, 3] += matrix[:3, axis] * (array.shape[axis] - 1)
        matrix[:3, axis] *= -1
    region = lungs(volume(array, matrix))
    assert region is not None
    assert region.contains(centres(LEFT, RIGHT)).all()
    assert not region.contains(centres((44.5, 20, 30))).any()


def test_a_single_lung_is_enough():
    region = lungs(volume(chest(right=False)))
    assert region is not None
    assert region.contains(centres(LEFT)).all()
    assert not region.contains(centres(RIGHT)).any()


def test_foam_in_the_table_is_no_lung():
    region = lungs(volume(chest(table=True)))
    assert region is not None
    assert not region.contains(centres((44.5, 3, 30))).any()
    assert region.start[1] > 8


def test_a_slit_in_the_chest_wall_does_not_lose_the_lung():
    hu = chest()
    # one voxel wide, from outside the body into the lung, over a third of the slices
    hu[:20, 35, 20:40] = AIR
    region = lungs(volume(hu))
    assert region is not None
    assert region.contains(centres(LEFT, RIGHT)).all()


def test_distance_is_zero_inside_and_millimetres_outside():
    region = lungs(volume(chest()))
    assert region is not None
    inside, beside, away = region.distance_mm(centres(LEFT, LEFT - (18, 0, 0), (-50, 0, 0)))
    assert inside == 0
    assert 8 <= beside <= 28
    assert 200 < away < 400


def test_a_nodule_at_the_pleura_belongs_to_the_region():
    hu = chest()
    nodule = LEFT - (11, 0, 0)
    hu[ball(nodule, (1.5, 1.5, 1.5))] = TISSUE
    region = lungs(volume(hu))
    assert region is not None
    assert region.contains(centres(nodule)).all()


@pytest.mark.parametrize("hu", [AIR, TISSUE])
def test_no_lungs_where_there_is_only_air_or_only_tissue(hu):
    assert lungs(volume(np.full(SHAPE, hu, np.int16))) is None


def test_no_lungs_in_a_small_crop_of_a_lung():
    hu = chest()[18:34, 28:44, 22:38]
    assert lungs(volume(np.ascontiguousarray(hu))) is None


@pytest.mark.real
def test_both_lungs_of_real_scans_are_found(shared_data):
    from medimg.volumes import read_volume

    scan = read_volume(shared_data / "lung" / "lung_boxes" / "LIDC-IDRI-0002_ct.nii.gz")
    region = lungs(scan)
    assert region is not None
    assert 3000 < region.volume_ml < 7000
    # the ground-glass nodule LUNA16 excludes, touching the pleura
    assert region.contains(geometry.lps_to_ras([[59.8, 71.5, -104.1]])).all()
