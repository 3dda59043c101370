"""Healthy scans of every kind medimg reads, small enough that ten thousand damaged copies take minutes."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import nibabel as nib
import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from medimg.phantoms.dicom import write_ct_series

SHAPE = (12, 10, 4)
AFFINE_RAS = np.array([[-0.9, 0, 0, 20], [0, -0.8, 0, 30], [0, 0, 2.5, -40], [0, 0, 0, 1.0]])
HTJ2K_LOSSLESS = UID("1.2.840.10008.1.2.4.201")


def truth_hu() -> np.ndarray:
    """The values of every seed, (I, J, K) int16."""
    return np.random.default_rng(0).integers(-1000, 1500, SHAPE).astype(np.int16)


def classic(folder: Path, seed: int = 1) -> list[Path]:
    """A CT series in explicit little endian."""
    return write_ct_series(truth_hu(), AFFINE_RAS, folder, seed=seed)


def _rewritten(change: Callable[[Dataset], None]) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        paths = classic(folder)
        for path in paths:
            dataset = Dataset()  # a fresh one may be written in any byte order
            stored = pydicom.dcmread(path)
            dataset.file_meta = stored.file_meta
            for element in stored:
                dataset.add(element)
            change(dataset)
            dataset.save_as(path, enforce_file_format=True)
        return paths

    return write


def _as_syntax(syntax: UID) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.file_meta.TransferSyntaxUID = syntax

    return change


def _compressed(syntax: UID, encode: Callable[[Any], bytes]) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        pixels = np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns)
        dataset.PixelData = encapsulate([encode(pixels)])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax

    return change


def _with_private_sequences(dataset: Dataset) -> None:
    """Nested items of undefined length and private groups, as vendors write them."""
    block = dataset.private_block(0x0029, "MEDIMG FUZZ", create=True)
    block.add_new(0x10, "OB", b"\x01\x02" * 50)
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.3", "1.2.3.4"
    outer = Dataset()
    outer.ReferencedImageSequence = Sequence([item, item])
    dataset.ReferencedStudySequence = Sequence([outer])
    dataset["ReferencedStudySequence"].is_undefined_length = True
    outer.is_undefined_length_sequence_item = True


def enhanced(folder: Path) -> list[Path]:
    """The same slices as one enhanced multi-frame MR."""
    datasets = [pydicom.dcmread(path) for path in classic(folder / "classic")]
    whole = pydicom.dcmread(folder / "classic" / Path(str(datasets[0].filename)).name)
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    whole.Modality, whole.NumberOfFrames = "MR", len(datasets)
    whole.PixelData = b"".join(dataset.PixelData for dataset in datasets)
    whole.PerFrameFunctionalGroupsSequence = Sequence([_functional_groups(dataset) for dataset in datasets])
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        delattr(whole, keyword)
    for path in (folder / "classic").iterdir():
        path.unlink()
    whole.save_as(folder / "enhanced", enforce_file_format=True)
    return [folder / "enhanced"]


def _functional_groups(dataset: Dataset) -> Dataset:
    groups = {
        "PlanePositionSequence": ("ImagePositionPatient",),
        "PlaneOrientationSequence": ("ImageOrientationPatient",),
        "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
        "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    }
    frame = Dataset()
    for sequence, keywords in groups.items():
        item = Dataset()
        for keyword in keywords:
            setattr(item, keyword, getattr(dataset, keyword))
        setattr(frame, sequence, Sequence([item]))
    return frame


def mosaic(folder: Path) -> list[Path]:
    """Four tiles in one Siemens image with the private header that places them."""
    paths = classic(folder)
    whole = pydicom.dcmread(paths[0])
    tiles = [pydicom.dcmread(path).pixel_array for path in paths]
    whole.PixelData = np.block([tiles[:2], tiles[2:]]).astype("<u2").tobytes()
    whole.Rows, whole.Columns = 2 * whole.Rows, 2 * whole.Columns
    whole.ImageType, whole.Modality = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"], "MR"
    whole.SpacingBetweenSlices = 2.5
    block = whole.private_block(0x29, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x10, "OB", _csa({"NumberOfImagesInMosaic": ("US", [4]), "SliceNormalVector": ("FD", [0, 0, 1])}))
    for path in paths[1:]:
        path.unlink()
    whole.save_as(paths[0], enforce_file_format=True)
    return paths[:1]


def _csa(tags: dict[str, tuple[str, list[float]]]) -> bytes:
    data = b"SV10\4\3\2\1" + struct.pack("<II", len(tags), 77)
    for name, (vr, values) in tags.items():
        data += struct.pack("<64si4siii", name.encode(), len(values), vr.encode(), 0, len(values), 77)
        for value in values:
            text = str(value).encode() + b"\0"
            data += struct.pack("<4i", 0, len(text), 77, 0) + text + b"\0" * (-len(text) % 4)
    return data


def nifti(suffix: str) -> Callable[[Path], list[Path]]:
    """A NIfTI file, plain or gzipped."""

    def write(folder: Path) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        image = nib.Nifti1Image(truth_hu(), AFFINE_RAS)
        image.set_qform(AFFINE_RAS, 1)
        nib.save(image, folder / f"scan{suffix}")
        return [folder / f"scan{suffix}"]

    return write


def itk(suffix: str) -> Callable[[Path], list[Path]]:
    """A MetaImage or NRRD file."""

    def write(folder: Path) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(sitk.GetImageFromArray(truth_hu().T), str(folder / f"scan{suffix}"))
        return [folder / f"scan{suffix}"]

    return write


def zipped(folder: Path) -> list[Path]:
    """A CT series in a zip in a zip."""
    paths = classic(folder / "loose")
    inner, outer = folder / "inner.zip", folder / "export.zip"
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, f"DICOM/{path.name}")
    with zipfile.ZipFile(outer, "w") as archive:
        archive.write(inner, "inner.zip")
    for path in [*paths, inner]:
        path.unlink()
    return [outer]


KINDS: dict[str, Callable[[Path], list[Path]]] = {
    "explicit": classic,
    "private": _rewritten(_with_private_sequences),
    "implicit": _rewritten(_as_syntax(ImplicitVRLittleEndian)),
    "big_endian": _rewritten(_as_syntax(ExplicitVRBigEndian)),
    "deflated": _rewritten(_as_syntax(DeflatedExplicitVRLittleEndian)),
    "rle": _rewritten(lambda dataset: dataset.compress(RLELossless)),
    "jpeg_lossless": _rewritten(_compressed(JPEGLosslessSV1, imagecodecs.ljpeg_encode)),
    "jpeg_ls": _rewritten(_compressed(JPEGLSLossless, imagecodecs.jpegls_encode)),
    "jpeg_2000": _rewritten(
        _compressed(JPEG2000Lossless, lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", reversible=True))
    ),
    "htj2k": _rewritten(_compressed(HTJ2K_LOSSLESS, lambda a: imagecodecs.htj2k_encode(a, reversible=True))),
    "enhanced": enhanced,
    "mosaic": mosaic,
    "nifti": nifti(".nii"),
    "nifti_gz": nifti(".nii.gz"),
    "metaimage": itk(".mha"),
    "nrrd": itk(".nrrd"),
    "zip": zipped,
}
"""Name -> writer of the files into a folder; returns those that are to be damaged."""
