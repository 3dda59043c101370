"""One series from headers to volumes: images that cannot be used are left out with a reason, never silently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from medimg.dicom.decode import PixelReader, check_syntax
from medimg.dicom.discover import SeriesHeaders
from medimg.dicom.group import Identical, parts_of
from medimg.dicom.header import Frame
from medimg.dicom.lone import is_secondary
from medimg.dicom.options import AS_SCANNED, ReadOptions
from medimg.dicom.parse import quiet
from medimg.dicom.part import Part
from medimg.dicom.place import Stack, place
from medimg.dicom.repair import Repaired, outlined, repair
from medimg.dicom.units import units_of
from medimg.dicom.vendor import ScalingReader
from medimg.dicom.verdict import (
    SeriesResult,
    conclude,
    exclude,
    note_lone,
    note_mixed_orientation,
    note_patients,
    reject,
)
from medimg.dicom.voxels import assemble, check_rescale, digest, scaling
from medimg.errors import InputError, Reason
from medimg.study import Source, SourceFrame, Volume

FATAL = (Reason.TRUNCATED, Reason.TOO_LARGE)
"""A damaged image was a slice: the series cannot be whole without it."""


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
            note_patients(sound, result)
            parts = _parts(sound, identical, result)
            read = [part for part in parts if _read_part(part, headers, way, result)]
            note_mixed_orientation(parts, result)
            note_lone(parts, read, result)
    conclude(headers, result, way.options)
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
            exclude(result, frame.path, reason)
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
        reject(result, error)
        return []
    for part in parts:
        for copy in part.copies:
            exclude(result, copy.path, Reason.DUPLICATE_FILE)
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
            exclude(result, part.frames[0].path, Reason.SINGLE_SLICE)
        else:
            reject(result, error)
        return False
    first = stack.frames[0]
    extra = {"split": part.split} if part.split else {}
    source = Source(
        path=headers.root,
        kind="dicom",
        files=tuple(dict.fromkeys(frame.path for frame in stack.frames)),
        frames=tuple(SourceFrame(frame.path, frame.number) for frame in stack.frames),
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
