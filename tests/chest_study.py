"""A chest CT study as a scanner sends it: scout, thick and thin stacks, two kernels, reformats, and what is no scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import BasicTextSRStorage

from medimg.phantoms.dicom import write_ct_series

AXIAL = {1.25: np.diag([-0.9, -0.9, 1.25, 1.0]), 5.0: np.diag([-0.9, -0.9, 5.0, 1.0])}
CORONAL = np.array([[-0.9, 0, 0, 10.0], [0, 0, -3.0, 5.0], [0, 0.9, 0, -30], [0, 0, 0, 1]])
SAGITTAL = np.array([[0, 0, -3.0, 10.0], [-0.9, 0, 0, 5.0], [0, 0.9, 0, -30], [0, 0, 0, 1]])

ORIGINAL = ["ORIGINAL", "PRIMARY", "AXIAL"]


def uid(number: int) -> str:
    """SeriesInstanceUID of the series of that number."""
    return f"2.25.77.{number}"


def series(
    folder: Path,
    number: int,
    description: str,
    affine=AXIAL[1.25],
    slices: int = 24,
    kernel: str = "STANDARD",
    image_type=ORIGINAL,
    **changes: object,
) -> list[Path]:
    """One series of the study, a file a slice, in a folder of its own; its files in spatial order."""
    shape = (10, 12, slices)
    voxels = np.random.default_rng(number).integers(-1000, 400, shape).astype(np.int16)
    paths = write_ct_series(voxels, affine, folder / f"{number:03d}", seed=5, description=description)
    for k, path in enumerate(paths):
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID, dataset.SeriesNumber = uid(number), number
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{uid(number)}.{k + 1}"
        dataset.ConvolutionKernel, dataset.ImageType = kernel, image_type
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)
    return paths


def scout(folder: Path) -> None:
    """Two images that a scan is planned on."""
    series(folder, 1, "SCOUT", slices=2, image_type=["ORIGINAL", "PRIMARY", "LOCALIZER"])


def reformats(folder: Path) -> None:
    """Coronal and sagittal reformats, and a thick axial maximum intensity projection."""
    derived = ["DERIVED", "SECONDARY", "REFORMATTED"]
    series(folder, 5, "COR MPR", CORONAL, image_type=derived)
    series(folder, 6, "SAG MPR", SAGITTAL, image_type=derived)
    series(folder, 7, "AX MIP", image_type=["DERIVED", "SECONDARY", "MIP"], SliceThickness="8")


def no_scans(folder: Path) -> None:
    """A dose report as a picture, and the same as a structured report."""
    series(folder, 99, "DOSE REPORT", slices=1, image_type=["DERIVED", "SECONDARY", "SCREEN SAVE"])
    (path,) = series(folder, 98, "DOSE SR", slices=1)
    dataset = pydicom.dcmread(path)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    dataset.Modality = "SR"
    del dataset.PixelData
    dataset.save_as(path)


def study(folder: Path) -> Path:
    """All of it: series 1 scout, 2 soft 5 mm, 3 lung 1.25 mm, 4 soft 1.25 mm, 5 to 7 reformats, 8 bone 1.25 mm."""
    scout(folder)
    series(folder, 2, "CHEST 5.0 SOFT", AXIAL[5.0])
    series(folder, 3, "CHEST 1.25 LUNG", kernel="LUNG")
    series(folder, 4, "CHEST 1.25 SOFT")
    reformats(folder)
    series(folder, 8, "CHEST 1.25 BONE", kernel="BONEPLUS")
    no_scans(folder)
    return folder
