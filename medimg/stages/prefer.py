"""Which of several scans a pipeline takes: a documented rule each, told in words in the report."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from medimg.dicom.discover import SeriesHeaders
from medimg.dicom.header import Frame
from medimg.errors import PipelineError
from medimg.stages.candidates import Candidate
from medimg.study import Volume

AXIAL_COSINE = 0.9
"""A slice normal within about 25 degrees of the body's long axis counts as axial (tilted gantries do)."""

MIN_CHEST_SLICES = 20
"""Fewer images than this are a localizer or a bolus-tracking series, not a chest."""

NEARLY_ISOTROPIC_MM = 0.5
"""Spacings that differ by less show every plane alike."""

SPACING_STEP_MM = 0.1
"""Slice spacings closer than this are equal."""

SHARP_KERNEL = re.compile(r"lung|sharp|bone|edge|\b[bhi][5-9]\d|\bbr?[5-9]\d|\bfc5\d|\byc\b|\be\b", re.IGNORECASE)
"""Reconstruction kernels that raise noise: vendors' names for lung, bone and edge (Siemens B50f-B90f, Toshiba FC5x)."""


@dataclass(frozen=True)
class Preference:
    """`key` sorts candidates best first; equal keys are ambiguous. `words` says the rule to a reader."""

    words: str
    key: Callable[[Candidate], tuple[Any, ...]]


def preference(name: str) -> Preference:
    """The rule of that name. Raises PipelineError naming the known ones."""
    if name not in PREFERENCES:
        raise PipelineError(f"select stage: prefer {name!r} is unknown; rules are {', '.join(PREFERENCES)}")
    return PREFERENCES[name]


def _thin_axial(candidate: Candidate) -> tuple[Any, ...]:
    """Key of the rule `thin_axial`; a volume file is judged by its grid alone."""
    if candidate.headers is not None:
        return _thin_axial_series(candidate.headers)
    if candidate.volume is None:
        return ()
    return _thin_axial_volume(candidate.volume)


def _thin_axial_volume(volume: Volume) -> tuple[Any, ...]:
    spacing = volume.spacing_mm
    along_body = int(np.argmax(np.abs(volume.affine_ras[2, :3]) / spacing))
    # reconstructed across the body, or so fine that it does not matter
    axial = spacing[along_body] >= spacing.max() - NEARLY_ISOTROPIC_MM
    too_few = volume.shape[along_body] < MIN_CHEST_SLICES
    return (too_few, not axial, False, _stepped(float(spacing[along_body])), False, 0)


def _thin_axial_series(series: SeriesHeaders) -> tuple[Any, ...]:
    usable = [frame for frame in series.frames if frame.problem is None]
    original = bool(usable) and all(frame.image_type[:1] == ("ORIGINAL",) for frame in usable)
    return (
        len(usable) < MIN_CHEST_SLICES,
        not _is_axial(usable),
        not original,
        _stepped(_slice_spacing_mm(usable)),
        bool(SHARP_KERNEL.search(str(series.headers.get("ConvolutionKernel", "")))),
        series.number if series.number is not None else 0,
    )


def _is_axial(frames: list[Frame]) -> bool:
    normals = [_normal(frame) for frame in frames if frame.orientation is not None]
    return bool(normals) and float(np.median(np.abs(np.array(normals)[:, 2]))) >= AXIAL_COSINE


def _slice_spacing_mm(frames: list[Frame]) -> float:
    """Median distance between neighbouring slices along the normal; infinite when there is none."""
    placed = [frame for frame in frames if frame.orientation is not None and frame.position is not None]
    if len(placed) < 2:
        return np.inf
    normal = _normal(placed[0])
    depth = np.unique(np.round([float(np.dot(normal, frame.position or ())) for frame in placed], 2))
    return float(np.median(np.diff(depth))) if len(depth) > 1 else np.inf


def _normal(frame: Frame) -> Any:
    orientation = np.asarray(frame.orientation, dtype=np.float64)
    return np.cross(orientation[:3], orientation[3:])


def _stepped(spacing_mm: float) -> float:
    return spacing_mm if np.isinf(spacing_mm) else round(spacing_mm / SPACING_STEP_MM)


PREFERENCES = {
    "only": Preference("being the only one", lambda _: ()),
    "thin_axial": Preference(
        "a whole axial stack, original, thinnest slices, soft before sharp kernel, lowest series number", _thin_axial
    ),
}
"""Rules a pipeline's select stage can name as `prefer`."""
