"""From placed frames to one voxel array: per-slice rescaling, padding to air, whole numbers kept exactly."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.dicom.decode import PixelReader, stored_values
from medimg.dicom.header import Frame
from medimg.dicom.place import Stack
from medimg.errors import InputError, Reason

WHOLE_NUMBERS: tuple[tuple[type[Any], float, float], ...] = (
    (np.int16, -(2.0**15), 2.0**15 - 1),
    (np.float32, -(2.0**24), 2.0**24),
    (np.int32, -(2.0**31), 2.0**31 - 1),
    (np.float64, -(2.0**53), 2.0**53),
)
"""Types for whole numbers, each with the range in which it holds every one of them; the first that fits is taken."""

AIR_HU = -1000
"""Air, by the definition of the Hounsfield scale; what padding outside the scanned circle becomes."""

TISSUE_HU = (-1000.0, 3071.0)
"""Range of the 12-bit CT scale above air. Padding values inside it are left: they may be real tissue."""


def assemble(stack: Stack, modality: str, reader: PixelReader) -> tuple[NDArray[Any], str]:
    """Voxels (I, J, K) on the stack's grid, and their `digest`. CT in HU.

    Whole numbers are kept exactly, in the first of WHOLE_NUMBERS that holds them; other values are float32.
    One slice at a time is held besides the result. Raises InputError as PixelReader.words and check_rescale do,
    non_finite_voxels, empty_volume.
    """
    frames = stack.frames
    check_rescale(frames, modality)
    whole = all(_is_integral(frame) for frame in frames)
    dtype = np.int16 if whole else np.float32
    reader.expect(frames)
    slices: NDArray[Any] = np.empty((len(frames), frames[0].rows, frames[0].columns), dtype)
    ends: list[Any] = []
    # sha256 takes as long as reading does, and runs beside it
    with ThreadPoolExecutor(1) as beside:
        hashed = _started(stack, slices.dtype)
        for k, frame in enumerate(frames):
            words = reader.words(frame)
            stored = stored_values(words, frame.format)
            padded = _padding(words, stored, frame) if modality == "CT" else None
            if padded is not None:
                stored = stored.copy()
                stored[padded] = 0
            if whole and (wider := _wider(slices.dtype, stored, frame)):
                slices = slices.astype(wider)
                hashed = _started(stack, slices.dtype)
                beside.submit(hashed.update, slices[:k].data)
            _rescale(stored[::-1], frame, slices[k])
            if padded is not None:
                slices[k][padded[::-1]] = AIR_HU
            beside.submit(hashed.update, slices[k].data)
            ends += (slices[k].min(), slices[k].max())
    _check_values(ends, frames)
    return np.asarray(slices.transpose(2, 1, 0)), str(hashed.hexdigest())


def digest(stack: Stack, array: NDArray[Any]) -> str:
    """SHA-256 over SOP Instance UIDs with frame numbers, affine and voxels in slice order: what was read, not how."""
    result = _started(stack, array.dtype)
    for k in range(array.shape[2]):
        result.update(np.ascontiguousarray(array[:, :, k].T).data)
    return str(result.hexdigest())


def _started(stack: Stack, dtype: np.dtype[Any]) -> hashlib._Hash:
    """The digest up to where the voxels begin."""
    result = hashlib.sha256()
    for frame in stack.frames:
        result.update(f"{frame.sop_uid}#{frame.number}\n".encode())
    result.update(stack.affine_ras.astype("<f8").tobytes())
    result.update(dtype.str.encode())
    return result


def scaling(frame: Frame) -> tuple[float, float]:
    """Slope and intercept of the frame; absent means identity (PS3.3 section C.11.1)."""
    return (1.0 if frame.slope is None else frame.slope, frame.intercept or 0.0)


def check_rescale(frames: Sequence[Frame], modality: str) -> None:
    """Raise InputError no_rescale for one volume's frames when nobody can say what their values are.

    So for a slope of 0 or what is no number; a CT without intercept, a PET without slope (type 1 in PS3.3 sections
    C.8.2.1 and C.8.9.4); and a slope or intercept that only some of the frames have.
    """
    senseless = [frame for frame in frames if scaling(frame)[0] == 0 or not all(map(math.isfinite, scaling(frame)))]
    _refuse(senseless, "Rescale Slope or Intercept is no number, or the slope is 0")
    slopeless = [frame for frame in frames if frame.slope is None]
    bare = [frame for frame in frames if frame.intercept is None]
    _refuse(bare if modality == "CT" else [], "a CT without Rescale Intercept has no Hounsfield units")
    _refuse(slopeless if modality == "PT" else [], "a PET without Rescale Slope has no activity")
    _refuse(slopeless if len(slopeless) < len(frames) else [], "no Rescale Slope, which other slices have")
    _refuse(bare if len(bare) < len(frames) else [], "no Rescale Intercept, which other slices have")


def _refuse(frames: Sequence[Frame], why: str) -> None:
    """Raise InputError no_rescale for the frames, unless there are none."""
    if frames:
        paths = list(dict.fromkeys(frame.path for frame in frames))
        raise InputError(Reason.NO_RESCALE, f"{paths[0].name}: {why}", paths)


def _check_values(extremes: Sequence[Any], frames: tuple[Frame, ...]) -> None:
    """Raise InputError where voxels are NaN or infinite, or all the same: the slices' extremes show it."""
    ends = (float(np.min(extremes)), float(np.max(extremes)))
    paths = list(dict.fromkeys(frame.path for frame in frames))
    if not all(map(math.isfinite, ends)):
        raise InputError(Reason.NON_FINITE_VOXELS, "rescaled voxels are too large for float32", paths)
    if ends[0] == ends[1]:
        raise InputError(Reason.EMPTY_VOLUME, f"every voxel is {ends[0]:g}; there is nothing to see", paths)


def _is_integral(frame: Frame) -> bool:
    slope, intercept = scaling(frame)
    return slope.is_integer() and intercept.is_integer() and abs(slope) <= 1 << 15 and abs(intercept) <= 1 << 32


def _wider(dtype: np.dtype[Any], stored: NDArray[Any], frame: Frame) -> type[Any] | None:
    """The first type that holds these and all values so far, which are whole numbers of `dtype`; None for that one."""
    slope, intercept = scaling(frame)
    ends = [int(stored.min()) * slope + intercept, int(stored.max()) * slope + intercept]
    known = [kind for kind, _low, _high in WHOLE_NUMBERS].index(dtype.type)
    fitting = (kind for kind, low, high in WHOLE_NUMBERS[known:] if low <= min(ends) and max(ends) <= high)
    found = next(fitting)
    return None if found is dtype.type else found


def _rescale(stored: NDArray[Any], frame: Frame, out: NDArray[Any]) -> None:
    """out = stored * slope + intercept, rounded once; int16 wraps, which is exact because the result fits."""
    slope, intercept = scaling(frame)
    if out.dtype == np.int16:
        wrapped = stored.astype(np.int16, copy=False)
        if slope != 1.0:
            wrapped = wrapped * _wrapped(slope)
        np.add(wrapped, _wrapped(intercept), out=out)
        return
    values = np.multiply(stored, slope, dtype=np.float64)
    values += intercept
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and told of
        out[...] = values


def _wrapped(value: float) -> np.int16:
    """The last 16 bits of a whole number."""
    wrapped: np.int16 = np.int64(value).astype(np.int16)
    return wrapped


def _padding(words: NDArray[Any], stored: NDArray[Any], frame: Frame) -> NDArray[np.bool_] | None:
    """Mask (rows, columns) of padding whose values lie outside the CT scale; None when there is none.

    Padding is looked for among the raw words, which may be beyond the stored bits, a range among stored values too.
    """
    if frame.padding is None:
        return None
    low, high = frame.padding
    typed = words.view(stored.dtype)
    if low == high:
        mask = words == low % (1 << words.dtype.itemsize * 8)
        one = np.unravel_index(mask.argmax(), mask.shape)
        return mask if mask[one] and _beyond_tissue(stored[one], typed[one], frame) else None
    mask = ((stored >= low) & (stored <= high)) | ((typed >= low) & (typed <= high))
    mask[mask] = _beyond_tissue(stored[mask], typed[mask], frame)
    return mask if mask.any() else None


def _beyond_tissue(stored: Any, typed: Any, frame: Frame) -> Any:
    """Whether, and element by element where they are arrays, one of the two gives a value outside TISSUE_HU."""
    slope, intercept = scaling(frame)
    values = np.stack([stored, typed]) * np.float64(slope) + intercept
    return ((values < TISSUE_HU[0]) | (values > TISSUE_HU[1])).any(axis=0)
