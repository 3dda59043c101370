"""The brain phantom holds what its truth says."""

from __future__ import annotations

import numpy as np
import pytest

from medimg import geometry
from medimg.errors import UsageError
from medimg.phantoms.brain import BRAIN_CENTER_LPS_MM, TUMOUR_SIGNAL, BrainPhantom, Region, Tumour, brain
from medimg.phantoms.brain_tissue import CONTRASTS

SMALL = (80, 80, 52)


@pytest.fixture(scope="module")
def head() -> BrainPhantom:
    """A head in voxels of about 3 mm."""
    return brain(1, SMALL)


def test_same_seed_gives_the_same_head(head: BrainPhantom) -> None:
    again = brain(1, SMALL)
    np.testing.assert_array_equal(again.labels, head.labels)
    for name in CONTRASTS:
        np.testing.assert_array_equal(again.contrasts[name], head.contrasts[name])


def test_other_seed_gives_another_tumour(head: BrainPhantom) -> None:
    assert brain(2, SMALL).tumour != head.tumour


def test_contrasts_share_one_brain_and_zero_outside(head: BrainPhantom) -> None:
    masks = [head.contrasts[name] > 0 for name in CONTRASTS]
    assert all(array.dtype == np.int16 and array.min() == 0 for array in head.contrasts.values())
    assert all((mask == masks[0]).all() for mask in masks)
    litres = masks[0].sum() * geometry.voxel_volume_mm3(head.affine_ras) / 1e6
    assert 1.0 < litres < 1.9


def test_tumour_lies_inside_the_brain_with_all_regions(head: BrainPhantom) -> None:
    assert set(np.unique(head.labels)) == {int(region) for region in Region}
    assert (head.contrasts["t1n"][head.labels > 0] > 0).all()


def test_enhancing_rim_encloses_the_necrotic_core(head: BrainPhantom) -> None:
    core = head.labels == Region.NECROTIC_CORE
    beside = np.zeros_like(core)
    for axis in range(3):
        beside |= np.roll(core, 1, axis) | np.roll(core, -1, axis)
    neighbours = head.labels[beside & ~core]
    assert (neighbours == Region.ENHANCING).mean() > 0.9


def test_regions_have_the_signal_ratios_of_real_tumours() -> None:
    phantom = brain(1, (120, 120, 78), noise=0.0)
    for name in CONTRASTS:
        array = phantom.contrasts[name].astype(float)
        level = {region: float(np.median(array[phantom.labels == region])) for region in TUMOUR_SIGNAL}
        wanted = TUMOUR_SIGNAL[Region.ENHANCING][name] / TUMOUR_SIGNAL[Region.NECROTIC_CORE][name]
        assert level[Region.ENHANCING] / level[Region.NECROTIC_CORE] == pytest.approx(wanted, rel=0.2)


def test_full_grid_is_that_of_brats() -> None:
    affine = brain(0, (240, 2 * 40, 31)).affine_ras
    assert geometry.axis_codes(affine) == "LPS"
    np.testing.assert_allclose(affine[0], [-1, 0, 0, 0], atol=1e-9)
    # the outer face of the first voxel is BraTS's on every grid
    np.testing.assert_allclose(geometry.to_world(affine, [-0.5, -0.5, -0.5]), [0.5, 239.5, -0.5])


def test_a_given_tumour_is_taken_as_it_is() -> None:
    wanted = Tumour((30.0, 0.0, 10.0), 16.0, 5.0, 8.0)
    phantom = brain(0, SMALL, tumour=wanted)
    assert phantom.tumour == wanted
    core = np.argwhere(phantom.labels == Region.NECROTIC_CORE).mean(axis=0)
    center = np.add(wanted.center_mm, BRAIN_CENTER_LPS_MM)
    found = geometry.ras_to_lps(geometry.to_world(phantom.affine_ras, core))
    assert np.linalg.norm(found - center) < 6


def test_impossible_grids_are_refused() -> None:
    with pytest.raises(UsageError, match="two voxels"):
        brain(0, (1, 80, 80))
