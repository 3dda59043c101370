from __future__ import annotations

import gzip
import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medimg.errors import InputError, OutputError
from medimg.volumes import nifti, read_volume

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])


@pytest.fixture
def large() -> np.ndarray:
    """Several blocks and a part of one."""
    array = np.random.default_rng(0).integers(-1000, 1000, (150, 130, 131), dtype=np.int16)
    assert array.nbytes > 4 * nifti.BLOCK_BYTES
    return array


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_the_bytes_do_not_depend_on_the_number_of_cores(tmp_path: Path, monkeypatch, large, cores):
    expected = nifti.write_nifti(tmp_path / "a.nii.gz", large, AFFINE)
    monkeypatch.setattr(nifti.os, "cpu_count", lambda: cores)
    assert nifti.write_nifti(tmp_path / "b.nii.gz", large, AFFINE) == expected


def test_other_programs_read_a_file_of_many_blocks(tmp_path: Path, large):
    path = tmp_path / "a.nii.gz"
    nifti.write_nifti(path, large, AFFINE)
    np.testing.assert_array_equal(np.asarray(nib.load(path).dataobj), large)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T, large)
    assert len(gzip.decompress(path.read_bytes())) == 352 + large.nbytes  # checks length and checksum


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1)])
def test_the_digest_returned_is_that_of_the_file(tmp_path: Path, name, axes):
    array = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4).transpose(axes)[::-1]
    taken = nifti.write_nifti(tmp_path / name, array, AFFINE)
    assert taken == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / name).dataobj), array)


def test_a_full_disk_ends_in_one_line_and_no_file(tmp_path: Path, monkeypatch, large):
    def full(_self, _data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nifti.files.HashedFile, "write", full)
    with pytest.raises(OutputError, match="No space left"):
        nifti.write_nifti(tmp_path / "a.nii.gz", large, AFFINE)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def folder_of_a_large_scan(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    array = np.random.default_rng(0).integers(-1000, 1000, (400, 400, 130), dtype=np.int16)
    nifti.write_nifti(folder / "scan.nii", array, AFFINE)
    return folder


@pytest.mark.parametrize("delay", [0.02, 0.05])
def test_an_interrupted_write_ends_and_leaves_nothing_half_written(tmp_path: Path, folder_of_a_large_scan, delay):
    command = [sys.executable, "-m", "medimg", "preprocess", str(folder_of_a_large_scan), "-o", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while not list(tmp_path.glob(".medimg-*")):
            time.sleep(0.001)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        try:
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert "interrupted" in said
    assert list(tmp_path.iterdir()) == []


def test_voxels_that_begin_beyond_every_file_are_refused(tmp_path: Path):
    nifti.write_nifti(tmp_path / "a.nii", np.zeros((4, 5, 6), np.int16), AFFINE)
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[108:112] = np.float32(1e30).tobytes()  # vox_offset (nifti1.h)
    (tmp_path / "a.nii").write_bytes(data)
    with pytest.raises(InputError):
        read_volume(tmp_path / "a.nii")
