"""NIfTI (and ANALYZE pairs that hold an orientation) through nibabel; gzip through isal."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medimg import files, geometry
from medimg.errors import InputError, Reason, UnstorableError
from medimg.volumes.checks import INT32, MAX_DEFLATE_RATIO, check_claim, checked_affine, shape_of_volumes, unreadable
from medimg.volumes.opened import Opened

GZIP_LEVEL = 1
"""isal's level 1: 8x faster than zlib-6 for 5 % more bytes (shared/reference/dicom.md section 2)."""

BLOCK_BYTES = 1 << 20
"""Voxels that one thread compresses at a time; each block may refer to the end of the one before."""

MAX_THREADS = 4
"""More than four threads outrun the disk, and the one that reads the slices."""

MM_PER_UNIT = {1: 1e3, 3: 1e-3}
"""xyzt_units & 7 -> mm: metre and micron; unknown (0) and mm (2) count as mm (nifti1.h, NIFTI_UNITS_*)."""

AGREEMENT_MM = 1.0
"""sform and qform agree when no corner of the grid lies further apart than this or half a voxel, whichever is more.

A qform holds no shear, so a sheared sform agrees with its own orthogonal part too, as nifti_mat44_to_quatern
(nifti1_io.c) computes it: the rotation nearest to the unit axes, by polar decomposition; same spacing and origin.
"""


def write_nifti(path: Path, array: NDArray[Any], affine_ras: ArrayLike, description: str = "") -> str:
    """Write array (I, J, K) with its voxel -> RAS mm affine as NIfTI-1, atomically; .gz by isal level 1 on all cores.

    64-bit integers are stored as int32, bool as uint8, float16 as float32: what other programs read.
    Returns the SHA-256 of the file, in hex. Raises UnstorableError when that would change a value or the array holds no
    numbers, OutputError when the file cannot be written.
    """
    import nibabel as nib

    array = _storable(path, array)
    image = nib.Nifti1Image(array, np.asarray(affine_ras, dtype=np.float64))
    header = image.header
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=0 if geometry.is_sheared(image.affine) else 1)
    header.set_xyzt_units("mm")
    header["descrip"] = description.encode("ascii", "replace")[:79]
    header.set_data_offset(352)
    block = header.binaryblock + b"\0\0\0\0"
    write = _compressed if path.name.endswith(".gz") else _plain
    stopped = threading.Event()
    with files.atomic_path(path) as temporary, files.hashed(temporary) as raw, ThreadPoolExecutor(1) as beside:
        # Ctrl-C reaches the main thread only; inside isal's stream it would lose a block that its threads wait for
        writing = beside.submit(write, raw, block, array, stopped)
        try:
            writing.result()
        finally:
            stopped.set()
    return raw.hexdigest()


def _plain(raw: files.HashedFile, header: bytes, array: NDArray[Any], stopped: threading.Event) -> None:
    _write_slices(raw.write, header, array, stopped)


def _compressed(raw: files.HashedFile, header: bytes, array: NDArray[Any], stopped: threading.Event) -> None:
    from isal import igzip_threaded

    # one member, whose blocks do not depend on the number of threads
    with igzip_threaded.open(raw, "wb", GZIP_LEVEL, threads=_threads(array), block_size=BLOCK_BYTES) as stream:
        _write_slices(stream.write, header, array, stopped)


def _threads(array: NDArray[Any]) -> int:
    """Compressing threads: as many as there are cores, and blocks for them."""
    return max(1, min(os.cpu_count() or 1, MAX_THREADS, array.nbytes // BLOCK_BYTES))


def _write_slices(write: Callable[[Any], Any], header: bytes, array: NDArray[Any], stopped: threading.Event) -> None:
    """The header and the slices, unless nobody waits for them any more."""
    write(header)
    for k in range(array.shape[2]):
        if stopped.is_set():
            return
        write(np.asfortranarray(array[:, :, k]).T.data)


def _storable(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    """The array in this machine's byte order and a type that every NIfTI reader knows, no value changed."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "b":
        return array.astype(np.uint8)
    if kind in "iu" and size == 8:
        if array.min() < INT32.min or array.max() > INT32.max:
            raise UnstorableError(f"cannot write {path.name}: values do not fit int32; convert them to float64")
        return array.astype(np.int32)
    if kind not in "iuf" or size > 8:
        raise UnstorableError(
            f"cannot write {path.name}: {array.dtype} is no NIfTI number; convert to int32 or float32"
        )
    target = np.dtype(np.float32) if array.dtype == np.float16 else array.dtype.newbyteorder("=")
    return array.astype(target, copy=False)


def open_nifti(path: Path) -> Opened:
    """Read and check the header. Raises InputError; see `read_volume`."""
    import nibabel as nib

    with _mapped(path):
        image: Any = nib.load(path)
        shape = shape_of_volumes(path, tuple(int(n) for n in image.shape))
        dtype = np.dtype(image.get_data_dtype())
        if dtype.kind not in "iuf":
            raise InputError(
                Reason.UNSUPPORTED_KIND, f"{path}: voxels are {dtype}, not plain numbers; convert to scalars", [path]
            )
        check_claim(path, shape, dtype.itemsize, _possible_bytes(path))
        affine = _nifti_affine(path, image, shape[:3])
    # header before image; a .nii is both
    parts = (Path(image.file_map[role].filename) for role in ("header", "image") if role in image.file_map)
    return Opened(path, shape, affine, "nifti", tuple(dict.fromkeys(parts)), lambda: _load(path, image, shape, dtype))


def _possible_bytes(path: Path) -> int:
    """How many bytes of voxels the file, or the .img half of a pair, can give."""
    holder = path.with_suffix(".img") if path.suffix.lower() == ".hdr" else path
    return holder.stat().st_size * (MAX_DEFLATE_RATIO if path.name.lower().endswith(".gz") else 1)


def _load(path: Path, image: Any, shape: tuple[int, int, int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Voxels (I, J, K, volumes), scaled as the header says."""
    with _mapped(path):
        return _scaled(_stored_voxels(path, image, shape, dtype), image.dataobj.slope, image.dataobj.inter)


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[None]:
    """Turn what nibabel and gzip raise into InputError."""
    import nibabel as nib

    try:
        yield
    except (
        EOFError,
        zlib.error,
        ValueError,
        OSError,
        OverflowError,
        nib.spatialimages.HeaderDataError,
        nib.filebasedimages.ImageFileError,
    ) as error:
        raise unreadable(path, error) from error


def _stored_voxels(path: Path, image: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Unscaled voxels of that shape, Fortran order as on disk."""
    if not path.name.lower().endswith(".gz"):
        return np.asarray(image.dataobj.get_unscaled()).reshape(shape, order="F")
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
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, which `check_voxels` refuses
        array: NDArray[Any] = stored.astype(np.float32)
    if (slope, intercept) != (1.0, 0.0):
        array *= np.float32(slope)
        array += np.float32(intercept)
    return array


def _nifti_affine(path: Path, image: Any, shape: Sequence[int]) -> geometry.Affine:
    header = image.header
    # ANALYZE and both codes 0 (NIfTI-1 "method 1"): the standard gives no orientation, and we do not guess one
    if "sform_code" not in header or (int(header["sform_code"]) <= 0 and int(header["qform_code"]) <= 0):
        raise InputError(
            Reason.NO_GEOMETRY, f"{path}: the header holds no orientation (qform and sform unset); set one", [path]
        )
    to_mm = MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
    world = np.diag([to_mm, to_mm, to_mm, 1.0])
    affine = checked_affine(path, world @ image.affine)
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
