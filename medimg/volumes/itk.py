"""MetaImage and NRRD: where their voxels lie is told by the header's own words, the voxels come through SimpleITK."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medimg import geometry
from medimg.errors import InputError, Reason
from medimg.volumes.checks import MAX_DEFLATE_RATIO, check_claim, checked_affine, shape_of_volumes, unreadable
from medimg.volumes.detached import TextHeader, check_packed
from medimg.volumes.metaimage import read_metaimage_header
from medimg.volumes.nrrd import read_nrrd_header
from medimg.volumes.opened import Opened
from medimg.volumes.quiet import quiet_stderr

if TYPE_CHECKING:
    import SimpleITK


SEPARATE = 1e-6
"""How far a direction cosine between the axes of space and a further axis (time) may be from zero."""


FORMATS: dict[str, tuple[str, Callable[[Path], TextHeader]]] = {
    ".mha": ("MetaImageIO", read_metaimage_header),
    ".mhd": ("MetaImageIO", read_metaimage_header),
    ".nrrd": ("NrrdImageIO", read_nrrd_header),
    ".nhdr": ("NrrdImageIO", read_nrrd_header),
}
"""Suffix -> SimpleITK's reader, which is given no other to fall back on, and ours of the header."""


def open_itk(path: Path) -> Opened:
    """Read and check the header. Raises InputError; see `read_volume`."""
    import SimpleITK as sitk

    if path.suffix.lower() not in FORMATS:
        message = f"{path}: GIPL and VTK files cannot hold an orientation; export the original as NIfTI or NRRD"
        raise InputError(Reason.NO_GEOMETRY, message, [path])
    image_io, read_header = FORMATS[path.suffix.lower()]
    try:
        header = read_header(path)
    except OSError as error:
        raise unreadable(path, error) from error
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    reader = sitk.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    try:
        with quiet_stderr:
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise unreadable(path, error) from error
    shape = shape_of_volumes(path, tuple(int(n) for n in reader.GetSize()))
    if reader.GetNumberOfComponents() != 1:
        raise InputError(Reason.UNSUPPORTED_KIND, f"{path}: colour or vector voxels; convert to scalars", [path])
    check_claim(path, shape, _item_bytes(reader), header.stored_bytes * _expansion(header))
    affine = checked_affine(path, geometry.swap_ras_lps(header.world_to_mm @ _itk_affine_lps(path, reader)))
    return Opened(path, shape, affine, "itk", (path, *header.data_files), lambda: _load(path, reader, shape, header))


def _item_bytes(reader: SimpleITK.ImageFileReader) -> int:
    """Bytes of one voxel; the least there may be where SimpleITK's name of the type has no width."""
    import SimpleITK as sitk

    name = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    match = re.search(r"(\d+)-bit", name)
    return int(match[1]) // 8 if match else 1


def _expansion(header: TextHeader) -> float:
    """How many bytes of voxels a stored byte may become."""
    if header.packed is None:
        return 1
    return MAX_DEFLATE_RATIO if header.packed == "zlib" else math.inf


def _load(
    path: Path, reader: SimpleITK.ImageFileReader, shape: tuple[int, int, int, int], header: TextHeader
) -> NDArray[Any]:
    """Voxels (I, J, K, volumes)."""
    import SimpleITK as sitk

    if header.packed == "zlib":
        check_packed(path, header, math.prod(shape) * _item_bytes(reader))
    try:
        with quiet_stderr:
            array: NDArray[Any] = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise unreadable(path, error) from error
    array = array.transpose().reshape(shape, order="F")
    return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array


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
