"""Messy series that are sound: each becomes the right volume, checked by value at every point of the world."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    RLELossless,
)

from medimg.dicom.discover import discover
from medimg.dicom.series import read_series
from medimg.errors import Reason

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
TILT = np.radians(15)
TILTED = (1.0, 0.0, 0.0, 0.0, float(np.cos(TILT)), float(np.sin(TILT)))
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, -0.8)


@pytest.mark.parametrize(
    "orientation", [AXIAL, CORONAL, SAGITTAL, OBLIQUE], ids=["axial", "coronal", "sagittal", "oblique"]
)
@pytest.mark.parametrize("direction", [1, -1], ids=["ascending", "descending"])
def test_every_voxel_lies_where_the_header_says(phantom, world_error, positions, orientation, direction):
    normal = np.cross(orientation[:3], orientation[3:])
    phantom.slices(positions(5, step=3 * direction * normal), orientation=orientation)
    (volume,) = phantom.read_one().volumes
    assert volume.shape == (6, 7, 5)
    assert volume.array.dtype == np.int16
    np.testing.assert_allclose(volume.spacing_mm, [1, 2, 3], atol=1e-6)
    assert world_error(volume) <= 0.51


def test_a_tilted_gantry_keeps_its_sheared_affine(phantom, world_error, positions):
    phantom.slices(positions(6), orientation=TILTED)
    (volume,) = phantom.read_one().volumes
    i, j, k = volume.affine_ras[:3, :3].T
    assert abs(j @ k) / np.linalg.norm(j) / np.linalg.norm(k) == pytest.approx(np.sin(TILT), abs=1e-5)
    assert i @ k == pytest.approx(0, abs=1e-9)
    assert world_error(volume) <= 0.51


def test_a_folder_of_everything_gives_one_volume_per_series(phantom, world_error, positions):
    phantom.slices(positions(4), series="2.25.71", subfolder="a/b")
    phantom.slices(positions(5, start=(0, 0, 100)), series="2.25.72", subfolder="a")
    (phantom.folder / "notes.txt").write_text("not DICOM")
    (phantom.folder / "empty").write_bytes(b"")
    (phantom.folder / "a/looks_like.dcm").write_bytes(b"\x08\x00\x05\x00junk that begins as DICOM might" * 20)
    (phantom.folder / "loop").symlink_to(phantom.folder)
    (phantom.folder / "broken").symlink_to(phantom.folder / "nowhere")
    results = phantom.read()
    assert sorted(len(result.volumes) for result in results) == [1, 1]
    assert all(world_error(result.volumes[0]) == 0 for result in results)
    assert all(result.rejection is None for result in results)


def test_files_without_preamble_are_read(phantom, world_error, positions):
    for path in phantom.slices(positions(4)):
        path.write_bytes(path.read_bytes()[132:])
    assert world_error(phantom.read_one().volumes[0]) == 0


def test_a_stream_without_any_meta_group_is_read(phantom, world_error, positions):
    for path in phantom.slices(positions(4)):
        data = path.read_bytes()
        path.write_bytes(data[data.index(b"\x08\x00\x08\x00CS") :])
    assert world_error(phantom.read_one().volumes[0]) == 0


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless]
)
def test_other_transfer_syntaxes_give_the_same_volume(phantom, world_error, positions, syntax):
    def encode(dataset, _number):
        if syntax == RLELossless:
            dataset.compress(RLELossless)
            return
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.file_meta.TransferSyntaxUID = syntax

    phantom.slices(positions(4), edit=encode)
    assert world_error(phantom.read_one().volumes[0]) == 0


def test_twelve_bit_packed_pixels_are_unpacked(phantom, world_error, positions):
    def pack(dataset, _number):
        values = np.frombuffer(dataset.PixelData, "<u2")
        low, high = values[0::2], values[1::2]
        packed = np.stack([low & 0xFF, (low >> 8) | ((high & 0x0F) << 4), high >> 4], axis=1).astype(np.uint8)
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 12, 12, 11
        dataset.PixelData = packed.tobytes() + b"\0" * (packed.size % 2)

    phantom.slices(positions(4), edit=pack)
    assert world_error(phantom.read_one().volumes[0]) == 0


def test_bits_above_the_stored_ones_are_ignored(phantom, world_error, positions):
    def soil(dataset, _number):
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.PixelData = (np.frombuffer(dataset.PixelData, "<u2") | 0xA000).astype("<u2").tobytes()

    phantom.slices(positions(4), edit=soil)
    assert world_error(phantom.read_one().volumes[0]) == 0


def test_instance_numbers_do_not_matter(phantom, world_error, positions):
    numbers = random.Random(0).sample(range(100), 6)

    def scramble(dataset, number):
        dataset.InstanceNumber = numbers[number]
        dataset.SliceLocation = -number
        if number == 3:
            del dataset.InstanceNumber

    phantom.slices(positions(6), edit=scramble)
    assert world_error(phantom.read_one().volumes[0]) == 0


def test_long_decimal_strings_and_jittered_cosines_are_accepted(phantom, world_error, positions):
    rng = np.random.default_rng(0)

    def jitter(dataset, _number):
        jittered = np.array(AXIAL) + rng.uniform(-1e-4, 1e-4, 6)
        elements = {"ImageOrientationPatient": jittered, "ImagePositionPatient": dataset.ImagePositionPatient}
        for keyword, values in elements.items():
            dataset[keyword]._value = [f"{float(value):.18f}" for value in values]

    phantom.slices(positions(6), edit=jitter)
    (volume,) = phantom.read_one().volumes
    assert volume.shape[2] == 6
    assert world_error(volume) <= 0.51


def test_identical_duplicates_are_dropped_and_reported(phantom, world_error, positions):
    phantom.slices(positions(5))
    phantom.slices(positions(5)[2:3], subfolder="again")
    result = phantom.read_one()
    assert world_error(result.volumes[0]) == 0
    assert [reason for _path, reason in result.excluded] == [Reason.DUPLICATE_FILE]
    assert result.rejection is None


def test_a_series_exported_twice_is_one_volume(phantom, world_error, positions):
    phantom.slices(positions(5))
    phantom.slices(positions(5), subfolder="again")
    result = phantom.read_one()
    assert world_error(*result.volumes) == 0
    assert [reason for _path, reason in result.excluded] == [Reason.DUPLICATE_FILE] * 5


def test_a_wide_gap_separates_two_stacks(phantom, world_error, positions):
    phantom.slices(positions(5) + positions(4, start=(-9, -4, 92)))
    result = phantom.read_one()
    assert [volume.shape[2] for volume in result.volumes] == [5, 4]
    assert max(map(world_error, result.volumes)) == 0


def test_two_orientations_become_two_volumes(phantom, world_error, positions):
    phantom.slices(positions(5))
    phantom.slices(positions(4, step=(0, 3, 0)), orientation=CORONAL)
    result = phantom.read_one()
    assert sorted(volume.shape[2] for volume in result.volumes) == [4, 5]
    assert max(map(world_error, result.volumes)) == 0


MARKS = [
    ("EchoTime", (4.6, 9.2)),
    ("AcquisitionNumber", (1, 2)),
    ("TemporalPositionIdentifier", (1, 2)),
    ("ImageType", (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"])),
]


@pytest.mark.parametrize(
    ("keyword", "values", "shift"),
    [
        *((*mark, 0) for mark in MARKS),
        *((*mark, 1.5) for mark in MARKS),  # interleaved places: half a slice apart
        ("AcquisitionTime", ("101500.5", "101530"), 0),
    ],
)
def test_two_scans_in_one_series_are_told_apart(phantom, world_error, positions, keyword, values, shift):
    for value, add, offset in zip(values, (0, 50), (0, shift), strict=True):
        phantom.slices(
            positions(5, start=(-9, -4, -20 + offset)),
            modality="MR",
            add=add,
            edit=lambda dataset, _number, value=value: setattr(dataset, keyword, value),
        )
    first, second = phantom.read_one().volumes
    assert world_error(first) <= 0.51
    assert world_error(second, add=50) <= 0.51
    assert keyword in first.source.headers["split"]


def test_repeats_in_time_are_told_apart_by_instance_order_alone(phantom, world_error, positions):
    def number_on(dataset, number):
        dataset.InstanceNumber = counter.pop(0)

    counter = list(range(1, 16))
    for add in (0, 10, 20):
        phantom.slices(positions(5), modality="MR", add=add, edit=number_on)
    volumes = phantom.read_one().volumes
    assert [world_error(volume, add=add) for volume, add in zip(volumes, (0, 10, 20), strict=True)] == [0, 0, 0]


def test_table_positions_with_their_own_acquisition_number_stay_one_volume(phantom, world_error, positions):
    def by_block(dataset, number):
        dataset.AcquisitionNumber = 1 + number // 4
        dataset.Exposure = 100 + number

    phantom.slices(positions(12), edit=by_block)
    (volume,) = phantom.read_one().volumes
    assert volume.shape[2] == 12
    assert world_error(volume) == 0


def test_foreign_images_in_the_series_are_excluded_with_their_reason(phantom, world_error, positions):
    phantom.slices(positions(5))

    def localizer(dataset, _number):
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    def secondary(dataset, _number):
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"

    def colour(dataset, _number):
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
        dataset.PixelData *= 3

    place = [(0, 0, 0)]
    phantom.slices(place, orientation=CORONAL, edit=localizer)
    phantom.slices(place, edit=secondary)
    phantom.slices(place, edit=colour)
    phantom.slices(place, orientation=SAGITTAL)
    result = phantom.read_one()
    assert world_error(*result.volumes) == 0
    assert {reason for _path, reason in result.excluded} == {
        Reason.LOCALIZER,
        Reason.SECONDARY_CAPTURE,
        Reason.COLOUR,
        Reason.SINGLE_SLICE,
    }
    assert result.rejection is None


def test_a_slope_that_changes_by_slice_gives_float_voxels(phantom, world_error, positions):
    def rescale(dataset, number):
        slope = 1.0 if number == 0 else 0.25 * number
        hu = np.frombuffer(dataset.PixelData, "<u2") - 1024.0
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, -1024
        dataset.PixelData = np.round((hu + 1024) / slope).astype("<u2").tobytes()

    phantom.slices(positions(5), modality="PT", edit=rescale)
    (volume,) = phantom.read_one().volumes
    assert volume.array.dtype == np.float32
    assert world_error(volume) <= 0.51


def test_values_beyond_int16_are_kept(phantom, positions):
    def bright(dataset, number):
        del dataset.RescaleSlope, dataset.RescaleIntercept
        dataset.PixelData = np.full(42, 100 if number < 3 else 50000, "<u2").tobytes()

    phantom.slices(positions(5), modality="MR", edit=bright)
    (volume,) = phantom.read_one().volumes
    assert volume.array[0, 0].tolist() == [100, 100, 100, 50000, 50000]


@pytest.mark.parametrize(("signed", "value"), [(0, 63536), (1, 63536), (1, -2000)])
def test_padding_outside_the_scanned_circle_becomes_air(phantom, positions, signed, value):
    def pad(dataset, _number):
        dataset.PixelRepresentation = signed
        pixels = np.frombuffer(dataset.PixelData, "<u2").copy()
        pixels[:3] = 63536  # the same bits as -2000
        dataset.PixelData = pixels.tobytes()
        dataset.add_new("PixelPaddingValue", "US" if value > 0 else "SS", value)

    phantom.slices(positions(3), edit=pad)
    (volume,) = phantom.read_one().volumes
    assert (volume.array[:3, -1] == -1000).all()
    assert volume.array.dtype == np.int16
    assert volume.array[3:].min() > -1000


def test_padding_that_is_a_tissue_value_is_left(phantom, world_error, positions):
    def pad(dataset, _number):
        dataset.PixelPaddingValue = int(np.frombuffer(dataset.PixelData, "<u2")[0])

    phantom.slices(positions(3), edit=pad)
    assert world_error(phantom.read_one().volumes[0]) == 0


def test_the_source_names_its_files_in_slice_order(phantom, positions):
    paths = phantom.slices(positions(5, step=(0, 0, -3)))
    (volume,) = phantom.read_one().volumes
    source = volume.source
    assert [path.name for path in source.files] == [Path(path).name for path in reversed(paths)]
    assert (source.kind, source.study_uid, source.series_uid) == ("dicom", "2.25.5", "2.25.7")
    assert source.frame_of_reference_uid == "2.25.6"
    again = phantom.read_one().volumes[0].source.sha256
    assert source.sha256 == again
    phantom.fresh().slices(positions(5, start=(-9, -4, -19)))
    assert phantom.read_one().volumes[0].source.sha256 != again


def test_a_series_over_two_folders_comes_from_the_folder_that_was_searched(phantom, world_error, positions):
    places = positions(6)
    phantom.slices(places[:3], subfolder="1")
    phantom.slices(places[3:], subfolder="2")
    (volume,) = phantom.read_one().volumes
    assert world_error(volume) <= 0.51
    assert volume.source.path == phantom.folder


def test_a_series_found_in_one_named_file_comes_from_its_folder(phantom, positions):
    path = phantom.slices(positions(1))[0]
    (series,) = discover(path).series
    assert series.root == phantom.folder


def test_a_dicomdir_medium_is_read_by_its_files(phantom, world_error, positions):
    paths = phantom.slices(positions(4), subfolder="DICOM/ST0/SE0")
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = "2.25.50"
    directory.FileSetID = "MEDIUM"
    record = Dataset()
    record.DirectoryRecordType = "IMAGE"
    record.ReferencedFileID = ["DICOM", "ST0", "SE0", paths[0].name]
    directory.DirectoryRecordSequence = Sequence([record])
    directory.save_as(phantom.folder / "DICOMDIR", enforce_file_format=True)
    found = discover(phantom.folder)
    (volume,) = read_series(*found.series).volumes
    assert world_error(volume) == 0
    assert [(skip.path.name, skip.reason) for skip in found.skipped] == [("DICOMDIR", Reason.NOT_AN_IMAGE)]


def test_stations_side_by_side_become_volumes(phantom, world_error, positions):
    for z in (-20, 200):
        phantom.slices(positions(4, step=(0, 3, 0), start=(-9, -4, z)), orientation=CORONAL)
    volumes = phantom.read_one().volumes
    assert [volume.shape[2] for volume in volumes] == [4, 4]
    assert max(map(world_error, volumes)) == 0


def test_frames_of_reference_are_not_mixed(phantom, world_error, positions):
    phantom.slices(positions(4))
    moved = positions(4, start=(-9, -4, -8))
    phantom.slices(moved, edit=lambda dataset, _number: setattr(dataset, "FrameOfReferenceUID", "2.25.99"))
    volumes = phantom.read_one().volumes
    assert [volume.source.frame_of_reference_uid for volume in volumes] == ["2.25.6", "2.25.99"]
