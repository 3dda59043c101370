"""Enhanced multi-frame images beyond the catalogue: what a volume says of itself, and counts that lie."""

from __future__ import annotations

import numpy as np
import pytest
from conformance.cases.enhanced import ENHANCED_MR, Slice, enhanced
from conformance.cases.phantom import CORONAL

from medimg.errors import Reason


def test_a_volume_names_the_file_its_frames_come_from(phantom, world_error, positions):
    order = np.random.default_rng(1).permutation(8)
    path = enhanced(phantom, [Slice(positions(8)[n]) for n in order])
    (volume,) = phantom.read_one().volumes
    assert volume.shape == (6, 7, 8)
    assert world_error(volume) == 0
    assert volume.source.files == (path,)


def test_frames_of_different_slopes_give_float_voxels(phantom, world_error, positions):
    slopes = [1, 0.5, 0.25, 0.5, 1]
    enhanced(phantom, [Slice(place, slope=slope) for place, slope in zip(positions(5), slopes, strict=True)])
    (volume,) = phantom.read_one().volumes
    assert volume.array.dtype == np.float32
    assert world_error(volume) <= 0.51


def test_echoes_and_orientations_in_one_file_become_volumes_in_order(phantom, world_error, positions):
    def echo(time):
        return {"MREchoSequence": {"EffectiveEchoTime": time}}

    axial = [Slice(place, add=add, macros=echo(time)) for time, add in ((10, 0), (20, 50)) for place in positions(5)]
    coronal = [Slice(place, CORONAL, macros=echo(10)) for place in positions(4, step=(0, 3, 0))]
    enhanced(phantom, axial + coronal, sop_class=ENHANCED_MR, modality="MR")
    first, second, third = phantom.read_one().volumes
    assert [world_error(first), world_error(second, add=50), world_error(third)] == [0, 0, 0]


@pytest.mark.parametrize("claimed", [9, 10**8])
def test_more_frames_claimed_than_described_is_refused_unread(phantom, positions, claimed):
    enhanced(phantom, [Slice(place) for place in positions(8)], elements={"NumberOfFrames": claimed})
    result = phantom.read_one()
    assert result.rejection is not None
    assert result.rejection.reason is Reason.TRUNCATED
