"""--untilt and --resample-gaps on the command line: files, manifest and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import toy
from click.testing import CliRunner, Result

from medimg import geometry
from medimg.cli import cli
from medimg.phantoms.dicom import write_ct_series
from medimg.stages.candidates import find_candidates

TILTED_RAS = np.array([[-1.0, 0, 0, 40], [0, 1.0, 1.0, -30], [0, 0, 3.0, 5], [0, 0, 0, 1]])
"""Slices 3 mm apart that slide by one voxel, so that undoing it moves voxels and changes none."""


AGAINST_ROWS = np.array([[1.0, 0, 0, 0], [0, -1, 0, 9], [0, 0, 1, 0], [0, 0, 0, 1]])
"""medimg stores the last DICOM row first; the scan below has ten."""


def write(scan: np.ndarray, folder: Path, seed: int = 0) -> list[Path]:
    """The scan as DICOM that medimg reads back as this very array."""
    return write_ct_series(scan[:, ::-1], TILTED_RAS @ AGAINST_ROWS, folder, seed=seed)


@pytest.fixture
def scan() -> np.ndarray:
    return np.random.default_rng(0).integers(-900, 900, (12, 10, 6)).astype(np.int16)


@pytest.fixture
def folder(tmp_path: Path, scan: np.ndarray) -> Path:
    """A tilted CT without its slice k = 2."""
    paths = write(scan, tmp_path / "ct")
    paths[2].unlink()
    return tmp_path / "ct"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [*map(str, arguments)])


def only_volume(output: Path) -> dict[str, object]:
    (series,) = json.loads((output / "manifest.json").read_text(encoding="utf-8"))["series"]
    (volume,) = series["volumes"]
    return volume


def test_gaps_are_filled_on_request_and_a_mask_lies_beside_the_volume(folder, tmp_path, scan):
    output = tmp_path / "out"
    result = run("preprocess", folder, "--resample-gaps", "-o", output)
    assert result.exit_code == 0, result.output
    volume = only_volume(output)
    assert volume["resampled"] is True
    assert [step["kind"] for step in volume["resampling"]] == ["resample_gaps"]
    image, mask = nib.load(output / volume["path"]), nib.load(output / volume["made_up_mask"])
    assert mask.get_data_dtype() == np.uint8
    np.testing.assert_allclose(image.affine, TILTED_RAS, atol=1e-6)
    np.testing.assert_allclose(mask.affine, TILTED_RAS, atol=1e-6)
    voxels, made_up = np.asarray(image.dataobj), np.asarray(mask.dataobj)
    assert np.flatnonzero(made_up.any(axis=(0, 1))).tolist() == [2]
    assert made_up[..., 2].all()
    scanned = [0, 1, 3, 4, 5]
    assert np.array_equal(voxels[..., scanned], scan[..., scanned])
    assert np.abs(voxels[..., 2] - (scan[..., 1] + scan[..., 3]) / 2).max() <= 0.5
    sidecar = json.loads((output / str(volume["path"]).replace(".nii.gz", ".json")).read_text(encoding="utf-8"))
    assert {key: sidecar[key] for key in volume} == volume


def test_tilt_and_gaps_are_undone_together(folder, tmp_path, scan):
    output = tmp_path / "out"
    assert run("preprocess", folder, "--untilt", "--resample-gaps", "-o", output).exit_code == 0
    volume = only_volume(output)
    assert volume["shape"] == [12, 10 + 5, 6]
    assert not geometry.is_sheared(volume["affine_ras"])
    voxels = np.asarray(nib.load(output / volume["path"]).dataobj)
    made_up = np.asarray(nib.load(output / volume["made_up_mask"]).dataobj)
    for k in (0, 1, 3, 4, 5):
        assert np.array_equal(voxels[:, k : k + 10, k], scan[..., k])
        assert not made_up[:, k : k + 10, k].any()
        assert made_up[..., k].sum() == 12 * 5
    assert made_up[..., 2].all()


def test_without_the_options_a_tilt_is_kept_and_a_gap_is_refused_with_advice(tmp_path, scan):
    whole, gap = tmp_path / "in" / "whole", tmp_path / "in" / "gap"
    write(scan, whole, seed=1)
    write(scan, gap, seed=2)[2].unlink()
    output = tmp_path / "out"
    result = run("preprocess", tmp_path / "in", "-o", output)
    assert result.exit_code == 3
    refused, sound = json.loads((output / "manifest.json").read_text(encoding="utf-8"))["series"]
    assert refused["reason"] == "missing_slices"
    assert "--resample-gaps" in refused["message"]
    (volume,) = sound["volumes"]
    assert (volume["resampled"], volume["resampling"], volume["made_up_mask"]) == (False, [], None)
    np.testing.assert_allclose(volume["affine_ras"], TILTED_RAS, atol=1e-6)


def test_a_mask_of_an_earlier_run_does_not_stay_beside_a_volume_as_scanned(tmp_path, scan):
    write(scan, tmp_path / "ct")
    run("preprocess", tmp_path / "ct", "--untilt", "-o", tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*_made_up_mask.nii.gz"))) == 1
    run("preprocess", tmp_path / "ct", "-o", tmp_path / "out")
    assert list((tmp_path / "out").glob("*_made_up_mask.nii.gz")) == []


def test_a_folder_of_volumes_and_masks_offers_the_volumes_alone(folder, tmp_path):
    run("preprocess", folder, "--resample-gaps", "-o", tmp_path / "out")
    name = only_volume(tmp_path / "out")["path"]
    (tmp_path / "out" / "manifest.json").unlink()
    (candidate,) = find_candidates(tmp_path / "out")
    assert candidate.path.name == name


@pytest.mark.parametrize("command", [["run", "PIPELINE"], ["infer", "--pipeline", "PIPELINE", "--volume"]])
def test_a_pipeline_reads_a_series_with_the_same_options_and_warns(folder, tmp_path, command):
    pipeline = str(toy.detector(tmp_path / "detector"))
    arguments = [pipeline if word == "PIPELINE" else word for word in command]
    refused = run(*arguments, folder, "-o", tmp_path / "out")
    assert refused.exit_code == 1
    assert "--resample-gaps" in refused.stderr
    result = run(*arguments, folder, "--untilt", "--resample-gaps", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "1 of 6 slices were not scanned but interpolated (missing_slices)" in result.stderr
    assert "resampled from slices tilted by" in result.stderr
