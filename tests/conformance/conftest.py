"""Analytic DICOM series: the value is 2x + 3y + 5z (LPS mm) at every point, so that any geometry error shows."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from medimg.dicom.discover import discover
from medimg.dicom.series import SeriesResult, read_series
from medimg.study import Volume

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
ROWS, COLUMNS = 7, 6
CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_STORAGE = "1.2.840.10008.5.1.4.1.1.4"

Edit = Callable[[Dataset, int], None]


def truth(points_lps: np.ndarray) -> np.ndarray:
    """Value at points (..., 3) in LPS mm."""
    return np.asarray(points_lps) @ np.array([2.0, 3.0, 5.0])


@dataclass
class Phantom:
    """Writes slices of the analytic field into `folder` and reads them back."""

    folder: Path
    _uids: Any = field(default_factory=lambda: itertools.count(1))

    def uid(self) -> str:
        return f"2.25.{next(self._uids) + 10**9}"

    def slices(
        self,
        positions: Sequence[Sequence[float]],
        *,
        orientation: Sequence[float] = AXIAL,
        series: str = "2.25.7",
        spacing: tuple[float, float] = (2.0, 1.0),
        modality: str = "CT",
        edit: Edit | None = None,
        subfolder: str = "",
        add: float = 0.0,
    ) -> list[Path]:
        """One file a position. `edit` changes the dataset after its pixels were made; `add` is added to the values."""
        paths = []
        for number, position in enumerate(positions):
            dataset = self.dataset(position, orientation, series, spacing, modality, add)
            dataset.InstanceNumber = number + 1
            if edit is not None:
                with pydicom.config.disable_value_validation():
                    edit(dataset, number)
            name = dataset.SOPInstanceUID.split(".")[-1]
            paths.append(self.write(dataset, self.folder / subfolder / name))
        return paths

    def dataset(
        self,
        position: Sequence[float],
        orientation: Sequence[float] = AXIAL,
        series: str = "2.25.7",
        spacing: tuple[float, float] = (2.0, 1.0),
        modality: str = "CT",
        add: float = 0.0,
    ) -> Dataset:
        row, column = np.array(orientation[:3]), np.array(orientation[3:])
        r, c = np.mgrid[0:ROWS, 0:COLUMNS]
        points = np.array(position) + c[..., None] * row * spacing[1] + r[..., None] * column * spacing[0]
        values = np.round(truth(points) + add)
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset = Dataset()
        dataset.file_meta = meta
        dataset.SOPClassUID = CT_STORAGE if modality == "CT" else MR_STORAGE
        dataset.SOPInstanceUID = self.uid()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.5", series
        dataset.FrameOfReferenceUID = "2.25.6"
        dataset.Modality, dataset.SeriesNumber, dataset.SeriesDescription = modality, 3, "phantom"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.Rows, dataset.Columns = ROWS, COLUMNS
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
        dataset.PixelSpacing = list(spacing)
        with pydicom.config.disable_value_validation():
            dataset.ImagePositionPatient = [float(value) for value in position]
            dataset.ImageOrientationPatient = [float(value) for value in orientation]
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        dataset.PixelData = (values + 1024).astype("<u2").tobytes()
        return dataset

    @staticmethod
    def write(dataset: Dataset, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        with pydicom.config.disable_value_validation():
            dataset.save_as(path, enforce_file_format=True)
        return path

    def read(self) -> list[SeriesResult]:
        return [read_series(series) for series in discover(self.folder).series]

    def read_one(self) -> SeriesResult:
        (result,) = self.read()
        return result

    def fresh(self) -> Phantom:
        """Empty the folder."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        return self


def error_of(volume: Volume, add: float = 0.0) -> float:
    """Largest difference from the truth over all voxels, in world coordinates."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in volume.shape], indexing="ij"), axis=-1)
    world = index @ volume.affine_lps[:3, :3].T + volume.affine_lps[:3, 3]
    return float(np.abs(truth(world) + add - volume.array).max())


def stack_positions(count: int, step: Sequence[float] = (0, 0, 3), start: Sequence[float] = (-9, -4, -20)) -> list[Any]:
    return [tuple(np.array(start, float) + k * np.array(step, float)) for k in range(count)]


@pytest.fixture
def phantom(tmp_path: Path) -> Phantom:
    folder = tmp_path / "dicom"
    folder.mkdir()
    return Phantom(folder)


@pytest.fixture
def world_error() -> Callable[..., float]:
    return error_of


@pytest.fixture
def positions() -> Callable[..., list[Any]]:
    return stack_positions
