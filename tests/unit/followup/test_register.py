"""Two scans of one patient registered: the motion is known, the grids differ in every way."""

from __future__ import annotations

import numpy as np
import pytest
import toy
from moving import NODULES, grid_about, motion_of, scanned_again, volume_of

from medimg import geometry
from medimg.errors import InputError, Reason
from medimg.followup.motion import Motion
from medimg.followup.register import register
from medimg.followup.working_grid import working_scan

CENTERS = np.array([nodule.center_lps_mm for nodule in NODULES])


def test_a_patient_who_moved_is_found_to_less_than_a_millimetre_on_an_oblique_grid_of_other_spacing(chest):
    motion = motion_of((4.0, -6.0, 8.0), (12.0, -20.0, 30.0))
    shape = (110, 110, 90)
    current = scanned_again(
        chest, motion, shape, grid_about(motion.moved(np.zeros(3)), shape, (2.9, 2.9, 3.1), (10, 5, -7))
    )
    found = register(chest, current)
    assert found.motion.distance_mm(motion, CENTERS) < 1.0
    assert found.motion.rotation_degrees == pytest.approx(motion.rotation_degrees, abs=0.3)
    assert found.correlation > 0.8
    assert found.overlap > 0.9


def test_a_head_that_turned_is_found_to_less_than_a_millimetre_in_mr(head):
    motion = motion_of((-6.0, 3.0, 10.0), (5.0, 40.0, -12.0))
    middle = working_scan(head, 4.0).center_lps_mm
    shape = (70, 90, 60)
    current = scanned_again(head, motion, shape, grid_about(motion.moved(middle), shape, (3.0, 2.6, 3.0), (3, -8, 12)))
    found = register(head, current)
    around = middle + np.array([[30.0, 0, 0], [0, -30.0, 0], [0, 0, 30.0], [-20.0, 20.0, 10.0]])
    assert found.motion.distance_mm(motion, around) < 1.0


def test_another_region_of_the_body_is_refused(chest, head):
    as_ct = volume_of(np.where(head.array > 0, head.array / 20, -1000).astype(np.float32), head.affine_ras)
    with pytest.raises(InputError, match="cannot be registered") as refused:
        register(chest, as_ct)
    assert refused.value.reason is Reason.NOT_REGISTERED


def test_noise_is_refused(chest):
    noise = np.random.default_rng(0).normal(-300, 300, (50, 50, 40)).astype(np.float32)
    with pytest.raises(InputError, match="the two scans cannot be registered"):
        register(chest, volume_of(noise, chest.affine_ras))


def test_a_motion_there_and_back_is_none():
    motion = motion_of((4.0, -6.0, 8.0), (12.0, -20.0, 30.0))
    assert np.allclose(motion.back().moved(motion.moved(CENTERS)), CENTERS)
    assert Motion(np.eye(4)).rotation_degrees == 0


@pytest.mark.parametrize("degrees", [(0.0, 0.0, 0.0), (20.0, 15.0, 30.0)])
def test_the_working_grid_keeps_places_whatever_the_orientation(degrees):
    """A ball of 20 mm has its middle where it was, on a plain grid and on an oblique one."""
    center, shape = np.array([30.0, -20.0, 10.0]), (70, 60, 50)
    affine_ras = geometry.swap_ras_lps(grid_about((25.0, -15.0, 12.0), shape, (1.5, 1.6, 2.2), degrees))
    ball = toy.ball(shape, affine_ras, geometry.lps_to_ras(center), 20.0)
    found = working_scan(volume_of((100 * ball).astype(np.int16), affine_ras, "MR"), 2.0)
    assert np.linalg.norm(found.centroid_lps_mm() - center) < 0.3
    assert found.coarser(2).spacing_mm == 4.0
    assert np.linalg.norm(found.coarser(2).centroid_lps_mm() - center) < 0.5
