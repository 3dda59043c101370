"""What every volume must be, whichever reader it came through: 3-D, placed, finite, and no larger than it claims."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medimg import geometry
from medimg.errors import InputError, Reason
from medimg.study import Volume

MAX_VOXELS = 1 << 31
"""More than any clinical scan (512 x 512 x 8192); float32 copies of it would not fit most machines."""

MAX_DEFLATE_RATIO = 1032
"""Deflate cannot expand by more (RFC 1951: 258 bytes from two bits); a larger claim means a truncated file."""

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

INT32 = np.iinfo(np.int32)

MIN_SLICES = 2
"""Fewer along any axis is a picture, not a volume."""


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


def checked_affine(path: Path, affine: ArrayLike) -> geometry.Affine:
    """The affine as float64. Raises InputError bad_affine when it is zero, singular or not finite."""
    matrix = np.asarray(affine, dtype=np.float64)
    if not geometry.is_usable(matrix):
        raise InputError(
            Reason.BAD_AFFINE, f"{path}: the affine is zero, singular or not finite; repair the header", [path]
        )
    return matrix


def shape_of_volumes(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """(I, J, K, volumes) of a 3-D or 4-D image; more axes must have a length of one.

    Raises InputError time_series for more axes than four, not_3d.
    """
    while len(shape) > 4 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 4:
        raise time_series(path, shape)
    if len(shape) < 3 or min(shape[:3]) < MIN_SLICES or min(shape) < 1:
        raise InputError(
            Reason.NOT_3D, f"{path}: {'x'.join(map(str, shape))} is a 2-D image; a 3-D volume is needed", [path]
        )
    i, j, k = shape[:3]
    return (i, j, k, shape[3] if len(shape) == 4 else 1)


def time_series(path: Path, shape: tuple[int, ...]) -> InputError:
    """The refusal of an image that is not one volume."""
    return InputError(
        Reason.TIME_SERIES,
        f"{path}: {len(shape)}-D image {'x'.join(map(str, shape))} (a time series or several channels); "
        "split it into 3-D files",
        [path],
    )


def check_claim(path: Path, shape: tuple[int, ...], item_bytes: int, possible_bytes: float) -> None:
    """Refuse a header that claims more voxels than any scan has, or than what is stored can become."""
    voxels = math.prod(shape)
    if voxels > MAX_VOXELS:
        raise InputError(
            Reason.TOO_LARGE, f"{path}: the header claims {voxels:,} voxels, more than {MAX_VOXELS:,}", [path]
        )
    if voxels * item_bytes > possible_bytes:
        raise InputError(
            Reason.TRUNCATED,
            f"{path}: the header claims {voxels:,} voxels, the file cannot hold them; copy it again",
            [path],
        )


def check_range(path: Path, array: NDArray[Any]) -> None:
    """Raise InputError unsupported_kind for whole numbers that no NIfTI reader takes: 64 bits, beyond int32."""
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 8 or array.size == 0:
        return
    if array.min() < INT32.min or array.max() > INT32.max:
        message = f"{path}: {array.dtype} voxels beyond the range of int32; save them as floats or 32-bit integers"
        raise InputError(Reason.UNSUPPORTED_KIND, message, [path])


def unreadable(path: Path, error: Exception) -> InputError:
    """Map a reader's own exception: cut short when it says so, otherwise not a volume file at all."""
    text = str(error).replace("\n", " ")
    damaged = isinstance(error, (EOFError, zlib.error)) or any(word in text.lower() for word in DAMAGE_WORDS)
    if damaged:
        return InputError(Reason.TRUNCATED, f"{path}: the file ends too early or is damaged; copy it again", [path])
    return InputError(Reason.NOT_A_VOLUME_FILE, f"{path} is not a volume file of the kind its name says", [path])
