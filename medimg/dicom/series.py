"""One series from headers to volumes: images that cannot be used are left out with a reason, never silently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from medimg.dicom.decode import PixelReader, check_syntax
from medimg.dicom.discover import SeriesHeaders
from medimg.dicom.group import Identical, parts_of
from medimg.dicom.header import Frame
from medimg.dicom.lone import differences, is_aside, is_secondary
from medimg.dicom.options import AS_SCANNED, ReadOptions
from medimg.dicom.parse import quiet
from medimg.dicom.part import Part
from medimg.dicom.place import Stack, place
from medimg.dicom.repair import Repaired, outlined, repair
from medimg.dicom.units import units_of
from medimg.dicom.vendor import ScalingReader
from medimg.dicom.voxels import assemble, check_rescale, digest, scaling
from medimg.errors import InputError, Reason
from medimg.study import Source, Volume

FATAL = (Reason.TRUNCATED, Reason.TOO_LARGE)
"""A damaged image was a slice: the series cannot be whole without it."""

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


@dataclass(frozen=True)
class _Way:
    """How a series is read: as the options allow, and without `pixels` from its headers alone."""

    options: ReadOptions
    pixels: PixelReader | None
    vendor: ScalingReader = field(default_factory=ScalingReader)


def outline_series(headers: SeriesHeaders, options: ReadOptions = AS_SCANNED) -> SeriesResult:
    """As `read_series`, told by the headers alone: volumes have their grid and no digest, and every voxel is 0.

    No pixel is read and no memory taken for them. What only pixels can tell (damage, an empty volume) may still
    reject the series; where it matters whether images of one place are copies, the result is `undecided`.
    """
    compared: list[bool] = []

    def different(a: Frame, b: Frame) -> bool:
        compared.append(_same_scale(a, b))
        return False

    way = _Way(options, pixels=None)
    result = _series(headers, way, different)
    if not any(compared):
        return result
    copies = _series(headers, way, _same_scale)
    if _outcome(copies) == _outcome(result):
        return result
    copies.undecided = True
    return copies


def _outcome(result: SeriesResult) -> Reason | None:
    return result.rejection.reason if result.rejection is not None else None


def read_series(headers: SeriesHeaders, options: ReadOptions = AS_SCANNED) -> SeriesResult:
    """Read every volume of one series; never raises for what the files hold.

    Each volume is (I, J, K) with its affine to RAS mm, CT in HU; several where the series holds several
    orientations, echoes, phases or time points (`source.headers["split"]` says which). Every file ends in a
    volume's `source.files`, in `excluded`, in `rejection.files`, or in `unused`.
    """
    reader = PixelReader()
    return _series(headers, _Way(options, reader), lambda a, b: _identical(a, b, reader))


def _series(headers: SeriesHeaders, way: _Way, identical: Identical) -> SeriesResult:
    result = SeriesResult(headers.study_uid, headers.series_uid, headers.modality, headers.description)
    with quiet():
        sound = _sound_frames(headers.frames, result)
        if result.rejection is None:
            _note_patients(sound, result)
            parts = _parts(sound, identical, result)
            read = [part for part in parts if _read_part(part, headers, way, result)]
            _note_mixed_orientation(parts, result)
            _note_lone(parts, read, result)
    _conclude(headers, result, way.options)
    return result


def _sound_frames(frames: Sequence[Frame], result: SeriesResult) -> list[Frame]:
    """Frames that may be slices; the others are excluded, or reject the series when they should have been slices."""
    sizes = Counter(_size(frame) for frame in frames if frame.problem is None)
    slices = {(_size(frame), frame.image_type) for frame in frames if frame.problem is None}
    sound = []
    for frame in frames:
        damaged = frame.problem in FATAL and (not sizes or _size(frame) in sizes or frame.format.rows == 0)
        if damaged and frame.problem is not None and result.rejection is None:
            result.rejection = InputError(frame.problem, f"{frame.path.name} is cut short or damaged", [frame.path])
        elif frame.problem is Reason.NO_GEOMETRY and _was_slice(frame, slices):
            lost = f"{frame.path.name} does not say where it lies, as the other slices do"
            result.rejection = result.rejection or InputError(frame.problem, lost, [frame.path])
        elif frame.problem is not None:
            # a size no other image has is a damaged header, not a shorter file
            reason = Reason.TOO_LARGE if frame.problem in FATAL and not damaged else frame.problem
            _exclude(result, frame.path, reason)
        else:
            sound.append(frame)
    return sound


def _was_slice(frame: Frame, slices: set[tuple[tuple[int, int], tuple[str, ...]]]) -> bool:
    """True for an image of a slice's size whose place is lost; a secondary picture beside the slices never had one."""
    size = _size(frame)
    return (size, frame.image_type) in slices or (not is_secondary(frame) and size in {each for each, _ in slices})


def _size(frame: Frame) -> tuple[int, int]:
    return (frame.rows, frame.columns)


def _parts(frames: list[Frame], identical: Identical, result: SeriesResult) -> list[Part]:
    if not frames:
        return []
    try:
        parts = parts_of(frames, identical)
    except InputError as error:
        _reject(result, error)
        return []
    for part in parts:
        for copy in part.copies:
            _exclude(result, copy.path, Reason.DUPLICATE_FILE)
    return parts


def _identical(a: Frame, b: Frame, reader: PixelReader) -> bool:
    return _same_scale(a, b) and bool(np.array_equal(reader.words(a), reader.words(b)))


def _same_scale(a: Frame, b: Frame) -> bool:
    return scaling(a) == scaling(b) and a.padding == b.padding


def _read_part(part: Part, headers: SeriesHeaders, way: _Way, result: SeriesResult) -> bool:
    """Put the part's volume into the result, or what is wrong with it. True for a volume."""
    try:
        stack = place(part.frames, way.options.resample_gaps)
        if part.problem is not None:
            raise part.problem
        units = units_of(stack.frames)
        maker = headers.headers.get("Manufacturer", "")
        frames, said = way.vendor.scaled(stack.frames, headers.modality, maker, way.options.philips_precise)
        done, sha256 = _voxels(replace(stack, frames=frames), headers.modality, way)
    except InputError as error:
        if error.reason is Reason.SINGLE_SLICE:
            _exclude(result, part.frames[0].path, Reason.SINGLE_SLICE)
        else:
            _reject(result, error)
        return False
    first = stack.frames[0]
    extra = {"split": part.split} if part.split else {}
    source = Source(
        path=headers.root,
        kind="dicom",
        files=tuple(dict.fromkeys(frame.path for frame in stack.frames)),
        sha256=sha256,
        study_uid=headers.study_uid,
        series_uid=headers.series_uid,
        frame_of_reference_uid=first.frame_of_reference or None,
        headers={**headers.headers, **units, **said, **extra},
        read_options=way.options.given,
        resampling=done.steps,
    )
    identity = (source, headers.modality or None, headers.description)
    result.volumes.append(Volume(done.array, done.affine_ras, *identity, made_up=done.made_up))
    return True


def _reject(result: SeriesResult, error: InputError) -> None:
    """The first error is the rejection; others stand in its message, and their files are excluded for their reason."""
    if result.rejection is None:
        result.rejection = error
        return
    result.also.append(f"{error} ({error.reason})")
    for path in error.files:
        _exclude(result, path, error.reason)


def _note_patients(frames: Sequence[Frame], result: SeriesResult) -> None:
    """Images of several Patient IDs: whose the volumes are is not known. The IDs themselves are written nowhere."""
    by_patient: dict[str, list[Path]] = {}
    for frame in frames:
        if frame.patient:
            by_patient.setdefault(frame.patient, []).append(frame.path)
    if len(by_patient) > 1:
        fewest = list(dict.fromkeys(sorted(by_patient.values(), key=len)[0]))
        detail = f"its images name {len(by_patient)} Patient IDs; {_listed(fewest)} another one than the rest"
        _reject(result, InputError(Reason.MIXED_PATIENTS, detail, fewest))


def _note_lone(parts: Sequence[Part], read: Sequence[Part], result: SeriesResult) -> None:
    """An image that fits no stack of the series may be a slice that one of them lost."""
    for part in parts:
        if len(part.frames) == 1 and read and not is_aside(part.frames[0], [each.frames[0] for each in read]):
            lone = part.frames[0]
            what = " and ".join(differences(part, read)) or "a place of its own"
            detail = f"{lone.path.name} has {what} and fits no stack of its series: a slice may be missing there"
            _reject(result, InputError(Reason.SINGLE_SLICE, detail, [lone.path]))


def _note_mixed_orientation(parts: Sequence[Part], result: SeriesResult) -> None:
    """Single images that each have an orientation of their own (radial scans, scouts not marked as such)."""
    frames = [frame for part in parts for frame in part.frames]
    orientations = {frame.orientation for frame in frames}
    if result.volumes or result.rejection is not None or not len(parts) == len(frames) == len(orientations) > 1:
        return
    paths = list(dict.fromkeys(frame.path for frame in frames))
    result.excluded = [entry for entry in result.excluded if entry[1] is not Reason.SINGLE_SLICE]
    detail = f"each of its {len(frames)} images has an orientation of its own ({_listed(paths)})"
    result.rejection = InputError(Reason.MIXED_ORIENTATION, detail, paths)


def _voxels(stack: Stack, modality: str, way: _Way) -> tuple[Repaired, str | None]:
    """What `assemble` and `repair` give, with its digest; without pixels as far as headers tell, and none.

    A volume too large for memory is the series' failure, not the program's.
    """
    if way.pixels is None:
        return _outlined(stack, modality, way.options), None
    try:
        array, sha256 = assemble(stack, modality, way.pixels)
        done = repair(array, stack, modality, way.options)
    except MemoryError as error:
        paths = [frame.path for frame in stack.frames]
        detail = f"{len(paths)} slices do not fit into this machine's memory"
        raise InputError(Reason.TOO_LARGE, detail, paths) from error
    if done.steps:
        sha256 = digest(replace(stack, affine_ras=done.affine_ras), done.array)
    return done, sha256


def _outlined(stack: Stack, modality: str, options: ReadOptions) -> Repaired:
    """The grid alone. Raises InputError for what headers tell of pixels that cannot be read."""
    check_rescale(stack.frames, modality)
    for frame in stack.frames:
        check_syntax(frame)
    return outlined(stack, modality, options)


def _exclude(result: SeriesResult, path: Path, reason: Reason) -> None:
    if (path, reason) not in result.excluded:
        result.excluded.append((path, reason))


def _conclude(headers: SeriesHeaders, result: SeriesResult, options: ReadOptions) -> None:
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
