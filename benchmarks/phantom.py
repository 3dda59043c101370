"""Series to measure readers with: real header sizes, a patient's noise, any number of slices, written quickly.

The header is written once by pydicom; the few values that differ from file to file hold their place in it with as
many bytes, so that a hundred thousand files take seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless

from medimg.phantoms.thorax import thorax

Slices = NDArray[np.uint16]
"""Stored values, (slices, rows, columns)."""

DRAWN_SLICES = 24
"""Slices of the chest that are drawn where anatomy does not matter, apex to base; a longer series repeats them in
runs, which makes cylinders of its vessels: a detector of nodules finds a hundred of them."""

SPACING_MM = 0.7, 0.7, 1.0
CHEST_MM = 300.0

INSTANCE = "98765432"
POSITION = "-7654.32"
"""Placeholders in the template: number of the file, and its place along the patient in mm, each eight characters."""

PRIVATE_ELEMENTS = {0x0009: 6, 0x0019: 16, 0x0021: 8, 0x0027: 8, 0x0043: 10}
"""Private elements by group: as CT and MR headers of large vendors have them (88 to 430 elements in all)."""

PLAIN_TEXTS = {
    "InstitutionName": "General Hospital",
    "InstitutionAddress": "1 Main Street",
    "StationName": "CT01",
    "StudyDescription": "CT CHEST",
    "SeriesDescription": "AXIAL 1.0 B30f",
    "ProtocolName": "ThoraxRoutine",
    "BodyPartExamined": "CHEST",
    "Manufacturer": "medimg",
    "ManufacturerModelName": "analytic phantom",
    "SoftwareVersions": "syngo CT 1",
    "DeviceSerialNumber": "12345",
    "PatientName": "Phantom^Thorax",
    "PatientID": "PHANTOM-CT",
    "PatientBirthDate": "19500101",
    "PatientSex": "O",
    "PatientAge": "070Y",
    "PatientComments": "no patient was involved",
    "ReferringPhysicianName": "Nobody^Nobody",
    "OperatorsName": "Nobody",
    "AccessionNumber": "1",
    "StudyID": "1",
    "PatientPosition": "HFS",
    "RotationDirection": "CW",
    "ConvolutionKernel": "B30f",
    "FilterType": "0",
    "ScanOptions": "HELIX",
    "ExposureModulationType": "XYZ_EC",
    "PositionReferenceIndicator": "SN",
    "LossyImageCompression": "00",
    "BurnedInAnnotation": "NO",
    "PerformedProcedureStepID": "1",
    "PerformedProcedureStepDescription": "CT chest",
    "RescaleType": "HU",
}

SEQUENCES = ("ProcedureCodeSequence", "ReferencedStudySequence", "RequestAttributesSequence", "SourceImageSequence")

DECIMALS = {
    "SliceThickness": "1",
    "KVP": "120",
    "DataCollectionDiameter": "500",
    "ReconstructionDiameter": "358.4",
    "DistanceSourceToDetector": "1040",
    "DistanceSourceToPatient": "570",
    "GantryDetectorTilt": "0",
    "TableHeight": "150",
    "ExposureTime": "500",
    "XRayTubeCurrent": "200",
    "Exposure": "100",
    "GeneratorPower": "40",
    "FocalSpots": ["0.7"],
    "SingleCollimationWidth": 0.6,
    "TotalCollimationWidth": 38.4,
    "TableSpeed": 46.0,
    "SpiralPitchFactor": 1.2,
    "CTDIvol": 6.5,
    "AcquisitionNumber": "1",
    "WindowCenter": ["40", "-600"],
    "WindowWidth": ["400", "1500"],
    "RescaleIntercept": "-1024",
    "RescaleSlope": "1",
}


def chest_slices(rows: int, columns: int, count: int = DRAWN_SLICES) -> Slices:
    """`count` axial slices of a chest phantom as stored values, HU + 1024; (slices, rows, columns)."""
    field_mm = 512 * SPACING_MM[0]
    spacing = (field_mm / columns, field_mm / rows, CHEST_MM / count)
    drawn = thorax(shape=(columns, rows, count), spacing_mm=spacing, seed=3)
    return (drawn.array.transpose(2, 1, 0) + 1024).astype(np.uint16)


def write_series(
    folder: Path, slices: Slices, count: int, series: int = 1, step_mm: float = SPACING_MM[2]
) -> list[Path]:
    """Write `count` files of one CT series, their names in no spatial order; the files by position.

    slices: (n, rows, columns) of stored values; each is used for a run of neighbouring positions, `step_mm` apart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    head = template(*slices.shape[1:], series)
    places = np.random.default_rng(series).permutation(count)
    paths = []
    for k, place in enumerate(places):
        pixels = slices[k * len(slices) // count]
        path = folder / f"IM{place:06d}"
        with path.open("wb") as stream:
            stream.write(filled(head, k, step_mm))
            stream.write(pixels.tobytes())
        paths.append(path)
    return paths


def write_jpeg_2000(folder: Path, slices: Slices, count: int) -> bool:
    """As `write_series`, compressed without loss; false, and nothing is written, without imagecodecs."""
    try:
        from imagecodecs import jpeg2k_encode
    except ImportError:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    head = template(*slices.shape[1:], series=1, syntax=JPEG2000Lossless)
    # level 0 is lossless, and a DICOM file holds the bare codestream
    frames = [encapsulate([jpeg2k_encode(pixels, level=0, codecformat="j2k", bitspersample=16)]) for pixels in slices]
    for k in range(count):
        end = bytes.fromhex("feffdde000000000")  # Sequence Delimitation Item
        (folder / f"IM{k:06d}").write_bytes(filled(head, k) + frames[k * len(frames) // count] + end)
    return True


def write_many(root: Path, count: int, per_folder: int = 250) -> None:
    """Write `count` small files, a series of its own in each folder of `per_folder`."""
    slices = np.random.default_rng(0).integers(0, 4000, (1, 32, 32), dtype=np.uint16)
    for number, (start, size) in enumerate(_shares(count, per_folder), start=1):
        write_series(root / f"{start // 10000:03d}" / f"{number:05d}", slices, size, number)


def _shares(count: int, size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, size):
        yield start, min(size, count - start)


def filled(head: bytes, k: int, step_mm: float = SPACING_MM[2]) -> bytes:
    """The template as the header of file k."""
    number = f"{10_000_001 + k}".encode()  # no leading zero: it ends a UID
    position = f"{k * step_mm - 150:8.2f}".encode()
    return head.replace(INSTANCE.encode(), number).replace(POSITION.encode(), position)


def template(rows: int, columns: int, series: int, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Header bytes up to the value of Pixel Data, about 150 elements with private groups and sequences."""
    dataset = _identity(series)
    dataset.file_meta.TransferSyntaxUID = syntax
    _acquisition(dataset)
    _sequences(dataset)
    _private(dataset)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    compressed = syntax != ExplicitVRLittleEndian
    dataset.add_new("PixelData", "OB" if compressed else "OW", encapsulate([b"\0\0"]) if compressed else b"\0\0")
    dataset["PixelData"].is_undefined_length = compressed
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    head = stream.getvalue()
    end = head.rindex(bytes.fromhex("e07f1000")) + 12
    length = b"\xff\xff\xff\xff" if compressed else (rows * columns * 2).to_bytes(4, "little")
    return head[: end - 4] + length


def _identity(series: int) -> Dataset:
    """Who and when, and the frame of reference; placeholders where files differ."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = f"2.25.7{series:06d}.{INSTANCE}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"2.25.77{series:06d}", f"2.25.78{series:06d}"
    dataset.FrameOfReferenceUID = f"2.25.79{series:06d}"
    for when in ("Study", "Series", "Acquisition", "Content", "InstanceCreation"):
        setattr(dataset, f"{when}Date", "20260102")
        setattr(dataset, f"{when}Time", "101500.000000")
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "CT", series, INSTANCE
    return dataset


def _acquisition(dataset: Dataset) -> None:
    for keyword, value in (PLAIN_TEXTS | DECIMALS).items():
        setattr(dataset, keyword, value)
    dataset.ImagePositionPatient = ["-179.2", "-179.2", POSITION]
    dataset.SliceLocation = POSITION
    dataset.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    dataset.PixelSpacing = [f"{SPACING_MM[1]}", f"{SPACING_MM[0]}"]


def _sequences(dataset: Dataset) -> None:
    """Sequences with items of undefined length, as many writers leave them, and of defined length."""
    for keyword in SEQUENCES:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, "2.25.80"
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "CTCHEST", "L", "CT of the chest"
        sequence = Sequence([item, item])
        setattr(dataset, keyword, sequence)
        undefined = keyword.startswith("R")
        dataset[keyword].is_undefined_length = undefined
        item.is_undefined_length_sequence_item = undefined


def _private(dataset: Dataset) -> None:
    for group, count in PRIVATE_ELEMENTS.items():
        block = dataset.private_block(group, f"MEDIMG BENCHMARK {group:04X}", create=True)
        for element in range(count):
            vr, value = (("LO", f"private text {element}"), ("FD", element / 7), ("OB", b"raw bytes " * 6))[element % 3]
            block.add_new(element, vr, value)
