"""A label map on the slices of the original images: by geometry alone, and refused where it would not lie right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg import geometry
from medimg.errors import InputError, Reason
from medimg.report.dicom.original import Original

ON_GRID = 0.05
"""How far, in voxels, a pixel centre may lie from the voxel that it is: rounding and jitter of headers."""

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class OnSlices:
    """labels: (N, rows, columns), one a slice of the original in its order; lost: label voxels that no slice shows.

    exact: every slice is one of the label map's, pixel for voxel.
    """

    labels: Labels
    lost: int
    exact: bool


def on_slices(labels: Labels, affine_ras: geometry.Affine, original: Original, resampled: bool = False) -> OnSlices:
    """The label map (I, J, K) as the original slices show it.

    A map on the scan's own grid is turned and flipped, never interpolated; of a `resampled` one each pixel takes the
    voxel that it lies nearest to. Raises InputError (grid_mismatch) where the map is not resampled, and its slices
    are not exactly the original ones: some are missing, there are others, or they lie elsewhere.
    """
    maps = [_Mapping.of(labels.shape, affine_ras, original, position) for position in _positions(original)]
    if not resampled:
        _check_same(labels.shape, maps, original)
    seen = np.zeros(labels.shape, np.bool_)
    nearest = np.stack([mapping.taken(labels, seen) for mapping in maps])
    lost = int(np.count_nonzero(labels[~seen]))
    return OnSlices(nearest, lost, exact=all(mapping.exact for mapping in maps))


def _positions(original: Original) -> NDArray[np.float64]:
    return np.array([plane.position for plane in original.planes], dtype=np.float64)


@dataclass(frozen=True)
class _Mapping:
    """Voxel of a slice's pixel (row, column): start + row * down + column * across, each (3,), fractional."""

    start: NDArray[np.float64]
    down: NDArray[np.float64]
    across: NDArray[np.float64]
    rows: int
    columns: int
    shape: tuple[int, ...]

    @classmethod
    def of(
        cls, shape: tuple[int, ...], affine_ras: geometry.Affine, original: Original, position: NDArray[np.float64]
    ) -> _Mapping:
        to_voxel = np.linalg.inv(geometry.swap_ras_lps(affine_ras))
        between_rows, between_columns = original.spacing_mm
        return cls(
            start=to_voxel[:3, :3] @ position + to_voxel[:3, 3],
            down=to_voxel[:3, :3] @ original.cosines[1] * between_rows,
            across=to_voxel[:3, :3] @ original.cosines[0] * between_columns,
            rows=original.rows,
            columns=original.columns,
            shape=shape,
        )

    @property
    def corners(self) -> NDArray[np.float64]:
        """Voxels of the four corner pixels, (4, 3)."""
        down, across = self.down * (self.rows - 1), self.across * (self.columns - 1)
        return np.stack([self.start, self.start + down, self.start + across, self.start + down + across])

    @property
    def exact(self) -> bool:
        """Whether every pixel centre is a voxel centre: the corners are, and a step is one voxel along one axis."""
        whole = np.abs(self.corners - np.round(self.corners)).max() <= ON_GRID
        steps = np.round(np.stack([self.down, self.across]))
        return bool(whole and (np.abs(steps).sum(axis=1) == 1).all())

    @property
    def inside(self) -> bool:
        """Whether every pixel lies in the label map."""
        corners = np.round(self.corners)
        return bool((corners >= 0).all() and (corners < np.array(self.shape)).all())

    def taken(self, labels: Labels, seen: NDArray[np.bool_]) -> Labels:
        """(rows, columns): the label of the voxel nearest to each pixel centre, 0 outside; marks these as `seen`."""
        plane = np.zeros((self.rows, self.columns), np.uint8)
        if not self._meets(labels):
            return plane
        if self.exact and self.inside:
            return self._copied(labels, seen)
        across = self.start + np.arange(self.columns)[:, None] * self.across
        limits = np.array(self.shape)
        for row in range(self.rows):
            index = np.round(across + row * self.down).astype(np.int64)
            within = ((index >= 0) & (index < limits)).all(axis=1)
            voxels = tuple(index[within].T)
            plane[row, within], seen[voxels] = labels[voxels], True
        return plane

    def _copied(self, labels: Labels, seen: NDArray[np.bool_]) -> Labels:
        """`taken` where every pixel is a voxel of one slice of the map: that slice, turned and flipped."""
        first, last = np.round(self.corners[[0, 3]]).astype(int)
        index = tuple(
            _span(int(a), int(b)) if along else int(a) for a, b, along in zip(first, last, _along(self), strict=True)
        )
        seen[index] = True
        rows_first = np.argmax(np.abs(self.down)) < np.argmax(np.abs(self.across))
        return labels[index] if rows_first else labels[index].T

    def _meets(self, labels: Labels) -> bool:
        """Whether any label lies in the box of voxels that the slice passes through."""
        low = np.floor(self.corners.min(axis=0)).astype(int).clip(0)
        high = np.ceil(self.corners.max(axis=0)).astype(int) + 1
        box = tuple(slice(int(a), int(max(b, 0))) for a, b in zip(low, high, strict=True))
        return bool(labels[box].any())


def _span(first: int, last: int) -> slice:
    """From `first` to `last`, both included, in that direction."""
    if first <= last:
        return slice(first, last + 1)
    return slice(first, last - 1 if last else None, -1)


def _check_same(shape: tuple[int, ...], maps: list[_Mapping], original: Original) -> None:
    """Raise InputError grid_mismatch unless the slices are those of a map of this shape, each once."""
    through = {int(axis) for mapping in maps for axis in np.flatnonzero(_along(mapping) == 0)}
    if not all(mapping.exact and mapping.inside for mapping in maps) or len(through) != 1:
        raise _mismatch("its slices lie elsewhere than those of the label map", original)
    (axis,) = through
    numbers = [int(np.round(mapping.start[axis])) for mapping in maps]
    if sorted(numbers) != list(range(shape[axis])):
        found, wanted = len(set(numbers)), shape[axis]
        what = f"{wanted - found} of the {wanted} slices are missing" if found < wanted else "a slice is there twice"
        raise _mismatch(f"{what}", original)
    pixels = np.sort([original.rows, original.columns])
    if not np.array_equal(pixels, np.sort(np.delete(shape, axis))):
        raise _mismatch("its images are of another size than the label map", original)


def _along(mapping: _Mapping) -> NDArray[Any]:
    """Which voxel axes the pixels of a slice run along, (3,): 1 for those, 0 for the one through the slices."""
    return np.asarray(np.abs(np.round(mapping.down)) + np.abs(np.round(mapping.across)))


def _mismatch(what: str, original: Original) -> InputError:
    return InputError(
        Reason.GRID_MISMATCH,
        f"series {original.series_uid} does not fit the label map: {what}; name the series the scan was made from",
    )
