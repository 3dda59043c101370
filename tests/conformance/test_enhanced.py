"""Enhanced multi-frame images: each frame has its own place, scale and type, in any order."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medimg.errors import Reason

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"


def item(**elements):
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def enhanced(phantom, frames, *, slopes=None, echoes=None, sop_class=ENHANCED_CT):
    """One multi-frame file of (position, orientation, add) frames."""
    slices = [phantom.dataset(position, orientation, add=add) for position, orientation, add in frames]
    whole = phantom.dataset(frames[0][0])
    whole.SOPClassUID = sop_class
    whole.NumberOfFrames = len(frames)
    groups, pixels = [], []
    for number, (position, orientation, _add) in enumerate(frames):
        slope = slopes[number] if slopes else 1.0
        words = np.frombuffer(slices[number].PixelData, "<u2")
        pixels.append(np.round(words / slope).astype("<u2").tobytes())
        group = item(
            PlanePositionSequence=Sequence([item(ImagePositionPatient=list(map(float, position)))]),
            PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=list(map(float, orientation)))]),
            PixelValueTransformationSequence=Sequence([item(RescaleSlope=slope, RescaleIntercept=-1024)]),
        )
        if echoes:
            group.MREchoSequence = Sequence([item(EffectiveEchoTime=float(echoes[number]))])
        groups.append(group)
    shared = item(PixelMeasuresSequence=Sequence([item(PixelSpacing=[2.0, 1.0])]))
    whole.SharedFunctionalGroupsSequence = Sequence([shared])
    whole.PerFrameFunctionalGroupsSequence = Sequence(groups)
    whole.PixelData = b"".join(pixels)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        delattr(whole, keyword)
    del whole.RescaleIntercept
    return phantom.write(whole, phantom.folder / "enhanced")


AXIAL = (1, 0, 0, 0, 1, 0)


def test_shuffled_frames_are_sorted_by_their_positions(phantom, world_error, positions):
    order = np.random.default_rng(1).permutation(8)
    path = enhanced(phantom, [(positions(8)[n], AXIAL, 0) for n in order])
    (volume,) = phantom.read_one().volumes
    assert volume.shape == (6, 7, 8)
    assert world_error(volume) == 0
    assert volume.source.files == (path,)


def test_frames_keep_their_own_slope(phantom, world_error, positions):
    enhanced(phantom, [(place, AXIAL, 0) for place in positions(5)], slopes=[1, 0.5, 0.25, 0.5, 1])
    (volume,) = phantom.read_one().volumes
    assert volume.array.dtype == np.float32
    assert world_error(volume) <= 0.51


def test_echoes_and_orientations_in_one_file_become_volumes(phantom, world_error, positions):
    axial = [(place, AXIAL, add) for add in (0, 50) for place in positions(5)]
    coronal = [(place, (1, 0, 0, 0, 0, -1), 0) for place in positions(4, step=(0, 3, 0))]
    enhanced(phantom, axial + coronal, echoes=[10] * 5 + [20] * 5 + [10] * 4, sop_class=ENHANCED_MR)
    first, second, third = phantom.read_one().volumes
    assert [world_error(first), world_error(second, add=50), world_error(third)] == [0, 0, 0]


def test_a_missing_frame_is_refused(phantom, positions):
    enhanced(phantom, [(place, AXIAL, 0) for place in np.delete(positions(8), 3, axis=0)])
    result = phantom.read_one()
    assert result.rejection is not None
    assert result.rejection.reason is Reason.MISSING_SLICES


@pytest.mark.parametrize("claimed", [9, 10**8])
def test_more_frames_claimed_than_described_is_refused_unread(phantom, positions, claimed):
    path = enhanced(phantom, [(place, AXIAL, 0) for place in positions(8)])
    data = path.read_bytes()
    before = b"\x28\x00\x08\x00IS\x02\x008 "
    after = b"\x28\x00\x08\x00IS" + len(f"{claimed:010d}").to_bytes(2, "little") + f"{claimed:010d}".encode()
    assert data.count(before) == 1
    path.write_bytes(data.replace(before, after))
    result = phantom.read_one()
    assert result.rejection is not None
    assert result.rejection.reason is Reason.TRUNCATED
