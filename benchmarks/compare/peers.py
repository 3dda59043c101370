"""The readers that are compared, each with its defaults as its own documentation uses it.

A reader is given a folder and yields volumes (name, array (I, J, K) or (I, J, K, T), affine to RAS mm). What it
raises, logs and prints is what it said.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Output = tuple[str, Any, Any]
Reader = Callable[[Path, Path], Iterator[Output]]

LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class SaidNoError(Exception):
    """A command ended with another exit code than 0."""


def medimg(folder: Path, output: Path) -> Iterator[Output]:
    """`medimg preprocess`; exit code 3 says that a series was rejected."""
    from medimg.cli.group import cli

    code: Any = 0
    try:
        cli(["preprocess", str(folder), "-o", str(output)], prog_name="medimg")
    except SystemExit as end:
        code = end.code
    yield from _niftis(output)
    if code:
        raise SaidNoError(f"exit code {code}")


def dcm2niix(folder: Path, output: Path) -> Iterator[Output]:
    """`dcm2niix -z n`; all its files count, those it corrected (_Eq, _Tilt) too."""
    command = Path(os.environ["COMPARE_BIN"]) / "dcm2niix"
    yield from _command([command, "-z", "n", "-b", "n", "-f", "%s_%d_%e", "-o", output, folder], output)


def dicom2nifti(folder: Path, output: Path) -> Iterator[Output]:
    """`dicom2nifti.convert_directory` with its checks on, as they are by default."""
    import dicom2nifti as package

    package.convert_directory(str(folder), str(output), compression=False, reorient=False)
    yield from _niftis(output)


def simpleitk(folder: Path, _output: Path) -> Iterator[Output]:
    """`ImageSeriesReader` on every series that GDCM finds in every folder."""
    import SimpleITK as sitk

    for parent, _folders, _files in os.walk(folder):
        for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(parent):
            reader = sitk.ImageSeriesReader()
            reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(parent, uid))
            with _going_on():
                image = reader.Execute()
                yield uid, sitk.GetArrayFromImage(image).T, _itk_affine(image)


def monai_itk(folder: Path, _output: Path) -> Iterator[Output]:
    """`LoadImage(reader="ITKReader")` on the folder."""
    yield from _monai("ITKReader", folder)


def monai_pydicom(folder: Path, _output: Path) -> Iterator[Output]:
    """`LoadImage(reader="PydicomReader")` on the folder."""
    yield from _monai("PydicomReader", folder)


def highdicom(folder: Path, _output: Path) -> Iterator[Output]:
    """`get_volume_from_series` on every series; `Image.get_volume` on a multi-frame image."""
    import highdicom as hd
    import pydicom

    series: dict[str, list[Any]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with _going_on():
            dataset = pydicom.dcmread(path)
            if "Rows" in dataset:
                series.setdefault(str(dataset.SeriesInstanceUID), []).append(dataset)
    # values as they are measured, not as they are shown
    how = {"apply_modality_transform": True, "apply_presentation_lut": False}
    for uid, datasets in series.items():
        with _going_on():
            if "NumberOfFrames" in datasets[0]:
                images = [hd.Image.from_dataset(dataset) for dataset in datasets]
                found = [image.get_volume(**how) for image in images]
            else:
                found = [hd.get_volume_from_series(datasets, **how)]
            for volume in found:
                yield uid, volume.array, LPS_RAS @ volume.affine


def monai_deploy(folder: Path, _output: Path) -> Iterator[Output]:
    """The App SDK's DICOM operators, as its applications chain them, on every series of every study."""
    from monai.deploy.core import Fragment
    from monai.deploy.core.domain.dicom_series_selection import StudySelectedSeries
    from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator
    from monai.deploy.operators.dicom_series_selector_operator import DICOMSeriesSelectorOperator
    from monai.deploy.operators.dicom_series_to_volume_operator import DICOMSeriesToVolumeOperator

    fragment = Fragment()
    loader = DICOMDataLoaderOperator(fragment, name="load", input_folder=folder)
    selector = DICOMSeriesSelectorOperator(fragment, name="select")
    converter = DICOMSeriesToVolumeOperator(fragment, name="convert")
    for study in selector.filter(None, loader.load_data_to_studies(folder)):
        for selected in study.selected_series:
            alone = StudySelectedSeries(study.study)
            alone.add_selected_series(selected)
            with _going_on():
                image = converter.convert_to_image([alone])
                affine = image.metadata()["nifti_affine_transform"]
                yield str(selected.series.SeriesInstanceUID), image.asnumpy().T, affine


READERS: dict[str, tuple[str, Reader]] = {
    "medimg": ("medimg", medimg),
    "dcm2niix": ("dcm2niix", dcm2niix),
    "dicom2nifti": ("dicom2nifti", dicom2nifti),
    "SimpleITK": ("simpleitk", simpleitk),
    "MONAI ITKReader": ("monai", monai_itk),
    "MONAI PydicomReader": ("monai", monai_pydicom),
    "highdicom": ("highdicom", highdicom),
    "MONAI Deploy": ("monai-deploy-app-sdk", monai_deploy),
}
"""Name -> (the package whose version is the reader's, the reader)."""


def warm_up(name: str) -> None:
    """Import what the reader needs, so that each case costs a fork and no import."""
    modules = {
        "medimg": "medimg.stages.preprocess nibabel",
        "dicom2nifti": "dicom2nifti nibabel",
        "SimpleITK": "SimpleITK",
        "MONAI ITKReader": "monai.transforms itk",
        "MONAI PydicomReader": "monai.transforms",
        "highdicom": "highdicom",
        "MONAI Deploy": "monai.deploy.operators.dicom_series_to_volume_operator",
    }
    for module in modules.get(name, "nibabel").split():
        __import__(module)
    if name.startswith("MONAI "):
        _warm_up_monai()


def _warm_up_monai() -> None:
    """MONAI asks every reader it knows, and ITK loads its modules when they are first named."""
    import itk
    from monai.transforms import LoadImage

    LoadImage()
    for part in ("GDCMSeriesFileNames", "GDCMImageIO", "imread", "ImageSeriesReader", "array_view_from_image"):
        getattr(itk, part)


class _going_on:  # noqa: N801 - it is used as a context manager's function is
    """What one series raises is said aloud, as a program over many series would, and the next one is read."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if isinstance(error, Exception):
            print(f"Error: {type(error).__name__}: {error}", file=sys.stderr)
        return isinstance(error, Exception)


def _command(command: list[Any], output: Path) -> Iterator[Output]:
    done = subprocess.run(list(map(str, command)), check=False)
    yield from _niftis(output)
    if done.returncode:
        raise SaidNoError(f"exit code {done.returncode}")


def _niftis(output: Path) -> Iterator[Output]:
    import nibabel as nib

    for path in sorted([*output.rglob("*.nii"), *output.rglob("*.nii.gz")]):
        image = nib.load(path)
        yield path.name, np.asanyarray(image.dataobj), image.affine


def _itk_affine(image: Any) -> Any:
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return LPS_RAS @ affine


def _monai(reader: str, folder: Path) -> Iterator[Output]:
    from monai.transforms import LoadImage

    image = LoadImage(reader=reader, image_only=True)(folder)
    yield reader, image.numpy(), image.affine.numpy()
