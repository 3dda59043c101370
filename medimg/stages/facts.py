"""What a rule of choice looks at: plane, thickness, kernel and kind of a scan, from its headers or its grid alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg.dicom.discover import SeriesHeaders
from medimg.dicom.header import Frame
from medimg.errors import Reason
from medimg.stages.candidates import Candidate
from medimg.study import Volume

AXIAL_COSINE = 0.9
"""A slice normal within about 25 degrees of a body axis counts as along it (tilted gantries do)."""

NEARLY_ISOTROPIC_MM = 0.5
"""Spacings that differ by less show every plane alike."""

PLANES = ("sagittal", "coronal", "axial")
"""Planes whose normal runs along x, y, z of LPS or RAS."""

PROJECTION = re.compile(r"\b(minip|mip|aip)\b", re.IGNORECASE)
"""Maximum, minimum and average intensity projections, in a description."""

DERIVATIONS = ("MPR", "MIP", "MINIP", "PROJECTION IMAGE", "REFORMATTED", "RESAMPLED", "AVERAGE", "VRT", "CSA MPR")
"""Values of Image Type that say how an image was derived (PS3.3 sections C.8.16.1.3 and vendors' own)."""

BONE_KERNEL = re.compile(r"bone|edge|ultra|\bh[r]?[67]\d|\bfc[38]\d|\by?[de]\b", re.IGNORECASE)
"""Kernels for bone: GE BONE and EDGE, Siemens H60-H79, Toshiba FC3x and FC8x, Philips D, E, YD, YE."""

SHARP_KERNEL = re.compile(
    r"lung|sharp|bone|edge|ultra|\b[bhi][5-9]\d|\bb[rlv]?[5-9]\d|\bfc[358]\d|\by?[cdel]\b", re.IGNORECASE
)
"""Kernels that raise noise, those for the lung among them (Siemens B50f-B90f and Bl57, Toshiba FC5x, Philips L, YC)."""


@dataclass(frozen=True)
class Facts:
    """plane: "axial", "coronal", "sagittal", "oblique" or "unknown". thickness_mm: of a slice, or the distance to the
    next where that is more; infinite where unknown. derivation: how it was derived, where it says so. problem: why
    none of its images is a slice.
    """

    slices: int
    plane: str
    original: bool
    thickness_mm: float
    kernel: str = ""
    bone: bool = False
    sharp: bool = False
    number: int = 0
    derivation: str = ""
    problem: Reason | None = None


def facts_of(candidate: Candidate) -> Facts:
    """The facts of a DICOM series by its headers, of a volume file by its grid."""
    if candidate.headers is not None:
        return facts_of_series(candidate.headers)
    if candidate.volume is not None:
        return facts_of_volume(candidate.volume)
    return Facts(slices=0, plane="unknown", original=True, thickness_mm=np.inf)


def facts_of_volume(volume: Volume) -> Facts:
    """The facts of a volume file by its grid.

    Slices run along the axis that is most across the body's long axis; a file does not say what was derived.
    """
    spacing = volume.spacing_mm
    along_body = int(np.argmax(np.abs(volume.affine_ras[2, :3]) / spacing))
    # reconstructed across the body, or so fine that it does not matter
    axial = spacing[along_body] >= spacing.max() - NEARLY_ISOTROPIC_MM
    coarsest = int(np.argmax(spacing))
    plane = "axial" if axial else _plane(volume.affine_ras[:3, coarsest] / spacing[coarsest])
    return Facts(volume.shape[along_body], plane, True, float(spacing[along_body]))


def facts_of_series(series: SeriesHeaders) -> Facts:
    """The facts of a DICOM series by its headers."""
    usable = [frame for frame in series.frames if frame.problem is None]
    problems = Counter(frame.problem for frame in series.frames if frame.problem is not None)
    kernel = str(series.headers.get("ConvolutionKernel", ""))
    said = kernel or series.description
    derivation = _derivation(usable, series.description)
    original = bool(usable) and not derivation and all(frame.image_type[:1] == ("ORIGINAL",) for frame in usable)
    return Facts(
        slices=len(usable),
        plane=_plane(_normal(usable)),
        original=original,
        thickness_mm=max(_spacing_mm(usable), _number(series.headers.get("SliceThickness"))),
        kernel=kernel,
        bone=bool(BONE_KERNEL.search(said)),
        sharp=bool(SHARP_KERNEL.search(said)),
        number=series.number if series.number is not None else 0,
        derivation=derivation,
        problem=problems.most_common(1)[0][0] if problems and not usable else None,
    )


def _derivation(frames: Sequence[Frame], description: str) -> str:
    types = {value.upper() for frame in frames for value in frame.image_type}
    found = [name for name in DERIVATIONS if name in types]
    projection = PROJECTION.search(description)
    return found[0] if found else projection.group(0).upper() if projection else ""


def _normal(frames: Sequence[Frame]) -> NDArray[np.float64] | None:
    """Median direction of the slice normals without its sign, (3,); None without orientation."""
    turned = [np.asarray(frame.orientation) for frame in frames if frame.orientation is not None]
    return np.median([np.abs(np.cross(one[:3], one[3:])) for one in turned], axis=0) if turned else None


def _plane(normal: NDArray[np.float64] | None) -> str:
    if normal is None:
        return "unknown"
    strongest = int(np.argmax(np.abs(normal)))
    return PLANES[strongest] if abs(normal[strongest]) >= AXIAL_COSINE else "oblique"


def _spacing_mm(frames: Sequence[Frame]) -> float:
    """Median distance between neighbouring slices along the normal; infinite when there is none."""
    placed = [frame for frame in frames if frame.orientation is not None and frame.position is not None]
    if len(placed) < 2:
        return np.inf
    orientation = np.asarray(placed[0].orientation)
    normal = np.cross(orientation[:3], orientation[3:])
    depth = np.unique(np.round([float(np.dot(normal, frame.position or ())) for frame in placed], 2))
    return float(np.median(np.diff(depth))) if len(depth) > 1 else np.inf


def _number(text: object) -> float:
    """A decimal string as a header has it; 0 when it is none."""
    try:
        return float(str(text).replace(",", "."))
    except ValueError:
        return 0.0
