"""Analytic DICOM series: the value is known at every point in LPS mm, so that any geometry error shows."""

from __future__ import annotations

import itertools
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, -0.8)
CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
PT_STORAGE = "1.2.840.10008.5.1.4.1.1.128"
STORAGE = {"CT": CT_STORAGE, "MR": MR_STORAGE, "PT": PT_STORAGE}
SERIES = "2.25.7"
START = (-9.0, -4.0, -20.0)

Edit = Callable[[Dataset, int], None]
Field = Callable[[NDArray[Any]], NDArray[Any]]


def linear(points_lps: NDArray[Any]) -> NDArray[Any]:
    """2x + 3y + 5z at points (..., 3) in LPS mm: whole numbers at whole millimetres."""
    return np.asarray(np.asarray(points_lps) @ np.array([2.0, 3.0, 5.0]))


def curved(points_lps: NDArray[Any]) -> NDArray[Any]:
    """2x + 3y + 5z and gentle waves: no shift, in whatever direction, leaves it as it is."""
    x, y, z = np.moveaxis(np.asarray(points_lps, dtype=np.float64), -1, 0)
    return np.asarray(linear(points_lps) + 25 * np.sin(x / 9) + 25 * np.cos(y / 11) + 25 * np.sin(z / 13))


def line(
    count: int, step: Sequence[float] = (0, 0, 3), start: Sequence[float] = START, without: Sequence[int] = ()
) -> list[Any]:
    """Positions of `count` slices, but those `without`."""
    places = [tuple((np.array(start, float) + k * np.array(step, float)).tolist()) for k in range(count)]
    return [place for number, place in enumerate(places) if number not in without]


@dataclass
class Phantom:
    """Writes slices of an analytic field into `folder`."""

    folder: Path
    rows: int = 20
    columns: int = 16
    truth: Field = curved
    spacing: tuple[float, float] = (2.0, 1.0)
    """Between rows, and between columns, in mm: different, so that no reader takes one for the other unseen."""
    _uids: Any = field(default_factory=lambda: itertools.count(1))

    def uid(self) -> str:
        return f"2.25.{next(self._uids) + 10**9}"

    def slices(
        self,
        positions: Sequence[Sequence[float]],
        *,
        orientation: Sequence[float] = AXIAL,
        series: str = SERIES,
        spacing: tuple[float, float] | None = None,
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
            paths.append(self.write(dataset, self.folder / subfolder / self.name(dataset)))
        return paths

    def name(self, dataset: Dataset) -> str:
        """A file name without a suffix."""
        return str(dataset.SOPInstanceUID).split(".")[-1]

    def values(
        self, position: Sequence[float], orientation: Sequence[float], spacing: tuple[float, float]
    ) -> NDArray[Any]:
        """The field on one slice, (rows, columns)."""
        row, column = np.array(orientation[:3]), np.array(orientation[3:])
        r, c = np.mgrid[0 : self.rows, 0 : self.columns]
        return self.truth(np.array(position) + c[..., None] * row * spacing[1] + r[..., None] * column * spacing[0])

    def dataset(
        self,
        position: Sequence[float],
        orientation: Sequence[float] = AXIAL,
        series: str = SERIES,
        spacing: tuple[float, float] | None = None,
        modality: str = "CT",
        add: float = 0.0,
    ) -> Dataset:
        """One slice as a dataset with 16-bit unsigned pixels; spacing: the phantom's, unless another is given."""
        spacing = spacing or self.spacing
        values = np.round(self.values(position, orientation, spacing) + add)
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset = Dataset()
        dataset.file_meta = meta
        dataset.SOPClassUID = STORAGE.get(modality, MR_STORAGE)
        dataset.SOPInstanceUID = self.uid()
        dataset.StudyInstanceUID = "2.25.5"
        dataset.FrameOfReferenceUID = "2.25.6"
        dataset.PatientName, dataset.PatientID = "Phantom^Analytic", "phantom"
        dataset.Modality, dataset.SeriesNumber, dataset.SeriesDescription = modality, 3, "phantom"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.Rows, dataset.Columns = self.rows, self.columns
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
        dataset.PixelSpacing = list(spacing)
        with pydicom.config.disable_value_validation():
            dataset.SeriesInstanceUID = series
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
        with pydicom.config.disable_value_validation(), warnings.catch_warnings():
            # what breaks the standard is the point of many cases
            warnings.simplefilter("ignore")
            dataset.save_as(path, enforce_file_format=True)
        return path

    def fresh(self) -> Phantom:
        """Empty the folder."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        return self


def stored(dataset: Dataset) -> NDArray[Any]:
    """The unsigned words of a slice that `Phantom.dataset` made, flat."""
    return np.frombuffer(dataset.PixelData, "<u2")


def put(**elements: Any) -> Edit:
    """An edit that sets elements by keyword; None deletes one."""

    def edit(dataset: Dataset, _number: int) -> None:
        for keyword, value in elements.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)

    return edit


def raw(keyword: str, text: str) -> Edit:
    """An edit that writes the text of an element as it is, whatever the standard says of its length and form."""

    def edit(dataset: Dataset, _number: int) -> None:
        dataset[keyword]._value = text.split("\\")

    return edit


def only(index: int, edit: Edit) -> Edit:
    """The edit for one slice alone."""

    def apply(dataset: Dataset, number: int) -> None:
        if number == index:
            edit(dataset, number)

    return apply
