"""The even grid for slices that are not evenly spaced: how far apart its slices lie, and where each slice falls."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medimg.errors import Reason

SAME_GAP = 0.05
"""Sorted distances that grow by no more than this part from one to the next are one spacing, written with jitter."""

BODY_PART = 0.1
"""A spacing belongs to the body of the stack, and is no accident, when this part of all distances has it ..."""

BODY_COUNT = 2
"""... and this many at least."""

MAX_GROWTH = 10
"""An even grid of more slices for each one that was scanned would be invention."""


class NoEvenGridError(Exception):
    """Why no even grid carries the slices: a reason code and words for the message."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def even_grid(depth: NDArray[np.float64], tolerance_mm: float, tolerance_part: float) -> NDArray[np.float64]:
    """Where the slices at the sorted, distinct positions `depth` (N,), mm along their normal, lie on an even grid.

    (N,), in slices of the grid from 0 on; whole where a slice falls on it, within `tolerance_mm` or `tolerance_part`
    of the spacing, whichever is more. The grid has as many slices as the last place, rounded, and one.
    The spacing is the smallest in the body of the stack; the smallest of all where only that keeps every slice,
    and no more slices are made up than there are. The grid is laid so that it keeps most slices; where it cannot keep
    half of them it runs from the first to the last instead. Both ends of the scan lie within half a slice of its ends.

    Raises NoEvenGridError.
    """
    gaps = np.diff(depth)
    body, smallest = _body_spacing(gaps), float(_clusters(gaps)[0].mean())

    def tolerance(spacing: float) -> float:
        return max(tolerance_mm, tolerance_part * spacing)

    at = _whole_places(depth, body, tolerance(body))
    if at is None:
        at = _whole_places(depth, smallest, tolerance(smallest))
        at = at if at is not None and at[-1] < 2 * len(depth) else None
    if at is None:
        at = _anchored(depth, body, tolerance(body) / body)
    return _checked(at)


def _clusters(gaps: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    ordered = np.sort(gaps)
    return list(np.split(ordered, np.flatnonzero(ordered[1:] > ordered[:-1] * (1 + SAME_GAP)) + 1))


def _body_spacing(gaps: NDArray[np.float64]) -> float:
    """The mean of a cluster, not its median: rounded positions add up to the true distance only in the mean."""
    enough = max(BODY_COUNT, BODY_PART * len(gaps))
    body = [cluster for cluster in _clusters(gaps) if len(cluster) >= enough]
    return float(body[0].mean()) if body else float(np.median(gaps))


def _whole_places(depth: NDArray[np.float64], spacing: float, tolerance: float) -> NDArray[np.float64] | None:
    """Places on the grid of about this spacing, by least squares, that every slice falls on; None without one."""
    steps = np.round(np.diff(depth) / spacing)
    at = np.concatenate([[0.0], np.cumsum(steps)])
    if steps.min() < 1:
        return None
    slope, start = np.polyfit(at, depth, 1)
    return at if np.abs(start + slope * at - depth).max() <= tolerance else None


def _anchored(depth: NDArray[np.float64], spacing: float, tolerance: float) -> NDArray[np.float64]:
    """Places on the grid through the slice that makes it keep most slices, the lowest of several.

    Where even that does not keep half of them, on the grid of about this spacing from the first slice to the last.
    tolerance: a part of the spacing.
    """
    places = (depth - depth[0]) / spacing
    phases = places % 1.0
    kept = [np.count_nonzero(_off_whole(phases - phase) <= tolerance) for phase in phases]
    best = int(np.argmax(kept))
    stretched = places * (round(places[-1]) / places[-1])
    at = places - phases[best] if 2 * kept[best] >= len(depth) else stretched
    at = at - np.round(at[0])
    return np.asarray(np.where(_off_whole(at) <= tolerance, np.round(at), at))


def _off_whole(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.abs(values - np.round(values)))


def _checked(at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Raise NoEvenGridError for a grid that is mostly invention, or on which two slices share a place."""
    if at[-1] > MAX_GROWTH * len(at):
        detail = f"an even grid would have {at[-1] + 1:.0f} slices for {len(at)} that were scanned"
        raise NoEvenGridError(Reason.UNEVEN_SPACING, detail)
    if np.diff(at).min() <= 0:
        raise NoEvenGridError(Reason.DUPLICATE_POSITION, "two slices fall on one place of an even grid")
    return at
