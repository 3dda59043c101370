"""Where slices lie: order along their normal, even spacing, and one affine by least squares, shear kept.

Positions are LPS mm (PS3.3 section C.7.6.2). Only Image Position and Image Orientation are used: instance
numbers and slice locations lie too often.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg import geometry
from medimg.dicom.even import NoEvenGridError, even_grid
from medimg.dicom.header import Frame
from medimg.errors import InputError, Reason

SAME_POSITION_MM = 0.01
"""Slices closer than this along the normal are at one place; scanners write positions to 1e-3 mm or finer."""

RESIDUAL_MM = 0.01
"""How far a slice may lie from its place in the fitted grid, in mm ..."""

RESIDUAL_SPACING = 0.01
"""... or as a part of the slice spacing, whichever is more."""

MAX_SHEAR_DEGREES = 45.0
"""Gantries tilt by at most 30 degrees; slices that slide further along themselves are no stack."""

MISSING_FIT = 0.05
"""A gap within this part of a whole number of spacings means missing slices; any other is uneven spacing."""


ANOTHER_SPACING = 3
"""So many equal wide gaps in a row are a part of the scan with a spacing of its own, not missing slices."""


@dataclass(frozen=True)
class Stack:
    """Frames in slice order (along row x column) and their grid as dcm2niix stores it.

    affine_ras: voxel (i, j, k) -> RAS mm where i is the column, j runs opposite to the rows, k is the slice.
    at: where each frame lies among the `slices` of the grid: 0, 1, 2 ... unless they were not evenly spaced;
    uneven: the reason code of that.
    """

    frames: tuple[Frame, ...]
    affine_ras: geometry.Affine
    at: NDArray[np.float64]
    slices: int
    uneven: Reason | None = None


def positions(frames: Sequence[Frame]) -> NDArray[np.float64]:
    """Image positions, (N, 3) LPS mm."""
    return np.array([frame.position for frame in frames], dtype=np.float64)


def axes(frames: Sequence[Frame]) -> NDArray[np.float64]:
    """Mean orientation as rows: direction of growing column, of growing row, and their normal; (3, 3), unit, LPS."""
    mean = np.array([frame.orientation for frame in frames], dtype=np.float64).mean(axis=0)
    row = mean[:3] / np.linalg.norm(mean[:3])
    column = mean[3:] - row * (row @ mean[3:])
    column /= np.linalg.norm(column)
    return np.stack([row, column, np.cross(row, column)])


def along_normal(frames: Sequence[Frame]) -> NDArray[np.float64]:
    """Position of each frame along the common normal, (N,) mm."""
    return np.asarray(positions(frames) @ axes(frames)[2])


def places(frames: Sequence[Frame]) -> NDArray[np.int64]:
    """Number of the place of each frame along the normal, (N,): 0 for the lowest; repeats share a number."""
    depth = along_normal(frames)
    order = np.argsort(depth, kind="stable")
    steps = np.diff(depth[order]) > SAME_POSITION_MM
    result = np.empty(len(depth), dtype=np.int64)
    result[order] = np.concatenate([[0], np.cumsum(steps)])
    return result


def is_even(depth: NDArray[np.float64]) -> bool:
    """True when the sorted positions (N,) are evenly spaced; fewer than three always are."""
    gaps = np.diff(np.sort(depth))
    return bool(len(gaps) < 2 or np.abs(gaps - gaps.mean()).max() <= _tolerance(float(gaps.mean())))


def place(frames: Sequence[Frame], even_out: bool = False) -> Stack:
    """Sort the frames and fit their grid. even_out: give slices that are not evenly spaced the even grid nearest.

    Raises InputError: single_slice, duplicate_position, missing_slices, uneven_spacing, unsupported_kind (slices
    that slide along themselves).
    """
    if len(frames) < 2:
        raise _error(Reason.SINGLE_SLICE, "one slice makes no volume", frames)
    depth = along_normal(frames)
    order = np.argsort(depth, kind="stable")
    ordered = tuple(frames[index] for index in order)
    depth = depth[order]
    _check_distinct(ordered, depth)
    uneven, at = None, np.arange(len(ordered), dtype=np.float64)
    try:
        _check_spacing(ordered, depth)
        origin, step = _fit(ordered, at)
    except InputError as error:
        if not even_out:
            raise
        uneven, at = error.reason, _even_places(ordered, depth)
        origin, step = _fit(ordered, at)
    directions = axes(ordered)
    shear = np.degrees(np.arccos(min(1.0, abs(float(directions[2] @ step)) / float(np.linalg.norm(step)))))
    if shear > MAX_SHEAR_DEGREES:
        raise _error(Reason.UNSUPPORTED_KIND, f"slices are sheared by {shear:.0f} degrees", ordered)
    affine = _affine_ras(ordered[0], directions, origin, step)
    return Stack(ordered, affine, at, slices=max(round(float(at[-1])), 1) + 1, uneven=uneven)


def _tolerance(spacing: float) -> float:
    return max(RESIDUAL_MM, RESIDUAL_SPACING * abs(spacing))


def _even_places(frames: Sequence[Frame], depth: NDArray[np.float64]) -> NDArray[np.float64]:
    try:
        return even_grid(depth, RESIDUAL_MM, RESIDUAL_SPACING)
    except NoEvenGridError as error:
        raise _error(error.reason, str(error), frames) from error


def _check_distinct(frames: Sequence[Frame], depth: NDArray[np.float64]) -> None:
    """Raise when two of the sorted positions are one."""
    gaps = np.diff(depth)
    if gaps.min() <= SAME_POSITION_MM:
        worst = int(np.argmin(gaps))
        detail = f"different images at one position ({_names(frames[worst : worst + 2])})"
        raise _error(Reason.DUPLICATE_POSITION, detail, frames)


def _check_spacing(frames: Sequence[Frame], depth: NDArray[np.float64]) -> None:
    """Raise unless the sorted positions are even, telling missing slices from other unevenness."""
    if is_even(depth):
        return
    gaps = np.diff(depth)
    spacing = statistics.median(gaps[gaps < 1.5 * gaps.min()].tolist())
    steps = gaps / spacing
    missing = np.round(steps) - 1
    widest = int(np.argmax(gaps))
    where = f"between {frames[widest].path.name} and {frames[widest + 1].path.name}"
    whole = np.abs(steps - np.round(steps)).max() <= MISSING_FIT and missing.sum() > 0
    if whole and not _changes_for_good(missing):
        detail = f"{int(missing.sum())} slices missing, {gaps[widest]:.4g} mm {where}, elsewhere {spacing:.4g} mm"
        raise _error(Reason.MISSING_SLICES, detail, frames)
    detail = f"slices lie {gaps.min():.4g} to {gaps.max():.4g} mm apart, widest {where}"
    raise _error(Reason.UNEVEN_SPACING, detail, frames)


def _changes_for_good(missing: NDArray[np.float64]) -> bool:
    """True when a wide gap repeats as a spacing does (2.5 mm, then 5 mm). missing: slices each gap lacks, (N,)."""
    runs = itertools.groupby(missing.tolist())
    return any(lacking > 0 and len(list(gaps)) >= ANOTHER_SPACING for lacking, gaps in runs)


def _fit(frames: Sequence[Frame], at: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least-squares origin and step, (3,) each, of position = origin + at * step; at: (N,)."""
    points = positions(frames)
    k = at - at.mean()
    centre = points.mean(axis=0)
    step = k @ (points - centre) / (k @ k)
    residual = float(np.linalg.norm(points - centre - np.outer(k, step), axis=1).max())
    if residual > _tolerance(float(np.linalg.norm(step))):
        detail = f"slices lie up to {residual:.3g} mm off a straight, even stack"
        raise _error(Reason.UNEVEN_SPACING, detail, frames)
    return centre - at.mean() * step, step


def _affine_ras(
    frame: Frame, directions: NDArray[np.float64], origin: NDArray[np.float64], step: NDArray[np.float64]
) -> geometry.Affine:
    assert frame.pixel_spacing is not None
    between_rows, between_columns = frame.pixel_spacing
    lps = np.eye(4)
    lps[:3, 0] = directions[0] * between_columns
    lps[:3, 1] = -directions[1] * between_rows
    lps[:3, 2] = step
    # j = 0 is the last DICOM row
    lps[:3, 3] = origin + directions[1] * between_rows * (frame.rows - 1)
    return geometry.swap_ras_lps(lps)


def _names(frames: Sequence[Frame]) -> str:
    return ", ".join(dict.fromkeys(frame.path.name for frame in frames))


def _error(reason: Reason, detail: str, frames: Sequence[Frame]) -> InputError:
    return InputError(reason, detail, tuple(dict.fromkeys(frame.path for frame in frames)))
