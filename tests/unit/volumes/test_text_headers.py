"""MetaImage and NRRD: placed by their own words, or refused; and no header names a file outside its own folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from medimg import volumes
from medimg.errors import InputError, Reason

VOXELS = np.random.default_rng(0).integers(-1000, 400, (4, 5, 6)).astype("<i2")
RAW = VOXELS.tobytes(order="F")

META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "10 20 5",
    "ElementSpacing": "1.5 1.25 2",
    "DimSize": "4 5 6",
    "ElementType": "MET_SHORT",
}

NRRD = {
    "type": "int16",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "4 5 6",
    "space directions": "(1.5,0,0) (0,1.25,0) (0,0,2)",
    "space origin": "(10,20,5)",
    "endian": "little",
    "encoding": "raw",
}

AFFINE = np.array([[-1.5, 0, 0, -10], [0, -1.25, 0, -20], [0, 0, 2, 5], [0, 0, 0, 1]])
"""Of both headers, voxel -> RAS mm."""


def meta(path: Path, without: str = "", data: str = "LOCAL", **changes: str) -> Path:
    """A MetaImage, one field left out or others changed."""
    fields = {name: value for name, value in {**META, **changes}.items() if name != without}
    text = "".join(f"{name} = {value}\n" for name, value in [*fields.items(), ("ElementDataFile", data)])
    path.write_bytes(text.encode() + RAW * (data == "LOCAL"))
    return path


def nrrd(path: Path, without: str = "", data: str = "", changes: dict[str, str] | None = None) -> Path:
    """A NRRD file, one field left out or others changed."""
    fields = {name: value for name, value in {**NRRD, **(changes or {})}.items() if name != without}
    text = "NRRD0004\n" + "".join(f"{name}: {value}\n" for name, value in fields.items())
    path.write_bytes(f"{text}{data}\n".encode() + RAW * (not data))
    return path


def reason_of(path: Path) -> Reason:
    with pytest.raises(InputError) as caught:
        volumes.read_volume(path)
    assert str(path) in str(caught.value)
    return caught.value.reason


def test_a_header_that_says_everything_places_its_voxels(tmp_path):
    for path in (meta(tmp_path / "a.mha"), nrrd(tmp_path / "a.nrrd")):
        volume = volumes.read_volume(path)
        assert np.array_equal(volume.array, VOXELS)
        np.testing.assert_allclose(volume.affine_ras, AFFINE)


@pytest.mark.parametrize("field", ["TransformMatrix", "Offset", "ElementSpacing"])
def test_a_metaimage_that_does_not_say_where_it_lies_is_not_given_a_place(tmp_path, field):
    assert reason_of(meta(tmp_path / "a.mha", without=field)) is Reason.NO_GEOMETRY


@pytest.mark.parametrize("name", ["Rotation", "Orientation"])
def test_a_metaimage_may_use_the_other_names_of_its_matrix(tmp_path, name):
    path = meta(tmp_path / "a.mha", without="TransformMatrix", **{name: "0 1 0 1 0 0 0 0 1"})
    assert np.array_equal(np.argmax(np.abs(volumes.read_volume(path).affine_ras[:3, :3]), axis=0), [1, 0, 2])


def test_two_places_of_one_metaimage_are_refused(tmp_path):
    assert reason_of(meta(tmp_path / "a.mha", Position="7 8 9")) is Reason.BAD_AFFINE


def test_a_metaimage_in_centimetres_is_measured_in_millimetres(tmp_path):
    changes = {"DistanceUnits": "cm", "ElementSpacing": "0.15 0.125 0.2", "Offset": "1 2 0.5"}
    np.testing.assert_allclose(volumes.read_volume(meta(tmp_path / "a.mha", **changes)).affine_ras, AFFINE)


@pytest.mark.parametrize("name", ["ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset"])
def test_a_scale_that_simpleitk_passes_over_is_refused(tmp_path, name):
    assert reason_of(meta(tmp_path / "a.mha", **{name: "7"})) is Reason.UNSUPPORTED_KIND


@pytest.mark.parametrize("field", ["space", "space directions", "space origin"])
def test_a_nrrd_that_does_not_say_where_it_lies_is_not_given_a_place(tmp_path, field):
    dimension = {"space dimension": "3"} if field == "space" else {}
    assert reason_of(nrrd(tmp_path / "a.nrrd", without=field, changes=dimension)) is Reason.NO_GEOMETRY


@pytest.mark.parametrize("space", ["scanner-xyz", "3D-right-handed", "3D-left-handed"])
def test_a_space_that_is_not_the_patients_is_no_geometry(tmp_path, space):
    assert reason_of(nrrd(tmp_path / "a.nrrd", changes={"space": space})) is Reason.NO_GEOMETRY


@pytest.mark.parametrize(
    ("space", "flips"),
    [("LPS", (1, 1)), ("right-anterior-superior", (-1, -1)), ("RAS", (-1, -1)), ("left-anterior-superior", (1, -1))],
)
def test_every_anatomical_space_of_a_nrrd_is_kept_apart(tmp_path, space, flips):
    volume = volumes.read_volume(nrrd(tmp_path / "a.nrrd", changes={"space": space}))
    np.testing.assert_allclose(volume.affine_ras, np.diag([*flips, 1, 1]) @ AFFINE)


TIME = {"dimension": "4", "sizes": "4 5 3 2", "space origin": "(10,20,5,0)",
        "space directions": "(1.5,0,0,0) (0,1.25,0,0) (0,0,2,0) (0,0,0,1)"}  # fmt: skip


def test_a_nrrd_with_time_is_placed_as_one_without(tmp_path):
    path = nrrd(tmp_path / "a.nrrd", changes={**TIME, "space": "left-posterior-superior-time"})
    opened = volumes.open_volumes(path)
    assert opened.shape == (4, 5, 3, 2)
    np.testing.assert_allclose(opened.affine_ras, AFFINE)


@pytest.mark.parametrize("space", ["right-anterior-superior-time", "LAST"])
def test_a_space_that_simpleitk_takes_for_another_is_refused(tmp_path, space):
    assert reason_of(nrrd(tmp_path / "a.nrrd", changes={**TIME, "space": space})) is Reason.UNSUPPORTED_KIND


def test_a_line_that_some_programs_see_and_some_do_not_is_refused(tmp_path, secret):
    path = nrrd(tmp_path / "in" / "a.nhdr", data=f"data file: own.raw\n# \rdata file: {secret}\n")
    assert reason_of(path) is Reason.NOT_A_VOLUME_FILE


def test_a_nrrd_in_centimetres_is_measured_in_millimetres(tmp_path):
    small = {"space directions": "(.15,0,0) (0,.125,0) (0,0,.2)", "space origin": "(1,2,.5)"}
    path = nrrd(tmp_path / "a.nrrd", changes={**small, "space units": '"cm" "cm" "cm"'})
    np.testing.assert_allclose(volumes.read_volume(path).affine_ras, AFFINE)


def test_a_length_nobody_knows_is_refused(tmp_path):
    path = nrrd(tmp_path / "a.nrrd", changes={"space units": '"furlong" "furlong" "furlong"'})
    assert reason_of(path) is Reason.NO_GEOMETRY


@pytest.mark.parametrize("name", ["a.vtk", "a.gipl", "a.gipl.gz"])
def test_a_format_that_cannot_hold_an_orientation_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(RAW)
    assert reason_of(tmp_path / name) is Reason.NO_GEOMETRY


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the right size, outside the folder of the header."""
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.raw").write_bytes(RAW)
    (tmp_path / "in" / "own.raw").write_bytes(RAW)
    return tmp_path / "secret.raw"


LEADING_OUT = ["{secret}", "../secret.raw", "LIST\n{secret}", "LIST\nsub/../../secret.raw", "../secret.ra%c 1 1 1",
               "{folder}/secret.ra%d 1 1 1", "..\\secret.raw", "C:\\secret.raw"]  # fmt: skip


@pytest.mark.parametrize("value", LEADING_OUT)
@pytest.mark.parametrize("kind", ["mhd", "nhdr"])
def test_no_header_names_a_file_outside_its_own_folder(tmp_path, secret, kind, value):
    value = value.format(secret=secret, folder=tmp_path)
    path = tmp_path / "in" / f"a.{kind}"
    path = meta(path, data=value) if kind == "mhd" else nrrd(path, data=f"data file: {value}\n")
    assert reason_of(path) is Reason.UNREADABLE


@pytest.mark.parametrize("field", ["Data File", "DATAFILE", "datafile"])
def test_a_field_in_another_spelling_names_no_other_file(tmp_path, secret, field):
    assert reason_of(nrrd(tmp_path / "in" / "a.nhdr", data=f"{field}: {secret}\n")) is Reason.UNREADABLE


def test_a_field_after_a_colon_names_no_other_file(tmp_path, secret):
    path = meta(tmp_path / "in" / "a.mhd", data=str(secret))
    path.write_text(path.read_text().replace("ElementDataFile =", "ElementDataFile:"))
    assert reason_of(path) is Reason.UNREADABLE


def test_a_second_name_of_the_voxels_is_refused(tmp_path, secret):
    folder = tmp_path / "in"
    path = meta(folder / "a.mhd", data="own.raw")
    path.write_text(path.read_text() + f"ElementDataFile = {secret}\n")
    assert reason_of(path) is Reason.NOT_A_VOLUME_FILE
    twice = nrrd(folder / "a.nhdr", data=f"data file: own.raw\ndata file: {secret}\n")
    assert reason_of(twice) is Reason.NOT_A_VOLUME_FILE


@pytest.mark.parametrize("link", [False, True])
def test_voxels_beside_the_header_are_read_and_a_link_there_is_the_users_own(tmp_path, secret, link):
    if link:
        (tmp_path / "in" / "own.raw").unlink()
        (tmp_path / "in" / "own.raw").symlink_to(secret)
    paths = [
        meta(tmp_path / "in" / "a.mhd", data="own.raw"),
        nrrd(tmp_path / "in" / "a.nhdr", data="data file: own.raw\n"),
    ]
    for path in paths:
        volume = volumes.read_volume(path)
        assert np.array_equal(volume.array, VOXELS)
        assert volume.source.files == (path, tmp_path / "in" / "own.raw")


def test_voxels_in_one_file_a_slice_are_read(tmp_path):
    for number in range(6):
        (tmp_path / f"s{number}.raw").write_bytes(RAW[number * 40 : (number + 1) * 40])
    for value in ("LIST\n" + "\n".join(f"s{number}.raw" for number in range(6)), "s%d.raw 0 5 1"):
        assert np.array_equal(volumes.read_volume(meta(tmp_path / "a.mhd", data=value)).array, VOXELS)


@pytest.mark.parametrize("kind", ["mha", "nrrd"])
def test_a_file_cut_short_is_told_and_libraries_write_nothing_to_the_terminal(tmp_path, capfd, kind):
    path = meta(tmp_path / "a.mha") if kind == "mha" else nrrd(tmp_path / "a.nrrd")
    path.write_bytes(path.read_bytes()[:-5])
    assert reason_of(path) is Reason.TRUNCATED
    assert capfd.readouterr() == ("", "")


def test_packed_voxels_cut_short_are_told(tmp_path, capfd):
    import SimpleITK as sitk

    sitk.WriteImage(sitk.GetImageFromArray(VOXELS.transpose()), str(tmp_path / "a.mha"), True)
    (tmp_path / "a.mha").write_bytes((tmp_path / "a.mha").read_bytes()[:-5])
    assert reason_of(tmp_path / "a.mha") is Reason.TRUNCATED
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["mha", "nrrd"])
def test_a_flipped_bit_in_packed_voxels_is_told_and_stderr_stays_as_it_was(tmp_path, capfd, kind):
    import SimpleITK as sitk

    path = tmp_path / f"a.{kind}"
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS.transpose()), str(path), True)
    assert np.array_equal(volumes.read_volume(path).array, VOXELS)
    whole = path.read_bytes()
    for place in (20, 60, 100):
        data = bytearray(whole)
        data[-place] ^= 4
        path.write_bytes(data)
        assert reason_of(path) is Reason.TRUNCATED
    assert capfd.readouterr() == ("", "")
    os.write(2, b"seen")
    assert capfd.readouterr().err == "seen"
