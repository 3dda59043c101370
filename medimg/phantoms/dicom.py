"""A phantom as the DICOM files a scanner would send: CT Image Storage, with what usually lies beside it.

Attributes follow PS3.3 A.3 (CT Image IOD) and A.8 (Secondary Capture Image IOD); `dciodvfy` finds no error.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from medimg import files, geometry
from medimg.errors import UsageError

RESCALE_INTERCEPT = -1024
"""Stored value 0 is -1024 HU, as most scanners have it; 16 bits unsigned reach 64511 HU."""

STUDY_DATE, STUDY_TIME = "20260102", "101500"
"""Fixed, so that the same seed writes the same bytes."""

CT_SERIES, SCOUT_SERIES, CAPTURE_SERIES = 2, 1, 99
"""Series numbers in the order a scanner gives them."""

LOCALIZER_WINDOW_HU = (-1000, 400)


@dataclass(frozen=True)
class Study:
    """Whose scan it is. Every UID derives from `seed`, so writing again gives the same study."""

    seed: int
    patient_name: str = "Phantom^Thorax"
    patient_id: str = "PHANTOM-CT"

    def uid(self, *parts: object) -> str:
        """A UID under 2.25 (PS3.5 B.2) that depends on the seed, the patient and `parts` only."""
        text = "|".join(str(part) for part in ("medimg phantom", self.seed, self.patient_id, *parts))
        digest = hashlib.sha256(text.encode()).digest()[:16]
        return f"2.25.{uuid.UUID(bytes=digest, version=5).int}"


@dataclass(frozen=True)
class Series:
    """One series of a study: its number, what it says it is, and its modality."""

    number: int
    description: str
    modality: str = "CT"


def ct_series_uid(seed: int, patient_id: str = "PHANTOM-CT") -> str:
    """SeriesInstanceUID that `write_ct_series` gives the CT with this seed and patient."""
    return Study(seed, patient_id=patient_id).uid("series", CT_SERIES)


def write_ct_series(
    volume_hu: NDArray[np.int16],
    affine_ras: ArrayLike,
    folder: Path,
    *,
    seed: int = 0,
    patient_name: str = "Phantom^Thorax",
    patient_id: str = "PHANTOM-CT",
    description: str = "CHEST PHANTOM",
    localizer: bool = False,
    secondary_capture: bool = False,
) -> list[Path]:
    """Write a CT volume (I, J, K) in HU, one file per slice k, rows along j, columns along i.

    Files are named IM00001 ... without a suffix and in no spatial order. The affine (4, 4) goes to RAS mm.
    localizer, secondary_capture: add a scout view and a screen shot as series of their own, to be left out by readers.
    Returns the files of the CT series from k = 0 on. Raises UsageError for HU that do not fit, an unusable
    affine or no 3-D array, OutputError where the folder cannot be written.
    """
    _check(volume_hu, affine_ras)
    study = Study(seed, patient_name, patient_id)
    affine_lps = geometry.swap_ras_lps(affine_ras)
    slices = [
        _ct_slice(study, Series(CT_SERIES, description), volume_hu, affine_lps, k) for k in range(volume_hu.shape[2])
    ]
    extra = [_localizer(study, volume_hu, affine_lps)] if localizer else []
    extra += [_secondary_capture(study, volume_hu)] if secondary_capture else []
    files.output_folder(folder)
    order = np.random.default_rng(seed).permutation(len(slices) + len(extra))
    paths = [folder / f"IM{place + 1:05d}" for place in order]
    for path, dataset in zip(paths, slices + extra, strict=True):
        with files.atomic_path(path) as temporary:
            dataset.save_as(temporary, enforce_file_format=True)
    return paths[: len(slices)]


def _check(volume_hu: NDArray[np.int16], affine_ras: ArrayLike) -> None:
    if volume_hu.ndim != 3 or 0 in volume_hu.shape:
        raise UsageError(f"a CT series needs an array (I, J, K), not shape {volume_hu.shape}")
    if not geometry.is_usable(affine_ras):
        raise UsageError("the affine of the CT series is not a finite, invertible 4 x 4 matrix; pass voxel -> RAS mm")
    lowest, highest = int(volume_hu.min()), int(volume_hu.max())
    if lowest < RESCALE_INTERCEPT or highest > RESCALE_INTERCEPT + 65535:
        raise UsageError(f"HU from {lowest} to {highest} do not fit; clip to {RESCALE_INTERCEPT} .. 64511 first")


def _ct_slice(
    study: Study, series: Series, volume_hu: NDArray[np.int16], affine_lps: geometry.Affine, k: int
) -> Dataset:
    dataset = _base(study, series, CTImageStorage, k + 1)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    _ct_attributes(dataset, study)
    spacing = geometry.spacing_mm(affine_lps)
    normal = np.cross(affine_lps[:3, 0] / spacing[0], affine_lps[:3, 1] / spacing[1])
    # thickness is measured across the slice, so a gantry-tilted stack is thinner than its step
    dataset.SliceThickness = _decimal(abs(float(affine_lps[:3, 2] @ normal)))
    _place(
        dataset, affine_lps[:3, :2] / spacing[:2], (spacing[1], spacing[0]), geometry.to_world(affine_lps, (0, 0, k))
    )
    _set_pixels(dataset, (volume_hu[:, :, k].T.astype(np.int32) - RESCALE_INTERCEPT).astype(np.uint16))
    return dataset


def _localizer(study: Study, volume_hu: NDArray[np.int16], affine_lps: geometry.Affine) -> Dataset:
    """A scout view: the mean along j, rows from the last slice down, columns along i."""
    dataset = _base(study, Series(SCOUT_SERIES, "SCOUT"), CTImageStorage, 1)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    _ct_attributes(dataset, study)
    dataset.SliceThickness = ""
    # a projection is no HU image (PS3.3 C.8.2.1.1.2 knows HU for axial images only)
    del dataset.RescaleType
    last = volume_hu.shape[2] - 1
    spacing = geometry.spacing_mm(affine_lps)
    directions = affine_lps[:3, [0, 2]] / spacing[[0, 2]] * [1.0, -1.0]
    start = geometry.to_world(affine_lps, (0, (volume_hu.shape[1] - 1) / 2, last))
    _place(dataset, directions, (spacing[2], spacing[0]), start)
    view = np.clip(volume_hu.mean(axis=1)[:, ::-1].T, *LOCALIZER_WINDOW_HU)
    _set_pixels(dataset, (np.rint(view) - RESCALE_INTERCEPT).astype(np.uint16))
    return dataset


def _secondary_capture(study: Study, volume_hu: NDArray[np.int16]) -> Dataset:
    """A screen shot of the middle slice, as a dose report or key image would come: 8 bits, no geometry."""
    dataset = _base(study, Series(CAPTURE_SERIES, "SCREEN SAVE", "OT"), SecondaryCaptureImageStorage, 1)
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.ConversionType = "WSD"
    dataset.BurnedInAnnotation = "NO"
    dataset.PatientOrientation = ""
    low, high = LOCALIZER_WINDOW_HU
    middle = volume_hu[:, :, volume_hu.shape[2] // 2].T
    _set_pixels(dataset, np.rint(np.clip((middle - low) / (high - low), 0, 1) * 255).astype(np.uint8))
    return dataset


def _base(study: Study, series: Series, sop_class: str, instance: int) -> Dataset:
    """Patient, study, series, equipment and SOP common modules."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = study.uid("instance", series.number, instance)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study.uid("study"), study.uid("series", series.number)
    dataset.PatientName, dataset.PatientID = study.patient_name, study.patient_id
    dataset.PatientBirthDate, dataset.PatientSex = "", "O"
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = STUDY_DATE
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = STUDY_TIME
    dataset.StudyID, dataset.AccessionNumber, dataset.ReferringPhysicianName = "1", "", ""
    dataset.StudyDescription = "Synthetic phantom, not a patient"
    dataset.Modality, dataset.SeriesNumber, dataset.SeriesDescription = (
        series.modality,
        series.number,
        series.description,
    )
    dataset.InstanceNumber, dataset.BodyPartExamined = instance, "CHEST"
    dataset.Manufacturer, dataset.ManufacturerModelName = "medimg", "analytic phantom"
    return dataset


def _ct_attributes(dataset: Dataset, study: Study) -> None:
    """CT Image, Frame of Reference and the scanner's settings; shared by slices and scout."""
    dataset.PatientPosition = "HFS"
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = study.uid("frame of reference"), ""
    dataset.AcquisitionNumber, dataset.AcquisitionDate, dataset.AcquisitionTime = 1, STUDY_DATE, STUDY_TIME
    dataset.KVP, dataset.ConvolutionKernel = "120", "STANDARD"
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = str(RESCALE_INTERCEPT), "1", "HU"
    dataset.WindowCenter, dataset.WindowWidth = "-600", "1500"


def _place(
    dataset: Dataset, directions: NDArray[np.float64], spacing_mm: Sequence[float], position_lps_mm: ArrayLike
) -> None:
    """Image Plane module. directions: (3, 2), of a row and of a column, as PS3.3 C.7.6.2.1.1 orders them."""
    dataset.ImageOrientationPatient = [_decimal(value) for value in directions.T.ravel()]
    dataset.PixelSpacing = [_decimal(value) for value in spacing_mm]
    dataset.ImagePositionPatient = [_decimal(value) for value in np.asarray(position_lps_mm, dtype=np.float64)]


def _set_pixels(dataset: Dataset, pixels: NDArray[np.uint16] | NDArray[np.uint8]) -> None:
    """Image Pixel module from an array (rows, columns)."""
    bits = 8 * pixels.dtype.itemsize
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = 0
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    dataset.add_new("PixelData", "OB" if bits == 8 else "OW", data + b"\0" * (len(data) % 2))


def _decimal(value: float) -> str:
    """A DS of at most 16 characters (PS3.5 6.2): ten significant digits, no negative zero."""
    text = f"{float(value) + 0.0:.10g}"
    return text if len(text) <= 16 else f"{float(value):.8g}"
