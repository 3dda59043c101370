"""A volume file of any kind medimg reads, chosen by its name."""

from __future__ import annotations

from pathlib import Path

from medimg import files
from medimg.errors import InputError, Reason
from medimg.study import Source, Volume
from medimg.volumes.checks import check_range, check_voxels, time_series
from medimg.volumes.itk import open_itk
from medimg.volumes.nifti import open_nifti
from medimg.volumes.opened import Opened

NIFTI_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img")
"""Read with nibabel (.hdr/.img: NIfTI or ANALYZE pairs)."""

ITK_SUFFIXES = (".mha", ".mhd", ".nrrd", ".nhdr", ".gipl", ".gipl.gz", ".vtk")
"""Read with SimpleITK; GIPL and VTK are known only to be refused: neither can hold an orientation."""

VOLUME_SUFFIXES = NIFTI_SUFFIXES + ITK_SUFFIXES


def is_volume_file(path: Path) -> bool:
    """True when the name ends like a volume file medimg reads."""
    return path.name.lower().endswith(VOLUME_SUFFIXES)


def stem(path: Path) -> str:
    """File name without its volume suffix: "case.nii.gz" -> "case"."""
    for suffix in sorted(VOLUME_SUFFIXES, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


def open_volumes(path: Path) -> Opened:
    """The header of a volume file, 3-D or 4-D, checked; voxels are read by its `load`.

    Raises InputError: not_a_regular_file, not_a_volume_file, truncated, too_large, not_3d, time_series (more than four
    axes), no_geometry, bad_affine, unsupported_kind.
    """
    if not path.is_file():
        raise InputError(Reason.NOT_A_REGULAR_FILE, f"{path} is not a file; name a volume file", [path])
    if not is_volume_file(path):
        message = f"{path} is no volume file by its name; give NIfTI, NRRD or MetaImage"
        raise InputError(Reason.NOT_A_VOLUME_FILE, message, [path])
    return open_nifti(path) if path.name.lower().endswith(NIFTI_SUFFIXES) else open_itk(path)


def read_volume(path: Path) -> Volume:
    """Read a volume file: array (I, J, K) in the file's own voxel order, affine to RAS mm.

    Integers stay as stored; scaled or floating data become float32. `source.files` are the header and the files that
    hold its voxels; `source.sha256` covers them all.
    Raises InputError: not_a_volume_file, truncated, too_large, not_3d, time_series, no_geometry,
    bad_affine, non_finite_voxels, empty_volume, unsupported_kind.
    """
    volume = read_voxels(path)
    check_voxels(volume)
    return volume


def read_voxels(path: Path) -> Volume:
    """As `read_volume`, whatever the voxels are: one value everywhere, NaN and infinities too."""
    opened = open_volumes(path)
    if opened.shape[3] > 1:
        raise time_series(path, opened.shape)
    (volume,) = read_volumes(opened)
    return volume


def read_volumes(opened: Opened) -> list[Volume]:
    """Every volume of a 4-D file (the one of a 3-D file) as `read_volume` gives it, in the file's order.

    What a volume's voxels are worth is not looked at: see `check_voxels`. Raises InputError.
    """
    array = opened.load()
    check_range(opened.path, array)
    digest = files.sha256_of_files(opened.parts)
    source = Source(path=opened.path, kind=opened.kind, files=opened.parts, sha256=digest)
    parts = [array[..., number] for number in range(opened.shape[3])]
    return [Volume(part, opened.affine_ras, source, description=stem(opened.path)) for part in parts]
