"""A volume file of any kind medimg reads, chosen by its name."""

from __future__ import annotations

from pathlib import Path

from medimg import files
from medimg.errors import InputError, Reason
from medimg.study import Source, Volume
from medimg.volumes.checks import check_voxels
from medimg.volumes.itk import read_itk
from medimg.volumes.nifti import read_nifti

NIFTI_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img")
"""Read with nibabel (.hdr/.img: NIfTI or ANALYZE pairs)."""

ITK_SUFFIXES = (".mha", ".mhd", ".nrrd", ".nhdr", ".gipl", ".gipl.gz", ".vtk")
"""Read with SimpleITK."""

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
    if not path.is_file():
        raise InputError(Reason.NOT_A_REGULAR_FILE, f"{path} is not a file; name a volume file", [path])
    reader = read_nifti if path.name.lower().endswith(NIFTI_SUFFIXES) else read_itk
    array, affine_ras, kind, parts = reader(path)
    source = Source(path=path, kind=kind, files=parts, sha256=files.sha256_of_files(parts))
    return Volume(array=array, affine_ras=affine_ras, source=source, description=stem(path))
