"""Volume files other than DICOM: NIfTI through nibabel, the rest (.mha, .nrrd, ...) through SimpleITK.

A file becomes a sound `Volume` or an InputError with a reason code; nothing is read before its
claimed size has been held against the file's.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medimg import files, geometry
from medimg.errors import InputError, OutputError, Reason
from medimg.study import Source, Volume

if TYPE_CHECKING:
    import SimpleITK

NIFTI_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img")
"""Read with nibabel (.hdr/.img: NIfTI or ANALYZE pairs)."""

ITK_SUFFIXES = (".mha", ".mhd", ".nrrd", ".nhdr", ".gipl", ".gipl.gz", ".vtk")
"""Read with SimpleITK."""

VOLUME_SUFFIXES = NIFTI_SUFFIXES + ITK_SUFFIXES

MAX_VOXELS = 1 << 31
"""More than any clinical scan (512 x 512 x 8192); float32 copies of it would not fit most machines."""

MAX_DEFLATE_RATIO = 1032
"""Deflate cannot expand by more (RFC 1951: 258 bytes from two bits); a larger claim means a truncated file."""

GZIP_LEVEL = 1
"""isal's level 1: 8x faster than zlib-6 for 5 % more bytes (shared/reference/dicom.md section 2)."""

DAMAGE_WORDS = (
    "end-of-stream",
    "end of file",
    "expected",
    "truncat",
    "premature",
    "crc",
    "invalid block",
    "completely",
)
"""Parts of the messages with which gzip, nibabel and ITK report a file that ends early or fails its checksum."""

MM_PER_UNIT = {1: 1e3, 3: 1e-3}
"""xyzt_units & 7 -> mm: metre and micron; unknown (0) and mm (2) count as mm (nifti1.h, NIFTI_UNITS_*)."""

AGREEMENT_MM = 1.0
"""sform and qform agree when no corner of the grid lies further apart than this or half a voxel, whichever is more.

A qform holds no shear, so a sheared sform agrees with its own orthogonal part too, as nifti_mat44_to_quatern
(nifti1_io.c) computes it: the rotation nearest to the unit axes, by polar decomposition; same spacing and origin.
"""

INT32 = np.iinfo(np.int32)

MIN_SLICES = 2
"""Fewer along any axis is a picture, not a volume."""


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
    if not path.is_file():
        raise InputError(Reason.NOT_A_REGULAR_FILE, f"{path} is not a file; name a volume file", [path])
    reader = _read_nifti if path.name.lower().endswith(NIFTI_SUFFIXES) else _read_itk
    array, affine_ras, kind, parts = reader(path)
    source = Source(path=path, kind=kind, files=parts, sha256=files.sha256_of_files(parts))
    volume = Volume(array=array, affine_ras=affine_ras, source=source, description=stem(path))
    check_voxels(volume)
    return volume


def check_voxels(volume: Volume) -> None:
    """Raise InputError when voxels are NaN or infinite, or all the same."""
    where = volume.source.path
    if np.issubdtype(volume.array.dtype, np.floating):
        # a sum is non-finite when any voxel is; only then is a mask worth its memory
        with np.errstate(invalid="ignore", over="ignore"):
            total = volume.array.sum(dtype=np.float64)
        if not math.isfinite(total):
            bad = int(np.count_nonzero(~np.isfinite(volume.array)))
            raise InputError(
                Reason.NON_FINITE_VOXELS,
                f"{where}: {bad} voxels are NaN or infinite; replace them by the value outside the scanned field",
                [where],
            )
    if volume.array.min() == volume.array.max():
        raise InputError(Reason.EMPTY_VOLUME, f"{where}: every voxel has one value; there is nothing to see", [where])


def write_nifti(path: Path, array: NDArray[Any], affine_ras: ArrayLike, description: str = "") -> None:
    """Write array (I, J, K) with its voxel -> RAS mm affine as NIfTI-1, atomically; .gz by isal level 1.

    64-bit integers are stored as int32, bool as uint8, float16 as float32: what other programs read.
    Raises OutputError when that would change a value, or the array holds no numbers.
    """
    import nibabel as nib

    array = _storable(path, array)
    image = nib.Nifti1Image(array, np.asarray(affine_ras, dtype=np.float64))
    header = image.header
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=0 if _is_sheared(image.affine) else 1)
    header.set_xyzt_units("mm")
    header["descrip"] = description.encode("ascii", "replace")[:79]
    header.set_data_offset(352)
    block = header.binaryblock + b"\0\0\0\0"
    with files.atomic_path(path) as temporary, temporary.open("wb") as raw:
        if path.name.endswith(".gz"):
            from isal import igzip

            with igzip.IGzipFile(filename="", fileobj=raw, mode="wb", compresslevel=GZIP_LEVEL, mtime=0) as stream:
                _write_slices(stream.write, block, array)
        else:
            _write_slices(raw.write, block, array)


def _write_slices(write: Callable[[bytes], Any], header: bytes, array: NDArray[Any]) -> None:
    write(header)
    for k in range(array.shape[2]):
        write(array[:, :, k].tobytes(order="F"))


def _storable(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    """The array in this machine's byte order and a type that every NIfTI reader knows, no value changed."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "b":
        return array.astype(np.uint8)
    if kind in "iu" and size == 8:
        if array.min() < INT32.min or array.max() > INT32.max:
            raise OutputError(f"cannot write {path}: values do not fit int32; convert them to float64")
        return array.astype(np.int32)
    if kind not in "iuf" or size > 8:
        raise OutputError(f"cannot write {path}: {array.dtype} is no NIfTI number; convert to int32 or float32")
    target = np.dtype(np.float32) if array.dtype == np.float16 else array.dtype.newbyteorder("=")
    return array.astype(target, copy=False)


def _is_sheared(affine: ArrayLike) -> bool:
    axes = np.asarray(affine)[:3, :3] / geometry.spacing_mm(affine)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > 1e-4)


def _read_nifti(path: Path) -> tuple[NDArray[Any], geometry.Affine, str, tuple[Path, ...]]:
    import nibabel as nib

    try:
        image: Any = nib.load(path)
        shape = _shape_of_3d(path, tuple(int(n) for n in image.shape))
        dtype = np.dtype(image.get_data_dtype())
        if dtype.kind not in "iuf":
            raise InputError(
                Reason.UNSUPPORTED_KIND, f"{path}: voxels are {dtype}, not plain numbers; convert to scalars", [path]
            )
        _check_claim(path, shape, dtype.itemsize)
        affine = _nifti_affine(path, image, shape)
        array = _scaled(_stored_voxels(path, image, shape, dtype), image.dataobj.slope, image.dataobj.inter)
    except InputError:
        raise
    except (
        EOFError,
        zlib.error,
        ValueError,
        OSError,
        nib.spatialimages.HeaderDataError,
        nib.filebasedimages.ImageFileError,
    ) as error:
        raise _unreadable(path, error) from error
    # header before image; a .nii is both
    parts = (Path(image.file_map[role].filename) for role in ("header", "image") if role in image.file_map)
    return array, affine, "nifti", tuple(dict.fromkeys(parts))


def _stored_voxels(path: Path, image: Any, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Unscaled voxels (I, J, K), Fortran order as on disk."""
    if not path.name.lower().endswith(".gz"):
        return np.asarray(image.dataobj.get_unscaled()).reshape(shape)
    from isal import igzip

    wanted = math.prod(shape) * dtype.itemsize
    with igzip.open(path, "rb") as stream:
        stream.read(int(image.dataobj.offset))
        data = stream.read(wanted)
        if len(data) == wanted:
            stream.read(1)  # reaches the trailer, so that the checksum is verified
    if len(data) < wanted:
        raise EOFError(f"{len(data)} of {wanted} bytes of voxels")
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F")


def _scaled(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    if (slope, intercept) == (1.0, 0.0) and stored.dtype.kind in "iu":
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)
    array: NDArray[Any] = stored.astype(np.float32)
    if (slope, intercept) != (1.0, 0.0):
        array *= np.float32(slope)
        array += np.float32(intercept)
    return array


def _nifti_affine(path: Path, image: Any, shape: tuple[int, int, int]) -> geometry.Affine:
    header = image.header
    # ANALYZE and both codes 0 (NIfTI-1 "method 1"): the standard gives no orientation, and we do not guess one
    if "sform_code" not in header or (int(header["sform_code"]) <= 0 and int(header["qform_code"]) <= 0):
        raise InputError(
            Reason.NO_GEOMETRY, f"{path}: the header holds no orientation (qform and sform unset); set one", [path]
        )
    to_mm = MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
    world = np.diag([to_mm, to_mm, to_mm, 1.0])
    affine = _checked_affine(path, world @ image.affine)
    if int(header["sform_code"]) > 0 and int(header["qform_code"]) > 0:
        _check_agreement(path, shape, affine, world @ header.get_qform())
    return affine


def _check_agreement(path: Path, shape: Sequence[int], sform: geometry.Affine, qform: geometry.Affine) -> None:
    """Raise InputError bad_affine when the two orientations, (4, 4) to RAS mm, put the grid into different places."""
    tolerance = max(AGREEMENT_MM, float(geometry.spacing_mm(sform).min()) / 2)
    if not any(geometry.same_grid(shape, qform, shape, same, tolerance) for same in (sform, _without_shear(sform))):
        raise InputError(
            Reason.BAD_AFFINE,
            f"{path}: sform ({_told(sform)}) and qform ({_told(qform)}) put the grid more than {tolerance:.2g} mm "
            "apart; set the code of the wrong one to 0",
            [path],
        )


def _told(affine: geometry.Affine) -> str:
    """Axes and origin of an affine in words."""
    if not geometry.is_usable(affine):
        return "unusable"
    return f"{geometry.axis_codes(affine)}, origin {', '.join(f'{value:.1f}' for value in affine[:3, 3])}"


def _without_shear(affine: geometry.Affine) -> geometry.Affine:
    """The affine with its axes turned as little as makes them orthogonal; spacing and origin kept. (4, 4)."""
    spacing = geometry.spacing_mm(affine)
    left, _stretch, right = np.linalg.svd(affine[:3, :3] / spacing)
    result: geometry.Affine = np.array(affine, dtype=np.float64)
    result[:3, :3] = (left @ right) * spacing
    return result


def _checked_affine(path: Path, affine: ArrayLike) -> geometry.Affine:
    matrix = np.asarray(affine, dtype=np.float64)
    if not geometry.is_usable(matrix):
        raise InputError(
            Reason.BAD_AFFINE, f"{path}: the affine is zero, singular or not finite; repair the header", [path]
        )
    return matrix


def _shape_of_3d(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int]:
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 3:
        raise InputError(
            Reason.TIME_SERIES,
            f"{path}: {len(shape)}-D image {'x'.join(map(str, shape))} (a time series or several channels); "
            "split it into 3-D files",
            [path],
        )
    if len(shape) < 3 or min(shape) < MIN_SLICES:
        raise InputError(
            Reason.NOT_3D, f"{path}: {'x'.join(map(str, shape))} is a 2-D image; a 3-D volume is needed", [path]
        )
    i, j, k = shape
    return (i, j, k)


def _check_claim(path: Path, shape: tuple[int, int, int], item_bytes: int) -> None:
    """Refuse a header that claims more voxels than any scan has, or than the file can hold."""
    voxels = math.prod(shape)
    if voxels > MAX_VOXELS:
        raise InputError(
            Reason.TOO_LARGE, f"{path}: the header claims {voxels:,} voxels, more than {MAX_VOXELS:,}", [path]
        )
    compressed = path.name.lower().endswith(".gz")
    holder = path.with_suffix(".img") if path.suffix.lower() == ".hdr" else path
    size = holder.stat().st_size * (MAX_DEFLATE_RATIO if compressed else 1)
    if voxels * item_bytes > size:
        raise InputError(
            Reason.TRUNCATED,
            f"{path}: the header claims {voxels:,} voxels, the file cannot hold them; copy it again",
            [path],
        )


def _read_itk(path: Path) -> tuple[NDArray[Any], geometry.Affine, str, tuple[Path, ...]]:
    import SimpleITK as sitk

    parts = (path, *_data_files(path))
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        shape = _shape_of_3d(path, tuple(int(n) for n in reader.GetSize()))
        if reader.GetNumberOfComponents() != 1:
            raise InputError(Reason.UNSUPPORTED_KIND, f"{path}: colour or vector voxels; convert to scalars", [path])
        if math.prod(shape) > MAX_VOXELS:
            raise InputError(Reason.TOO_LARGE, f"{path}: claims {math.prod(shape):,} voxels", [path])
        image = _without_unit_axes(sitk, reader.Execute())
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    array = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
    return array, _checked_affine(path, geometry.swap_ras_lps(_itk_affine_lps(image))), "itk", parts


def _data_files(path: Path) -> list[Path]:
    """As `files.data_files`; raises InputError when the file cannot be read or one that it names is missing."""
    try:
        named = files.data_files(path)
    except OSError as error:
        raise _unreadable(path, error) from error
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


def _unreadable(path: Path, error: Exception) -> InputError:
    """Map a reader's own exception: cut short when it says so, otherwise not a volume file at all."""
    text = str(error).replace("\n", " ")
    damaged = isinstance(error, (EOFError, zlib.error)) or any(word in text.lower() for word in DAMAGE_WORDS)
    if damaged:
        return InputError(Reason.TRUNCATED, f"{path}: the file ends too early or is damaged; copy it again", [path])
    known = ", ".join(VOLUME_SUFFIXES)
    return InputError(Reason.NOT_A_VOLUME_FILE, f"{path} is not a volume file medimg reads ({known})", [path])
