"""Series that are not sound: each is refused with the code that says why, naming its files. Never a guess."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate

from medimg.dicom.decode import GE_BIG_ENDIAN_PIXELS
from medimg.errors import Reason


def refused(phantom):
    result = phantom.read_one()
    assert result.volumes == []
    assert result.rejection is not None
    assert "2.25.7" in str(result.rejection)
    assert "\n" not in str(result.rejection)
    return result.rejection


@pytest.mark.parametrize("gone", [[3], [2, 3], [1, 5]])
def test_a_missing_slice_is_never_closed_up(phantom, positions, gone):
    phantom.slices([position for number, position in enumerate(positions(9)) if number not in gone])
    error = refused(phantom)
    assert error.reason is Reason.MISSING_SLICES
    assert f"{len(gone)} slices missing" in str(error)
    assert len(error.files) == 9 - len(gone)


@pytest.mark.parametrize("keep", [-10, 500])
def test_a_file_cut_short_fails_its_series_and_is_named(phantom, positions, keep):
    paths = phantom.slices(positions(5))
    paths[2].write_bytes(paths[2].read_bytes()[:keep])
    error = refused(phantom)
    assert error.reason is Reason.TRUNCATED
    assert error.files == (paths[2],)


def test_a_header_that_claims_a_huge_image_is_left_out_by_name(phantom, positions):
    paths = phantom.slices(positions(5), edit=lambda ds, n: setattr(ds, "Rows", 65535) if n == 2 else None)
    result = phantom.read_one()
    assert result.rejection is not None
    assert result.rejection.reason is Reason.MISSING_SLICES
    assert result.excluded == [(paths[2], Reason.TOO_LARGE)]


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("value", ["NaN", "inf"])
def test_a_rescaling_that_is_no_number_is_refused(phantom, positions, modality, keyword, value):
    paths = phantom.slices(positions(4), modality=modality)
    for path in paths:
        data = path.read_bytes()
        tag = {"RescaleSlope": b"\x28\x00\x53\x10DS", "RescaleIntercept": b"\x28\x00\x52\x10DS"}[keyword]
        start = data.index(tag) + len(tag)
        length = int.from_bytes(data[start : start + 2], "little")
        text = value.encode().ljust(4)
        path.write_bytes(data[:start] + len(text).to_bytes(2, "little") + text + data[start + 2 + length :])
    assert refused(phantom).reason is Reason.NO_RESCALE


def test_single_images_of_several_orientations_are_refused_together(phantom, positions):
    for orientation in [(1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1)]:
        phantom.slices(positions(1), orientation=orientation)
    error = refused(phantom)
    assert error.reason is Reason.MIXED_ORIENTATION
    assert len(error.files) == 3


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2.4.93", "1.3.6.1.4.1.5962.99.7", "1.2.840.113619.5.2"])
def test_pixels_no_decoder_knows_are_refused_by_name(phantom, positions, uid):
    """Multi-component JPEG 2000, somebody's own syntax, and GE's big-endian pixels in a little-endian file."""
    paths = phantom.slices(positions(4))
    for path in paths:
        dataset = pydicom.dcmread(path)
        if uid != GE_BIG_ENDIAN_PIXELS:
            dataset.PixelData = encapsulate([b"\0" * 16])
            dataset["PixelData"].VR = "OB"
            dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = uid
        dataset.save_as(path, implicit_vr=False, little_endian=True)
    error = refused(phantom)
    assert error.reason is Reason.UNSUPPORTED_SYNTAX
    assert uid in str(error)


def test_a_good_volume_survives_beside_a_bad_stack_and_the_series_still_says_so(phantom, world_error, positions):
    phantom.slices(positions(5))
    places = positions(6, step=(0, 3, 0))
    del places[2]
    phantom.slices(places, orientation=(1, 0, 0, 0, 0, -1))
    result = phantom.read_one()
    assert world_error(*result.volumes) == 0
    assert result.rejection is not None
    assert result.rejection.reason is Reason.MISSING_SLICES


@pytest.mark.parametrize("seed", range(30))
def test_mutated_files_never_crash_the_reader(phantom, positions, seed):
    rng = np.random.default_rng(seed)
    paths = phantom.slices(positions(4))
    for path in paths:
        data = bytearray(path.read_bytes())
        for index in rng.integers(0 if seed % 3 else 132, len(data), 12):
            data[index] = rng.integers(256)
        path.write_bytes(bytes(data))
    results = phantom.read()
    placed = {path for result in results for volume in result.volumes for path in volume.source.files}
    assert placed <= set(paths)
