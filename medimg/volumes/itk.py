"""MetaImage, NRRD and what else SimpleITK reads."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medimg import files, geometry
from medimg.errors import InputError, Reason
from medimg.volumes.checks import MAX_VOXELS, checked_affine, shape_of_3d, unreadable

if TYPE_CHECKING:
    import SimpleITK


def read_itk(path: Path) -> tuple[NDArray[Any], geometry.Affine, str, tuple[Path, ...]]:
    """Array (I, J, K), affine to RAS mm, "itk", and the files read. Raises InputError; see `read_volume`."""
    import SimpleITK as sitk

    parts = (path, *_data_files(path))
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        shape = shape_of_3d(path, tuple(int(n) for n in reader.GetSize()))
        if reader.GetNumberOfComponents() != 1:
            raise InputError(Reason.UNSUPPORTED_KIND, f"{path}: colour or vector voxels; convert to scalars", [path])
        if math.prod(shape) > MAX_VOXELS:
            raise InputError(Reason.TOO_LARGE, f"{path}: claims {math.prod(shape):,} voxels", [path])
        image = _without_unit_axes(sitk, reader.Execute())
    except RuntimeError as error:
        raise unreadable(path, error) from error
    array = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
    return array, checked_affine(path, geometry.swap_ras_lps(_itk_affine_lps(image))), "itk", parts


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


def _without_unit_axes(sitk: Any, image: SimpleITK.Image) -> SimpleITK.Image:
    while image.GetDimension() > 3:
        image = sitk.Extract(image, [*image.GetSize()[:-1], 0], [0] * image.GetDimension())
    return image


def _itk_affine_lps(image: SimpleITK.Image) -> geometry.Affine:
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return affine
