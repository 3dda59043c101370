"""The phantom's DICOM files are those of a CT scanner and reproduce the volume."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage

from medimg import geometry
from medimg.errors import OutputError, UsageError
from medimg.phantoms.dicom import ct_series_uid, write_ct_series

AFFINE_RAS = geometry.swap_ras_lps([[1.1, 0, 0.0, -20], [0, 0.9, 0.5, 11], [0, 0.0, 2.5, -300.25], [0, 0, 0, 1]])
"""Row, column and slice spacing differ, and the gantry is tilted."""


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    """Values that tell every voxel and axis apart."""
    i, j, k = np.indices((7, 6, 5))
    return (100 * i + 10 * j + k - 1000).astype(np.int16)


@pytest.fixture(scope="module")
def study(volume: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A study with everything in it, and the files of its CT series."""
    folder = tmp_path_factory.mktemp("study")
    return folder, write_ct_series(volume, AFFINE_RAS, folder, seed=5, localizer=True, secondary_capture=True)


def test_pixels_are_the_hounsfield_units_of_the_volume(study: tuple[Path, list[Path]], volume: np.ndarray) -> None:
    for k, path in enumerate(study[1]):
        dataset = pydicom.dcmread(path)
        hu = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        np.testing.assert_array_equal(hu.T, volume[:, :, k])


def test_positions_reproduce_the_affine(study: tuple[Path, list[Path]]) -> None:
    affine_lps = geometry.swap_ras_lps(AFFINE_RAS)
    for k, path in enumerate(study[1]):
        dataset = pydicom.dcmread(path)
        row, column = np.reshape([float(v) for v in dataset.ImageOrientationPatient], (2, 3))
        down, across = (float(v) for v in dataset.PixelSpacing)
        np.testing.assert_allclose(row * across, affine_lps[:3, 0], atol=1e-8)
        np.testing.assert_allclose(column * down, affine_lps[:3, 1], atol=1e-8)
        np.testing.assert_allclose(dataset.ImagePositionPatient, geometry.to_world(affine_lps, (0, 0, k)), atol=1e-8)


def test_file_names_tell_neither_kind_nor_order(study: tuple[Path, list[Path]]) -> None:
    folder, slices = study
    assert len(list(folder.iterdir())) == len(slices) + 2
    assert all(not path.suffix for path in folder.iterdir())
    assert [path.name for path in slices] != sorted(path.name for path in slices)


def test_scout_and_screen_shot_are_series_of_the_same_study(study: tuple[Path, list[Path]]) -> None:
    folder, slices = study
    others = [pydicom.dcmread(path) for path in folder.iterdir() if path not in slices]
    first = pydicom.dcmread(slices[0])
    assert {dataset.SOPClassUID for dataset in others} == {CTImageStorage, SecondaryCaptureImageStorage}
    assert {dataset.StudyInstanceUID for dataset in others} == {first.StudyInstanceUID}
    assert len({dataset.SeriesInstanceUID for dataset in [*others, first]}) == 3
    assert ["LOCALIZER" in dataset.ImageType for dataset in others].count(True) == 1


def test_same_seed_writes_the_same_bytes(study: tuple[Path, list[Path]], volume: np.ndarray, tmp_path: Path) -> None:
    again = write_ct_series(volume, AFFINE_RAS, tmp_path, seed=5, localizer=True, secondary_capture=True)
    assert [path.name for path in again] == [path.name for path in study[1]]
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in study[1]]


def test_another_seed_is_another_study(study: tuple[Path, list[Path]], volume: np.ndarray, tmp_path: Path) -> None:
    other = pydicom.dcmread(write_ct_series(volume, AFFINE_RAS, tmp_path, seed=6)[0])
    first = pydicom.dcmread(study[1][0])
    assert first.SeriesInstanceUID == ct_series_uid(5)
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        assert other[name].value != first[name].value


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed: make tools")
def test_dciodvfy_finds_no_error(study: tuple[Path, list[Path]]) -> None:
    for path in study[0].iterdir():
        checked = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
        errors = [line for line in (checked.stdout + checked.stderr).splitlines() if line.startswith("Error")]
        assert errors == []


def test_values_no_scanner_stores_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="do not fit"):
        write_ct_series(np.full((4, 4, 4), -2000, dtype=np.int16), np.eye(4), tmp_path)


def test_unusable_geometry_is_refused(volume: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="affine"):
        write_ct_series(volume, np.zeros((4, 4)), tmp_path)
    with pytest.raises(UsageError, match="shape"):
        write_ct_series(volume[0], np.eye(4), tmp_path)


def test_a_file_in_place_of_the_folder_is_an_output_error(volume: np.ndarray, tmp_path: Path) -> None:
    target = tmp_path / "taken"
    target.write_text("")
    with pytest.raises(OutputError):
        write_ct_series(volume, np.eye(4), target)
