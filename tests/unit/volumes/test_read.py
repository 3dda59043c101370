"""Volume files become sound volumes, or an InputError with a reason."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medimg import volumes
from medimg.errors import InputError, OutputError, Reason

AFFINE = np.array([[-0.7, 0, 0, 10.0], [0, 0.7, 0, 5.0], [0, 0.1, 2.5, -3.0], [0, 0, 0, 1]])


@pytest.fixture
def voxels():
    return np.random.default_rng(0).integers(-1000, 400, (12, 13, 14)).astype(np.int16)


def reason_of(path):
    with pytest.raises(InputError) as caught:
        volumes.read_volume(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_what_is_written_is_read_back(tmp_path, voxels, name):
    volumes.write_nifti(tmp_path / name, voxels, AFFINE)
    volume = volumes.read_volume(tmp_path / name)
    assert volume.array.dtype == np.int16
    assert np.array_equal(volume.array, voxels)
    assert np.allclose(volume.affine_ras, AFFINE, atol=1e-5)
    assert np.array_equal(np.asanyarray(nib.load(tmp_path / name).dataobj), voxels)


def test_the_same_content_gives_the_same_bytes(tmp_path, voxels):
    volumes.write_nifti(tmp_path / "a.nii.gz", voxels, AFFINE)
    volumes.write_nifti(tmp_path / "b.nii.gz", voxels, AFFINE)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_a_sheared_grid_is_kept_in_the_sform_alone(tmp_path, voxels):
    volumes.write_nifti(tmp_path / "a.nii", voxels, AFFINE)
    header = nib.load(tmp_path / "a.nii").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 0)


def test_scaling_in_the_header_is_applied(tmp_path, voxels):
    image = nib.Nifti1Image(voxels.astype(np.float32) / 8 + 3, np.eye(4))
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "a.nii.gz")
    assert np.allclose(volumes.read_volume(tmp_path / "a.nii.gz").array, voxels / 8 + 3, atol=0.01)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_itk_files_land_in_the_same_world(tmp_path, voxels, suffix):
    image = sitk.GetImageFromArray(voxels.transpose(2, 1, 0))
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-10, 20, 30))
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"))
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    ours, nifti_twin = volumes.read_volume(tmp_path / f"a{suffix}"), volumes.read_volume(tmp_path / "a.nii.gz")
    assert np.array_equal(ours.array, nifti_twin.array)
    assert np.allclose(ours.affine_ras, nifti_twin.affine_ras, atol=1e-4)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.arange(16.0).reshape(4, 4), Reason.NOT_3D),
        (np.arange(16.0).reshape(4, 4, 1), Reason.NOT_3D),
        (np.arange(128.0).reshape(4, 4, 4, 2), Reason.TIME_SERIES),
        (np.full((4, 4, 4), np.nan), Reason.NON_FINITE_VOXELS),
        (np.where(np.eye(4)[..., None] > 0, np.inf, np.zeros((4, 4, 4))), Reason.NON_FINITE_VOXELS),
        (np.zeros((4, 4, 4)), Reason.EMPTY_VOLUME),
        (np.ones((4, 4, 4), np.complex64), Reason.UNSUPPORTED_KIND),
    ],
    ids=["2-D", "one slice", "4-D", "nan", "inf", "constant", "complex"],
)
def test_unsound_voxels_are_refused(tmp_path, array, reason):
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii.gz")
    assert reason_of(tmp_path / "a.nii.gz") == reason


def test_a_trailing_axis_of_one_is_no_time_series(tmp_path, voxels):
    nib.save(nib.Nifti1Image(voxels[..., None], np.eye(4)), tmp_path / "a.nii.gz")
    assert volumes.read_volume(tmp_path / "a.nii.gz").shape == voxels.shape


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha", "a.nrrd"])
def test_a_text_file_is_not_a_volume(tmp_path, name):
    (tmp_path / name).write_text("hello")
    assert reason_of(tmp_path / name) == Reason.NOT_A_VOLUME_FILE


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd"])
def test_a_truncated_file_is_told(tmp_path, voxels, suffix):
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / f"whole{suffix}"))
    data = (tmp_path / f"whole{suffix}").read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(data[: len(data) // 2])
    assert reason_of(tmp_path / f"cut{suffix}") == Reason.TRUNCATED


def test_a_flipped_bit_is_told(tmp_path, voxels):
    volumes.write_nifti(tmp_path / "a.nii.gz", voxels, AFFINE)
    data = bytearray((tmp_path / "a.nii.gz").read_bytes())
    data[-6] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(data)
    assert reason_of(tmp_path / "a.nii.gz") == Reason.TRUNCATED


def test_a_claim_of_ten_billion_voxels_is_refused_before_any_is_read(tmp_path, voxels):
    header = nib.Nifti1Image(voxels, np.eye(4)).header
    header.set_data_shape((32000, 32000, 10))
    header["magic"], header["vox_offset"] = b"n+1", 352
    (tmp_path / "a.nii").write_bytes(header.binaryblock + b"\0" * 2000)
    assert reason_of(tmp_path / "a.nii") == Reason.TOO_LARGE


@pytest.mark.parametrize("matrix", [np.zeros((3, 4)), np.diag([1.0, 0, 1, 1])[:3]], ids=["zero", "singular"])
def test_an_affine_without_volume_is_refused(tmp_path, voxels, matrix):
    image = nib.Nifti1Image(voxels, np.eye(4))
    nib.save(image, tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    header = np.frombuffer(data, dtype=image.header.template_dtype, count=1).copy()
    header["srow_x"], header["srow_y"], header["srow_z"] = matrix
    data[: header.nbytes] = header.tobytes()
    (tmp_path / "a.nii").write_bytes(data)
    assert reason_of(tmp_path / "a.nii") == Reason.BAD_AFFINE


def test_a_header_without_orientation_is_not_given_one(tmp_path, voxels):
    nib.save(nib.Nifti1Image(voxels, None), tmp_path / "a.nii.gz")
    assert reason_of(tmp_path / "a.nii.gz") == Reason.NO_GEOMETRY


@pytest.mark.parametrize(("unit", "to_mm"), [("micron", 1e-3), ("meter", 1e3), ("unknown", 1.0), ("mm", 1.0)])
def test_lengths_are_millimetres_whatever_the_header_counts_in(tmp_path, voxels, unit, to_mm):
    image = nib.Nifti1Image(voxels, AFFINE)
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "a.nii")
    expected = np.diag([to_mm, to_mm, to_mm, 1]) @ AFFINE
    np.testing.assert_allclose(volumes.read_volume(tmp_path / "a.nii").affine_ras, expected, rtol=1e-6)


def two_orientations(path, voxels, sform, qform):
    image = nib.Nifti1Image(voxels, sform)
    image.set_sform(sform, code=1)
    image.set_qform(qform, code=1)
    nib.save(image, path)
    return path


def test_two_orientations_that_disagree_are_refused(tmp_path, voxels):
    other = np.diag([1.0, -1, 1, 1]) @ AFFINE
    path = two_orientations(tmp_path / "a.nii", voxels, AFFINE, other)
    with pytest.raises(
        InputError, match=r"sform \(.*qform \(.* mm apart; set the code of the wrong one to 0"
    ) as caught:
        volumes.read_volume(path)
    assert caught.value.reason is Reason.BAD_AFFINE


@pytest.mark.parametrize("shear", [0.0, 0.1, 2.0], ids=["none", "slight", "strong"])
def test_a_qform_that_only_lacks_the_shear_agrees(tmp_path, voxels, shear):
    sform = AFFINE.copy()
    sform[1, 2] = shear
    path = two_orientations(tmp_path / "a.nii", voxels, sform, sform)
    np.testing.assert_allclose(volumes.read_volume(path).affine_ras, sform, atol=1e-5)


def test_orientations_that_differ_by_rounding_agree(tmp_path, voxels):
    shifted = AFFINE.copy()
    shifted[:3, 3] += 0.4
    path = two_orientations(tmp_path / "a.nii", voxels, AFFINE, shifted)
    np.testing.assert_allclose(volumes.read_volume(path).affine_ras, AFFINE, atol=1e-5)


@pytest.mark.parametrize(("name", "data"), [("a.mhd", "a.raw"), ("a.nhdr", "a.raw"), ("a.hdr", "a.img")])
def test_the_digest_covers_the_voxels_that_lie_beside_the_header(tmp_path, voxels, name, data):
    digests = set()
    for change in (0, 1):
        voxels[5, 5, 5] += change
        if name == "a.hdr":
            nib.save(nib.Nifti1Pair(voxels, AFFINE), tmp_path / name)
        else:
            sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / name))
        source = volumes.read_volume(tmp_path / name).source
        assert source.files == (tmp_path / name, tmp_path / data)
        digests.add(source.sha256)
    assert len(digests) == 2


def test_a_header_whose_data_file_is_gone_says_so(tmp_path, voxels):
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / "a.mhd"))
    (tmp_path / "a.raw").unlink()
    with pytest.raises(InputError, match=r"a\.raw is missing") as caught:
        volumes.read_volume(tmp_path / "a.mhd")
    assert caught.value.reason is Reason.TRUNCATED


@pytest.mark.parametrize(
    ("given", "stored"),
    [(np.int64, np.int32), (np.uint64, np.int32), (np.bool_, np.uint8), (np.float16, np.float32), (">i2", np.int16)],
)
def test_types_nifti_lacks_are_stored_in_one_that_holds_every_value(tmp_path, given, stored):
    array = (np.arange(27).reshape(3, 3, 3) % 5).astype(given)
    volumes.write_nifti(tmp_path / "a.nii", array, np.eye(4))
    volume = volumes.read_volume(tmp_path / "a.nii")
    assert volume.array.dtype == stored
    assert np.array_equal(volume.array, array)


@pytest.mark.parametrize("array", [np.full((2, 2, 2), 1 << 40), np.zeros((2, 2, 2), "U1")], ids=["large", "text"])
def test_what_nifti_cannot_hold_is_not_written(tmp_path, array):
    with pytest.raises(OutputError, match=r"a\.nii: .*float"):
        volumes.write_nifti(tmp_path / "a.nii", array, np.eye(4))
    assert list(tmp_path.iterdir()) == []


def test_a_header_is_opened_without_its_voxels(tmp_path, voxels):
    volumes.write_nifti(tmp_path / "a.nii", voxels, AFFINE)
    data = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "a.nii").write_bytes(data[:352] + b"\xff" * (len(data) - 352))
    opened = volumes.open_volumes(tmp_path / "a.nii")
    assert opened.shape == (*voxels.shape, 1)
    np.testing.assert_allclose(opened.affine_ras, AFFINE, atol=1e-6)
    assert opened.parts == (tmp_path / "a.nii",)
    assert (opened.load() == -1).all()


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha"])
def test_every_volume_of_a_4d_file_is_read_in_its_order(tmp_path, name):
    series = np.random.default_rng(0).integers(-1000, 400, (5, 6, 7, 4)).astype(np.int16)
    if name.endswith(".mha"):
        sitk.WriteImage(sitk.GetImageFromArray(series.transpose(), isVector=False), str(tmp_path / name))
    else:
        nib.save(nib.Nifti1Image(series, AFFINE), tmp_path / name)
    opened = volumes.open_volumes(tmp_path / name)
    read = volumes.read_volumes(opened)
    assert [volume.shape for volume in read] == [(5, 6, 7)] * 4
    for number, volume in enumerate(read):
        assert np.array_equal(volume.array, series[..., number])
        np.testing.assert_array_equal(volume.affine_ras, opened.affine_ras)
    assert reason_of(tmp_path / name) == Reason.TIME_SERIES


def test_five_axes_are_no_series_of_volumes(tmp_path):
    nib.save(nib.Nifti1Image(np.arange(432.0).reshape(3, 3, 3, 4, 4), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(InputError) as caught:
        volumes.open_volumes(tmp_path / "a.nii")
    assert caught.value.reason is Reason.TIME_SERIES


def test_a_fourth_axis_that_leans_into_space_is_refused(tmp_path):
    series = np.random.default_rng(0).integers(0, 9, (4, 5, 5, 5)).astype(np.int16)
    image = sitk.GetImageFromArray(series, isVector=False)
    turn = np.eye(4)
    turn[2:, 2:] = [[0.8, -0.6], [0.6, 0.8]]
    image.SetDirection(turn.ravel().tolist())
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    with pytest.raises(InputError) as caught:
        volumes.open_volumes(tmp_path / "a.mha")
    assert caught.value.reason is Reason.BAD_AFFINE
