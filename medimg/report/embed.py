"""The scan inside report.html: cut to what is not empty, averaged until it is small enough to mail, and its labels.

Positions stay exact: the affine says where the cut and the averaging left each voxel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg import geometry
from medimg.errors import OutputError
from medimg.report.coarse import Box, Steps, block_affine, block_labels, block_mean, coarser, trimmed
from medimg.report.crop import box_of
from medimg.report.planes import on_grid
from medimg.results import Report
from medimg.study import Volume

MAX_BYTES = 9_000_000
"""Of all scans of a page, compressed. Base64 adds a third, NiiVue 2.3 MB: a page stays below 15 MB."""

BYTES_PER_VOXEL = {"i": 0.6, "u": 0.25}
"""At least so much of a compressed voxel (CT as int16, other scans as uint8): spares packing what cannot fit."""

GREY_LEVELS = 255
"""Scans without a unit are stored in one byte a voxel, between the quantiles below: finer than any screen shows."""

GREY_QUANTILES = (0.0, 0.999)


@dataclass(frozen=True)
class EmbeddedScan:
    """One scan as NIfTI-1, gzip. levels: grey levels it was reduced to, None for exact whole numbers (CT: HU)."""

    role: str
    modality: str | None
    nifti_gz: bytes
    levels: int | None


@dataclass(frozen=True)
class Embedded:
    """What a page holds. shape, spacing_mm: of its grid; steps: voxels of the scan averaged along i, j, k.

    full_shape, full_spacing_mm: the scan's own grid. left_out: roles that lie on another grid.
    """

    scans: tuple[EmbeddedScan, ...]
    labels_gz: bytes | None
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    steps: Steps
    full_shape: tuple[int, int, int]
    full_spacing_mm: tuple[float, float, float]
    left_out: tuple[str, ...]


def embed(report: Report, volumes: dict[str, Volume], max_bytes: int = MAX_BYTES) -> Embedded:
    """The scans and labels of a page. volumes: role -> scan, the first on the report's grid (at least one)."""
    shown = on_grid(volumes)
    first = next(iter(shown.values()))
    box = box_of(report, shown)
    steps: Steps = (1, 1, 1)
    while (scans := _packed(shown, box, steps, max_bytes)) is None:
        more = coarser(steps, first.spacing_mm, box)
        if more is None:
            raise OutputError(f"a scan of {first.shape} voxels is too large for report.html; leave out --format html")
        steps = more
    part = trimmed(box, steps)
    affine = block_affine(first.affine_ras, part, steps)
    labels = None
    if report.segmentation is not None:
        labels = nifti_gz(block_labels(report.segmentation.array[part], steps), affine, intent="label")
    shape = tuple((p.stop - p.start) // step for p, step in zip(part, steps, strict=True))
    return Embedded(
        scans=scans,
        labels_gz=labels,
        shape=(shape[0], shape[1], shape[2]),
        spacing_mm=_three(geometry.spacing_mm(affine)),
        steps=steps,
        full_shape=first.shape,
        full_spacing_mm=_three(first.spacing_mm),
        left_out=tuple(role for role in volumes if role not in shown),
    )


def whole(role: str, volume: Volume) -> EmbeddedScan:
    """A scan as it is, for a page that is served."""
    array, scale, levels = _storable(volume.array, volume.modality)
    return EmbeddedScan(role, volume.modality, nifti_gz(array, volume.affine_ras, scale), levels)


def nifti_gz(
    array: NDArray[Any],
    affine_ras: geometry.Affine,
    scale: tuple[float, float] = (1.0, 0.0),
    intent: str = "none",
) -> bytes:
    """array (I, J, K) and its voxel -> RAS mm affine as a .nii.gz; the same bytes each time.

    scale: slope and intercept. intent: NIfTI's name of what voxels are ("label": viewers then draw outlines).
    """
    import nibabel as nib
    from isal import igzip

    image = nib.Nifti1Image(array, affine_ras)
    image.set_sform(affine_ras, code=1)
    header = image.header
    header.set_xyzt_units("mm")
    header.set_data_offset(352)
    header.set_intent(intent)
    header["scl_slope"], header["scl_inter"] = scale
    content = header.binaryblock + b"\0\0\0\0" + array.tobytes(order="F")
    return bytes(igzip.compress(content, compresslevel=3, mtime=0))


def _packed(shown: dict[str, Volume], box: Box, steps: Steps, max_bytes: int) -> tuple[EmbeddedScan, ...] | None:
    """The scans of a page; None when they are more than `max_bytes`."""
    part = trimmed(box, steps)
    affine = block_affine(next(iter(shown.values())).affine_ras, part, steps)
    voxels = np.prod([(p.stop - p.start) // step for p, step in zip(part, steps, strict=True)])
    expected = sum(voxels * BYTES_PER_VOXEL["i" if v.modality == "CT" else "u"] for v in shown.values())
    if expected > max_bytes:
        return None
    scans = []
    for role, volume in shown.items():
        array, scale, levels = _storable(block_mean(volume.array[part], steps), volume.modality)
        scans.append(EmbeddedScan(role, volume.modality, nifti_gz(array, affine, scale), levels))
        if sum(len(scan.nifti_gz) for scan in scans) > max_bytes:
            return None
    return tuple(scans)


def _storable(array: NDArray[Any], modality: str | None) -> tuple[NDArray[Any], tuple[float, float], int | None]:
    """CT as int16 HU; everything else in grey levels, with slope and intercept back to its values."""
    if modality == "CT":
        limits = np.iinfo(np.int16)
        return np.clip(np.rint(array), limits.min, limits.max).astype(np.int16), (1.0, 0.0), None
    low, high = (float(v) for v in np.quantile(array[::2, ::2, ::2], GREY_QUANTILES))
    slope = (high - low) / GREY_LEVELS or 1.0
    grey = np.clip(np.rint((array.astype(np.float32) - low) / slope), 0, GREY_LEVELS)
    return grey.astype(np.uint8), (slope, low), GREY_LEVELS + 1


def _three(values: NDArray[np.float64]) -> tuple[float, float, float]:
    i, j, k = (float(value) for value in values)
    return (i, j, k)
