"""MetaImage, NRRD and what else SimpleITK reads."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medimg import files, geometry
from medimg.errors import InputError, Reason
from medimg.volumes.checks import MAX_VOXELS, checked_affine, shape_of_volumes, unreadable
from medimg.volumes.opened import Opened

if TYPE_CHECKING:
    import SimpleITK


SEPARATE = 1e-6
"""How far a direction cosine between the axes of space and a further axis (time) may be from zero."""


def open_itk(path: Path) -> Opened:
    """Read and check the header. Raises InputError; see `read_volume`."""
    import SimpleITK as sitk

    parts = (path, *_data_files(path))
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise unreadable(path, error) from error
    shape = shape_of_volumes(path, tuple(int(n) for n in reader.GetSize()))
    if reader.GetNumberOfComponents() != 1:
        raise InputError(Reason.UNSUPPORTED_KIND, f"{path}: colour or vector voxels; convert to scalars", [path])
    if math.prod(shape) > MAX_VOXELS:
        raise InputError(Reason.TOO_LARGE, f"{path}: claims {math.prod(shape):,} voxels", [path])
    affine = checked_affine(path, geometry.swap_ras_lps(_itk_affine_lps(path, reader)))
    return Opened(path, shape, affine, "itk", parts, lambda: _load(path, reader, shape))


def _load(path: Path, reader: SimpleITK.ImageFileReader, shape: tuple[int, int, int, int]) -> NDArray[Any]:
    """Voxels (I, J, K, volumes)."""
    import SimpleITK as sitk

    try:
        array: NDArray[Any] = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise unreadable(path, error) from error
    array = array.transpose().reshape(shape, order="F")
    return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array


def _data_files(path: Path) -> list[Path]:
    """As `files.data_files`; raises InputError when the file cannot be read or one that it names is missing."""
    try:
        named = files.data_files(path)
    except OSError as error:
        raise unreadable(path, error) from error
    missing = [part for part in named if not part.is_file()]
    if missing:
        raise InputError(
            Reason.TRUNCATED, f"{path}: its data file {missing[0]} is missing; copy it beside the header", [path]
        )
    return named


def _itk_affine_lps(path: Path, reader: SimpleITK.ImageFileReader) -> geometry.Affine:
    """Voxel -> LPS mm of the first three axes; raises InputError bad_affine when a further one is no axis apart."""
    count = reader.GetDimension()
    directions = np.reshape(reader.GetDirection(), (count, count))
    if np.abs(directions[:3, 3:]).max(initial=0) > SEPARATE or np.abs(directions[3:, :3]).max(initial=0) > SEPARATE:
        raise InputError(
            Reason.BAD_AFFINE, f"{path}: its fourth axis is not apart from space; split it into 3-D files", [path]
        )
    affine = np.eye(4)
    affine[:3, :3] = directions[:3, :3] * np.asarray(reader.GetSpacing()[:3])
    affine[:3, 3] = reader.GetOrigin()[:3]
    return affine
