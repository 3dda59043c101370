"""--reference: the DICOM series that a NIfTI scan was made from, found by its grid and checked by its voxels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medimg import geometry
from medimg.dicom.discover import SeriesHeaders, discover, medium_of
from medimg.dicom.series import outline_series, read_series
from medimg.errors import InputError, Reason, UsageError
from medimg.study import Volume

SAME_GRID = 0.05
"""How far corners may lie apart, as a part of the smallest voxel side: float32 affines of NIfTI files."""

SAME_VOXELS = 0.999
"""Correlation from here is the same scan: other scalings, and what rounding did."""

PROCESSED = 0.95
"""... and from here one that was processed (bias corrected, skull stripped); below, it is another scan."""

SAMPLED = 1 << 20
"""Voxels that are compared, evenly spread."""


def find_reference(path: Path, scan: Volume) -> tuple[Volume, list[str]]:
    """The volume of the series under `path` whose grid and voxels are those of `scan`, and what must be warned of.

    The grid may be stored with other axes and directions. Raises UsageError for a scan that came as DICOM,
    InputError: grid_mismatch when no series has the grid, not_the_reference when its voxels are another scan's.
    """
    if scan.source.kind == "dicom":
        raise UsageError("--reference is for a scan that is no DICOM; this one names its own series")
    series = discover(medium_of(path)).series
    fitting = [(headers, n) for headers in series for n, outline in _outlined(headers) if _same_grid(outline, scan)]
    if not fitting:
        said = f"{len(series)} series, none with the grid of {scan.source.path.name}"
        what = f"{path} holds {said} (resampled, cropped or another scan?); name the series it was made from"
        raise InputError(Reason.GRID_MISMATCH, what, [path])
    alike = [(_likeness(volume, scan), volume) for volume in _read(fitting)]
    likeness, best = max(alike, key=lambda pair: pair[0], default=(0.0, None))
    if best is None or likeness < PROCESSED:
        what = f"{path} has the grid of {scan.source.path.name} but not its voxels (correlation {likeness:.2f})"
        raise InputError(Reason.NOT_THE_REFERENCE, f"{what}; name the series it was made from", [path])
    if likeness >= SAME_VOXELS:
        return best, []
    said = f"correlation {likeness:.3f} with series {best.source.series_uid}"
    return best, [f"{scan.source.path.name} was processed since it was DICOM: {said}"]


def describe_reference(path: Path, volume: Volume) -> dict[str, str | None]:
    """The `reference` of an entry of a report's `inputs`. `path` is made relative when it is written."""
    return {"path": str(path.resolve()), "series_uid": volume.source.series_uid}


def _outlined(headers: SeriesHeaders) -> list[tuple[int, Volume]]:
    return list(enumerate(outline_series(headers).volumes))


def _read(fitting: Sequence[tuple[SeriesHeaders, int]]) -> list[Volume]:
    """The volumes with their voxels; a series whose pixels tell that it is none leaves nothing."""
    results = [(read_series(headers).volumes, n) for headers, n in fitting]
    return [volumes[n] for volumes, n in results if n < len(volumes)]


def _same_grid(a: Volume, b: Volume) -> bool:
    one, other = a.canonical(), b.canonical()
    tolerance = SAME_GRID * float(one.spacing_mm.min())
    return geometry.same_grid(one.shape, one.affine_ras, other.shape, other.affine_ras, tolerance)


def _likeness(a: Volume, b: Volume) -> float:
    """Correlation of voxels where `b` is not 0 (what was stripped is); 0 where nothing varies."""
    one, other = _sample(a), _sample(b)
    kept = other != 0
    if np.count_nonzero(kept) < 2 or np.ptp(one[kept]) == 0 or np.ptp(other[kept]) == 0:
        return 0.0
    return float(np.corrcoef(one[kept], other[kept])[0, 1])


def _sample(volume: Volume) -> NDArray[np.float64]:
    flat = volume.canonical().array.ravel()
    return np.asarray(flat[:: max(flat.size // SAMPLED, 1)], dtype=np.float64)
