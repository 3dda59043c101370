"""--reference: a NIfTI scan goes back to the DICOM series it was made from, and to no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medimg import volumes
from medimg.dicom.discover import discover
from medimg.dicom.series import read_series
from medimg.errors import InputError, Reason, UsageError
from medimg.phantoms.dicom import write_ct_series
from medimg.stages.reference import find_reference

AFFINE = np.diag([-0.9, -0.9, 2.0, 1.0])


def voxels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 400, (12, 10, 9)).astype(np.int16)


def series(folder: Path, seed: int, affine=AFFINE) -> Path:
    write_ct_series(voxels(seed), affine, folder, seed=seed)
    return folder


def nifti(path: Path, array, affine):
    volumes.write_nifti(path, array, affine, "test")
    return volumes.read_volume(path)


def stored(folder: Path):
    (found,) = discover(folder).series
    (volume,) = read_series(found).volumes
    return volume


def test_the_series_is_found_whatever_axes_the_nifti_has(tmp_path):
    series(tmp_path / "export" / "1", 1)
    series(tmp_path / "export" / "2", 2)
    own = stored(tmp_path / "export" / "2")
    scan = nifti(
        tmp_path / "ct.nii.gz", own.canonical().array.transpose(2, 0, 1), own.canonical().affine_ras[:, [2, 0, 1, 3]]
    )
    reference, warnings = find_reference(tmp_path / "export", scan)
    assert (reference.source.series_uid, warnings) == (own.source.series_uid, [])
    assert len(reference.source.frames) == 9


def test_another_scan_on_the_same_grid_is_refused(tmp_path):
    own = stored(series(tmp_path / "1", 1))
    series(tmp_path / "2", 2)
    scan = nifti(tmp_path / "ct.nii.gz", own.array, own.affine_ras)
    with pytest.raises(InputError, match="not its voxels") as caught:
        find_reference(tmp_path / "2", scan)
    assert caught.value.reason is Reason.NOT_THE_REFERENCE


def test_a_processed_scan_is_taken_with_a_warning(tmp_path):
    own = stored(series(tmp_path / "1", 1))
    noise = np.random.default_rng(9).normal(0, 60, own.shape)
    scan = nifti(tmp_path / "ct.nii.gz", (own.array + noise).astype(np.float32), own.affine_ras)
    _reference, (warning,) = find_reference(tmp_path / "1", scan)
    assert "was processed" in warning


@pytest.mark.parametrize("how", ["cropped", "shifted", "a slice lost"])
def test_another_grid_is_refused(tmp_path, how):
    own = stored(series(tmp_path / "1", 1))
    array, affine = own.array, own.affine_ras.copy()
    if how == "cropped":
        array = array[1:]
    elif how == "shifted":
        affine[2, 3] += 1.0
    else:
        own.source.files[4].unlink()
    scan = nifti(tmp_path / "ct.nii.gz", array, affine)
    with pytest.raises(InputError, match="none with the grid") as caught:
        find_reference(tmp_path / "1", scan)
    assert caught.value.reason is Reason.GRID_MISMATCH


def test_a_scan_that_is_dicom_needs_no_reference(tmp_path):
    own = stored(series(tmp_path / "1", 1))
    with pytest.raises(UsageError, match="no DICOM"):
        find_reference(tmp_path / "1", replace(own))
