"""Messy series that are sound: each becomes the right volume, checked by value at every point of the world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from medimg.dicom.discover import discover

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


def test_frames_of_reference_are_not_mixed(phantom, world_error, positions):
    phantom.slices(positions(4))
    moved = positions(4, start=(-9, -4, -8))
    phantom.slices(moved, edit=lambda dataset, _number: setattr(dataset, "FrameOfReferenceUID", "2.25.99"))
    volumes = phantom.read_one().volumes
    assert [volume.source.frame_of_reference_uid for volume in volumes] == ["2.25.6", "2.25.99"]
