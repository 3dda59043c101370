"""What became of a series: volumes, images left out, a rejection in words; and what makes a series no whole one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medimg.dicom.discover import SeriesHeaders
from medimg.dicom.header import Frame
from medimg.dicom.lone import differences, is_aside
from medimg.dicom.options import ReadOptions
from medimg.dicom.part import Part
from medimg.errors import InputError, Reason
from medimg.study import Volume

NAMED_FILES = 3
"""File names a message shows before it counts the rest."""

ALSO_SAID = 3
"""Further rejected parts a message says in words before it counts the rest."""

ADVICE = {
    Reason.MISSING_SLICES: "export the series again, complete",
    Reason.DUPLICATE_POSITION: "keep one image per position",
    Reason.UNEVEN_SPACING: "export an evenly spaced series",
    Reason.NO_GEOMETRY: "export the original images with position, orientation and pixel spacing",
    Reason.TRUNCATED: "copy the files again",
    Reason.TOO_LARGE: "copy the files again",
    Reason.SINGLE_SLICE: "a volume needs at least two slices",
    Reason.LOCALIZER: "choose the series it was planned for",
    Reason.SECONDARY_CAPTURE: "a picture of a screen has no geometry; choose the scan itself",
    Reason.COLOUR: "colour pictures are no scan; choose the scan itself",
    Reason.UNSUPPORTED_KIND: "export single-frame or enhanced images",
    Reason.NO_RESCALE: "export the original images",
    Reason.NON_FINITE_VOXELS: "export the original images",
    Reason.EMPTY_VOLUME: "choose the series that holds the scan",
    Reason.MIXED_PATIENTS: "export each patient's images on their own",
    Reason.MIXED_ORIENTATION: "a volume needs at least two slices of one orientation",
}
"""What to do, by reason; other reasons say it in their own message."""

INTERPOLATION_ADVICE = "or have it interpolated with --resample-gaps"
"""Added for a stack that only needs an even grid, unless that was tried."""


@dataclass
class SeriesResult:
    """What became of one series. `rejection` is set when any of its images that should be a volume is not one.

    unused: sound files of a rejected series, which are in no volume because others are damaged or missing.
    undecided: whether some of its images are copies of others stands in pixels that were not read.
    also: what else is wrong with it, one text a part; the message of the rejection ends in them.
    """

    study_uid: str
    series_uid: str
    modality: str
    description: str
    volumes: list[Volume] = field(default_factory=list)
    excluded: list[tuple[Path, Reason]] = field(default_factory=list)
    rejection: InputError | None = None
    unused: list[Path] = field(default_factory=list)
    undecided: bool = False
    also: list[str] = field(default_factory=list)


def reject(result: SeriesResult, error: InputError) -> None:
    """The first error is the rejection; others stand in its message, and their files are excluded for their reason."""
    if result.rejection is None:
        result.rejection = error
        return
    result.also.append(f"{error} ({error.reason})")
    for path in error.files:
        exclude(result, path, error.reason)


def note_patients(frames: Sequence[Frame], result: SeriesResult) -> None:
    """Images of several Patient IDs: whose the volumes are is not known. The IDs themselves are written nowhere."""
    by_patient: dict[str, list[Path]] = {}
    for frame in frames:
        if frame.patient:
            by_patient.setdefault(frame.patient, []).append(frame.path)
    if len(by_patient) > 1:
        fewest = list(dict.fromkeys(sorted(by_patient.values(), key=len)[0]))
        detail = f"its images name {len(by_patient)} Patient IDs; {_listed(fewest)} another one than the rest"
        reject(result, InputError(Reason.MIXED_PATIENTS, detail, fewest))


def note_lone(parts: Sequence[Part], read: Sequence[Part], result: SeriesResult) -> None:
    """An image that fits no stack of the series may be a slice that one of them lost."""
    for part in parts:
        if len(part.frames) == 1 and read and not is_aside(part.frames[0], [each.frames[0] for each in read]):
            lone = part.frames[0]
            what = " and ".join(differences(part, read)) or "a place of its own"
            detail = f"{lone.path.name} has {what} and fits no stack of its series: a slice may be missing there"
            reject(result, InputError(Reason.SINGLE_SLICE, detail, [lone.path]))


def note_mixed_orientation(parts: Sequence[Part], result: SeriesResult) -> None:
    """Single images that each have an orientation of their own (radial scans, scouts not marked as such)."""
    frames = [frame for part in parts for frame in part.frames]
    orientations = {frame.orientation for frame in frames}
    if result.volumes or result.rejection is not None or not len(parts) == len(frames) == len(orientations) > 1:
        return
    paths = list(dict.fromkeys(frame.path for frame in frames))
    result.excluded = [entry for entry in result.excluded if entry[1] is not Reason.SINGLE_SLICE]
    detail = f"each of its {len(frames)} images has an orientation of its own ({_listed(paths)})"
    result.rejection = InputError(Reason.MIXED_ORIENTATION, detail, paths)


def exclude(result: SeriesResult, path: Path, reason: Reason) -> None:
    """Leave an image out of the volumes, once for each reason."""
    if (path, reason) not in result.excluded:
        result.excluded.append((path, reason))


def conclude(headers: SeriesHeaders, result: SeriesResult, options: ReadOptions) -> None:
    """A series without a volume is rejected for the commonest reason; every rejection says which series it is."""
    if result.rejection is None and not result.volumes:
        counts = Counter(reason for _path, reason in result.excluded)
        reason = counts.most_common(1)[0][0] if counts else Reason.EMPTY_VOLUME
        files = [path for path, why in result.excluded if why is reason]
        result.rejection = InputError(reason, f"no image can be used ({_listed(files)}: {reason})", files)
    if result.rejection is not None:
        error = result.rejection
        named = f" ({headers.description})" if headers.description else ""
        advice = f"; {_advice(error.reason, options)}" if error.reason in ADVICE else ""
        message = f"series {headers.series_uid}{named}: {error}{_also(result.also)}{advice}"
        result.rejection = InputError(error.reason, message, error.files)
        result.rejection.__cause__ = error.__cause__
        result.unused = _left_over(headers, result, error)


def _also(texts: Sequence[str]) -> str:
    """What else is wrong, as far as one line holds it."""
    distinct = list(dict.fromkeys(texts))
    more = f"; and {len(distinct) - ALSO_SAID} more" if len(distinct) > ALSO_SAID else ""
    return "".join(f"; also {text}" for text in distinct[:ALSO_SAID]) + more


def _left_over(headers: SeriesHeaders, result: SeriesResult, rejection: InputError) -> list[Path]:
    used = {path for volume in result.volumes for path in volume.source.files}
    told = used.union(rejection.files, (path for path, _reason in result.excluded))
    return [path for path in dict.fromkeys(frame.path for frame in headers.frames) if path not in told]


def _advice(reason: Reason, options: ReadOptions) -> str:
    if reason in (Reason.MISSING_SLICES, Reason.UNEVEN_SPACING) and not options.resample_gaps:
        return f"{ADVICE[reason]}, {INTERPOLATION_ADVICE}"
    return ADVICE[reason]


def _listed(paths: Sequence[Path]) -> str:
    names = ", ".join(path.name for path in paths[:NAMED_FILES])
    return names if len(paths) <= NAMED_FILES else f"{names} and {len(paths) - NAMED_FILES} more"
