"""The readers that medimg is measured against, each used as its own documentation shows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray

PACKAGES = ("medimg", "pydicom", "numpy", "isal", "dcm2niix", "monai", "itk", "imagecodecs")
"""Packages whose versions belong to the figures."""

MONAI_SCRIPT = """
import sys, time
import monai.transforms as mt
import itk
from monai.data import ITKReader
start = time.perf_counter()
image = mt.LoadImage(reader=ITKReader(), image_only=True, ensure_channel_first=True)(sys.argv[1])
save = mt.SaveImage(sys.argv[2], output_ext=".nii.gz", output_dtype="int16", separate_folder=False, print_log=False)
save(image)
print("seconds", time.perf_counter() - start)
"""
"""One series in, one .nii.gz out; it says how long it took after its imports."""


def pydicom_volume(paths: Sequence[Path]) -> NDArray[np.int16]:
    """The loop that everybody writes: (slices, rows, columns), sorted by position, rescaled into one array."""
    datasets = sorted(map(pydicom.dcmread, paths), key=lambda dataset: float(dataset.ImagePositionPatient[2]))
    volume = np.empty((len(datasets), datasets[0].Rows, datasets[0].Columns), np.int16)
    for k, dataset in enumerate(datasets):
        slope, intercept = int(dataset.RescaleSlope), int(dataset.RescaleIntercept)
        volume[k] = dataset.pixel_array.view(np.int16)
        if slope != 1:
            volume[k] *= np.int16(slope)
        volume[k] += np.int16(intercept)
        dataset.clear()  # its bytes are not needed any more
    return volume


def pydicom_listing(paths: Sequence[Path]) -> int:
    """Every header once, as a listing needs it; how many had an image's position."""
    headers = (pydicom.dcmread(path, stop_before_pixels=True, force=True) for path in paths)
    return sum("ImagePositionPatient" in header for header in headers)


def dcm2niix(options: Sequence[str], source: Path, output: Path) -> list[str | Path]:
    """The command line of dcm2niix. Raises ImportError where it is not installed."""
    import dcm2niix

    return [dcm2niix.bin, *options, "-o", output, source]


def monai(python: Path, source: Path, output: Path) -> list[str | Path]:
    """The command line of MONAI's ITK reader and SaveImage."""
    return [python, "-W", "ignore", "-c", MONAI_SCRIPT, source, output]


def seconds_said(text: str) -> float:
    """What a script said it took after its imports."""
    return float(next(line for line in text.splitlines() if line.startswith("seconds")).split()[1])


def medimg(source: Path, output: Path) -> list[str | Path]:
    """The command line of medimg, as the installed program starts it."""
    return [Path(sys.executable).with_name("medimg"), "preprocess", source, "-o", output]
