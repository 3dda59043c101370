"""Series that are not sound: each is refused with the code that says why, naming its files. Never a guess."""

from __future__ import annotations

import zlib

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate

from medimg.dicom import parse
from medimg.dicom.decode import GE_BIG_ENDIAN_PIXELS
from medimg.dicom.discover import discover
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


def test_uneven_spacing_is_refused(phantom, positions):
    phantom.slices([*positions(5), *positions(4, step=(0, 0, 4.3), start=(-9, -4, -3.5))])
    assert refused(phantom).reason is Reason.UNEVEN_SPACING


def test_a_slice_off_the_line_is_refused(phantom, positions):
    places = positions(6)
    places[3] = (places[3][0] + 0.5, *places[3][1:])
    phantom.slices(places)
    assert refused(phantom).reason is Reason.UNEVEN_SPACING


def test_different_images_at_one_position_are_refused(phantom, positions):
    phantom.slices(positions(5))
    phantom.slices(positions(5)[2:3], add=7)
    error = refused(phantom)
    assert error.reason is Reason.DUPLICATE_POSITION


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_images_without_geometry_are_refused(phantom, positions, keyword):
    phantom.slices(positions(5), edit=lambda dataset, _number: delattr(dataset, keyword))
    assert refused(phantom).reason is Reason.NO_GEOMETRY


def test_cosines_that_are_no_directions_are_refused(phantom, positions):
    phantom.slices(positions(5), edit=lambda ds, _n: setattr(ds, "ImageOrientationPatient", [1, 0, 0, 1, 0, 0]))
    assert refused(phantom).reason is Reason.NO_GEOMETRY


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


def test_one_slice_is_no_volume(phantom, positions):
    phantom.slices(positions(1))
    assert refused(phantom).reason is Reason.SINGLE_SLICE


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        (Reason.LOCALIZER, {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}),
        (Reason.SECONDARY_CAPTURE, {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}),
        (Reason.SECONDARY_CAPTURE, {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}),
        (Reason.COLOUR, {"PhotometricInterpretation": "PALETTE COLOR"}),
        (Reason.UNSUPPORTED_KIND, {"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}),
        (Reason.NO_RESCALE, {"RescaleSlope": 0}),
        (Reason.EMPTY_VOLUME, {"PixelData": bytes(2 * 7 * 6)}),
    ],
)
def test_series_of_other_kinds_are_refused_by_name(phantom, positions, reason, change):
    def apply(dataset, _number):
        for keyword, value in change.items():
            setattr(dataset, keyword, value)

    phantom.slices(positions(4), edit=apply)
    assert refused(phantom).reason is reason


def test_multiframe_images_without_frame_positions_are_refused(phantom, positions):
    def frames(dataset, _number):
        dataset.NumberOfFrames = 2
        dataset.PixelData *= 2

    phantom.slices(positions(2), edit=frames)
    assert refused(phantom).reason is Reason.UNSUPPORTED_KIND


def test_unsigned_ct_without_rescaling_has_no_hounsfield_units(phantom, positions):
    def bare(dataset, _number):
        del dataset.RescaleSlope, dataset.RescaleIntercept

    phantom.slices(positions(4), edit=bare)
    assert refused(phantom).reason is Reason.NO_RESCALE


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


def test_a_slope_beyond_floats_gives_no_volume(phantom, positions):
    phantom.slices(positions(4), edit=lambda ds, _n: setattr(ds, "RescaleSlope", "1e60"))
    assert refused(phantom).reason is Reason.NON_FINITE_VOXELS


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


def test_what_is_no_image_is_skipped_with_its_reason(phantom, positions):
    report = phantom.slices(
        positions(1), edit=lambda ds, _n: setattr(ds, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.88.22")
    )
    (phantom.folder / "a.txt").write_text("text")
    (phantom.folder / "broken").symlink_to("nowhere")
    found = discover(phantom.folder)
    assert found.series == []
    assert {(skip.path.name, skip.reason) for skip in found.skipped} == {
        (report[0].name, Reason.NOT_AN_IMAGE),
        ("a.txt", Reason.NOT_DICOM),
        ("broken", Reason.NOT_A_REGULAR_FILE),
    }


def test_a_deflated_bomb_is_not_inflated(phantom, positions, monkeypatch):
    monkeypatch.setattr(parse, "MAX_INFLATED_BYTES", 1 << 16)
    (path,) = phantom.slices(positions(1))
    data = path.read_bytes()
    head = data[: data.index(b"\x08\x00\x08\x00CS")]
    uid = head.index(b"1.2.840.10008.1.2.1")
    head = head[: uid - 2] + b"\x16\x00" + b"1.2.840.10008.1.2.1.99" + head[uid + 20 :]
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    path.write_bytes(head + packer.compress(np.zeros(1 << 20, np.uint8).tobytes()) + packer.flush())
    (skip,) = discover(phantom.folder).skipped
    assert skip.reason is Reason.TOO_LARGE


def test_sequences_nested_thousands_deep_cost_one_file_and_no_crash(phantom, positions):
    paths = phantom.slices(positions(4))
    depth = 3000
    opened = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closed = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    data = paths[0].read_bytes()
    start = data.index(b"\x08\x00\x08\x00CS")
    paths[0].write_bytes(data[:start] + opened * depth + closed * depth + data[start:])
    found = discover(phantom.folder)
    assert [(skip.path, skip.reason) for skip in found.skipped] == [(paths[0], Reason.UNREADABLE)]
    assert len(found.series[0].frames) == 3


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
