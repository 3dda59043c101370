"""Bad input to `medimg infer`: one clear line, the right exit code, nothing half-written."""

from __future__ import annotations

import signal
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import toy
from click.testing import CliRunner

from medimg import volumes
from medimg.cli import cli

AFFINE = np.array([[-1.0, 0, 0, 20], [0, 1.0, 0, -20], [0, 0, 1.25, 5], [0, 0, 0, 1]])
CENTER_RAS = (0.0, 0.0, 25.0)


@pytest.fixture
def infer(tmp_path):
    """Run `medimg infer` on the paths; check that what it leaves is nothing, and return (exit code, its one line)."""

    def run(*volumes, pipeline=None, output=None):
        out = output or tmp_path / "out"
        arguments = [part for volume in volumes for part in ("--volume", str(volume))]
        arguments += ["--pipeline", str(pipeline)] if pipeline else []
        result = CliRunner().invoke(cli, ["infer", *arguments, "-o", str(out)], prog_name="medimg")
        lines = result.stderr.splitlines()
        assert len(lines) == 1, result.stderr
        assert result.stdout == ""
        if out.is_dir():
            assert list(out.iterdir()) == []
        return result.exit_code, lines[0]

    return run


def random_voxels(shape=(8, 8, 8), low=-1000, high=400):
    return np.random.default_rng(0).integers(low, high, shape).astype(np.int16)


def test_a_missing_path_is_a_usage_error(tmp_path, infer):
    code, line = infer(tmp_path / "none.nii.gz")
    assert code == 2
    assert "none.nii.gz does not exist" in line


def test_an_empty_folder(tmp_path, infer):
    (tmp_path / "empty").mkdir()
    code, line = infer(tmp_path / "empty")
    assert code == 1
    assert "neither DICOM series nor volume files" in line


def test_a_text_file_named_like_a_volume(tmp_path, infer):
    (tmp_path / "a.nii.gz").write_text("hello")
    code, line = infer(tmp_path / "a.nii.gz")
    assert code == 1
    assert "is not a volume file" in line


def test_a_truncated_file(tmp_path, infer):
    volumes.write_nifti(tmp_path / "a.nii.gz", random_voxels((20, 20, 20)), AFFINE)
    data = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(data[: len(data) // 2])
    code, line = infer(tmp_path / "a.nii.gz")
    assert code == 1
    assert "ends too early or is damaged; copy it again" in line


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (random_voxels((8, 8)), "is a 2-D image"),
        (random_voxels((8, 8, 8, 3)), "split it into 3-D files"),
        (np.full((8, 8, 8), np.nan), "NaN or infinite"),
        (np.full((8, 8, 8), np.inf), "NaN or infinite"),
    ],
    ids=["2-D", "time series", "nan", "infinite"],
)
def test_voxels_that_make_no_volume(tmp_path, infer, array, words):
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii.gz")
    code, line = infer(tmp_path / "a.nii.gz")
    assert code == 1
    assert words in line


@pytest.mark.parametrize("rows", [np.zeros((3, 4)), np.diag([1.0, 0, 1, 1])[:3]], ids=["zero", "singular"])
def test_an_affine_without_volume(tmp_path, infer, rows):
    image = nib.Nifti1Image(random_voxels(), np.eye(4))
    header = image.header.copy()
    header["srow_x"], header["srow_y"], header["srow_z"] = rows
    header["sform_code"], header["magic"], header["vox_offset"] = 1, b"n+1", 352
    (tmp_path / "a.nii").write_bytes(header.binaryblock + bytes(4) + random_voxels().tobytes())
    code, line = infer(tmp_path / "a.nii")
    assert code == 1
    assert "the affine is zero, singular or not finite" in line


def test_a_claim_of_ten_billion_voxels(tmp_path, infer):
    header = nib.Nifti1Image(random_voxels(), np.eye(4)).header
    header.set_data_shape((32000, 32000, 10))
    header["magic"], header["vox_offset"] = b"n+1", 352
    (tmp_path / "a.nii").write_bytes(header.binaryblock + bytes(2000))
    code, line = infer(tmp_path / "a.nii")
    assert code == 1
    assert "claims 10,240,000,000 voxels" in line


def test_mr_given_to_the_ct_pipeline(tmp_path, infer):
    volumes.write_nifti(tmp_path / "BraTS_t1.nii.gz", random_voxels(low=0), AFFINE)
    code, line = infer(tmp_path / "BraTS_t1.nii.gz", pipeline="lung_nodule")
    assert code == 1
    assert "needs CT; found BraTS_t1.nii.gz (MR)" in line


def test_three_of_four_brats_contrasts(tmp_path, infer):
    for role in ("t1", "t1ce", "t2"):
        volumes.write_nifti(tmp_path / "case" / f"BraTS_{role}.nii.gz", random_voxels(low=0), AFFINE)
    code, line = infer(tmp_path / "case")
    assert code == 1
    assert "missing t2f" in line


def test_an_output_that_is_a_file(tmp_path, infer):
    volumes.write_nifti(tmp_path / "a.nii.gz", random_voxels(), AFFINE)
    (tmp_path / "file").write_text("keep me")
    code, line = infer(tmp_path / "a.nii.gz", output=tmp_path / "file")
    assert code == 1
    assert "is a file; name a folder with -o" in line
    assert (tmp_path / "file").read_text(encoding="utf-8") == "keep me"


def test_a_pipeline_that_is_not_there(tmp_path, infer):
    volumes.write_nifti(tmp_path / "a.nii.gz", random_voxels(), AFFINE)
    code, line = infer(tmp_path / "a.nii.gz", pipeline="nonsense")
    assert code == 2
    assert "no pipeline 'nonsense'" in line


def test_a_device_that_is_not_there(tmp_path):
    toy.chest_crop(tmp_path / "ct.nii.gz", AFFINE, CENTER_RAS)
    arguments = ["--volume", str(tmp_path / "ct.nii.gz"), "--device", "cuda:99", "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(cli, ["infer", *arguments], prog_name="medimg")
    assert result.exit_code == 2
    assert "CUDA devices; use auto or cpu" in result.stderr


@pytest.fixture
def tiny_disk(tmp_path):
    """A mounted disk of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root; run the tests as root to cover a full disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_leaves_nothing_half_written(tmp_path, tiny_disk, infer):
    toy.detector(tmp_path / "detector")
    toy.chest_crop(tmp_path / "ct.nii.gz", AFFINE, CENTER_RAS)
    arguments = ["--volume", str(tmp_path / "ct.nii.gz"), "--pipeline", str(tmp_path / "detector")]
    result = CliRunner().invoke(cli, ["infer", *arguments, "-o", str(tiny_disk / "out")], prog_name="medimg")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "No space left on device" in line
    assert "free space or choose another folder" in line
    left = {path.name for path in (tiny_disk / "out").iterdir()}
    assert "report.json" not in left
    assert not any(name.startswith(".medimg-") for name in left)


INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts with Ctrl-C ignored
import medimg.report.writers as writers
real = writers.findings_csv
def interrupted(report):
    os.kill(os.getpid(), signal.SIGINT)
    return real(report)
writers.findings_csv = interrupted
from medimg.cli import main
main()
"""


def test_ctrl_c_in_the_middle_leaves_nothing_half_written(tmp_path):
    toy.detector(tmp_path / "detector")
    toy.chest_crop(tmp_path / "ct.nii.gz", AFFINE, CENTER_RAS)
    arguments = ["--volume", tmp_path / "ct.nii.gz", "--pipeline", tmp_path / "detector", "-o", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, "infer", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert done.returncode != -signal.SIGINT
    assert done.stderr.splitlines() == ["medimg: error: interrupted; nothing half-written was kept"]
    assert list((tmp_path / "out").iterdir()) == []
