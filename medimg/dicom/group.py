"""Which frames of a series belong together: same grid in plane, told apart by echo, phase or time."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.dicom.contrast import CONTRAST_MARKS, contrasts, in_sequence, rank
from medimg.dicom.extent import with_lost_ends
from medimg.dicom.header import ORDER_MARKS, VALUE_MARKS, Frame
from medimg.dicom.part import Part
from medimg.dicom.place import SAME_POSITION_MM, along_normal, axes, is_even, places, positions
from medimg.errors import InputError, Reason

ORIENTATION_TOLERANCE = 2.1e-4
"""Largest difference of a direction cosine within one group: two images that each jitter by 1e-4."""

SPACING_TOLERANCE = 1e-4
"""Largest relative difference of pixel spacing within one group."""

GAP_MM = 50.0
"""A gap this wide ..."""

GAP_SPACINGS = 10.0
"""... and of this many slice spacings separates two stacks; a smaller one is missing slices."""

STATION_MM = 1.0
"""Images of one place whose origins differ by more in plane show different regions (stations of a long scan)."""

MIN_INTERLEAVED = 3
"""Slices each of two interleaved scans must have before their even spacing is evidence."""

INTERLEAVED_MARKS = (
    "ImageType",
    "StackID",
    "ComplexImageComponent",
    "EchoNumbers",
    "EchoTime",
    "ConvolutionKernel",
    "TemporalPositionIdentifier",
    "AcquisitionNumber",
)
"""Marks that show two scans when their values take turns along the normal; others vary slice by slice in one scan."""

TIMES_OF_DAY = ("AcquisitionTime", "ContentTime")
"""Order marks that have no date."""

HALF_A_DAY = 120000.0
"""As HHMMSS; no scan is as long."""

Identical = Callable[[Frame, Frame], bool]
"""Whether two frames hold the same pixel values."""


def parts_of(frames: Sequence[Frame], identical: Identical) -> list[Part]:
    """Split the sound frames of one series into candidate volumes; every frame is in one part, or a copy of one."""
    result: list[Part] = []
    for group in _same_grid(_completed(frames)):
        apart = [part for stack in _stacks(group) for part in _told_apart(stack)]
        singles = [single for part in apart for single in _without_repeats(part, identical)]
        pure = [piece for single in singles for piece in _of_one_contrast(single)]
        result += with_lost_ends([run for piece in pure for run in _runs(piece)])
    return result


def _completed(frames: Sequence[Frame]) -> list[Frame]:
    """Frames that leave out their patient or frame of reference are of the one that the others name, if it is one."""
    patient = _only([frame.patient for frame in frames])
    reference = _only([frame.frame_of_reference for frame in frames])
    return [
        frame
        if (frame.patient or not patient) and (frame.frame_of_reference or not reference)
        else replace(frame, patient=frame.patient or patient, frame_of_reference=frame.frame_of_reference or reference)
        for frame in frames
    ]


def _only(names: Sequence[str]) -> str:
    """The one name among the names, blanks aside; "" when there are several or none."""
    named = set(names) - {""}
    return named.pop() if len(named) == 1 else ""


def _same_grid(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Groups of one patient, frame of reference, size, pixel spacing and orientation, in order of appearance."""
    groups: list[list[Frame]] = []
    for frame in frames:
        home = next((group for group in groups if _fits(group[0], frame)), None)
        if home is None:
            groups.append([frame])
        else:
            home.append(frame)
    return groups


def _fits(first: Frame, other: Frame) -> bool:
    if (first.patient, first.frame_of_reference) != (other.patient, other.frame_of_reference):
        return False
    if (first.rows, first.columns) != (other.rows, other.columns):
        return False
    cosines = zip(first.orientation or (), other.orientation or (), strict=True)
    spacings = zip(first.pixel_spacing or (), other.pixel_spacing or (), strict=True)
    same_orientation = all(abs(a - b) <= ORIENTATION_TOLERANCE for a, b in cosines)
    return same_orientation and all(abs(a - b) <= SPACING_TOLERANCE * a for a, b in spacings)


def _stacks(frames: list[Frame]) -> list[Part]:
    """Split by Stack ID, unless every image has one of its own: that is no stack."""
    groups = _by_value([frame.marks.get("StackID") for frame in frames])
    if not 1 < len(groups) < len(frames):
        return [Part(frames)]
    return [Part([frames[i] for i in rows], {"StackID": value}) for value, rows in groups.items()]


def _told_apart(part: Part) -> list[Part]:
    """Split by the first mark that explains repeated places, or that shows two scans interleaved; then again."""
    frames = part.frames
    place = places(frames)
    repeats = len(frames) - len(set(place.tolist()))
    for mark, groups in _candidates(frames, repeats):
        if _explains(mark, groups, place, repeats) if repeats else _interleaved(mark, frames, groups):
            split = (Part([frames[i] for i in rows], {**part.split, mark: value}) for value, rows in groups.items())
            return [smaller for piece in split for smaller in _told_apart(piece)]
    return [part]


def _candidates(frames: Sequence[Frame], repeats: int) -> Iterator[tuple[str, dict[Any, list[int]]]]:
    if repeats:
        yield "Station", _by_value([_station(frames, index) for index in range(len(frames))])
    for mark in VALUE_MARKS:
        groups = in_sequence(mark, _by_value([frame.marks.get(mark) for frame in frames]), frames)
        if len(groups) > 1:
            yield mark, groups


def _station(frames: Sequence[Frame], index: int) -> tuple[int, int]:
    """In-plane origin of a frame in steps of STATION_MM, relative to the first frame's."""
    offset = positions([frames[index]])[0] - positions([frames[0]])[0]
    row, column, _normal = axes(frames[:1])
    return (round(float(offset @ row) / STATION_MM), round(float(offset @ column) / STATION_MM))


def _by_value(values: Sequence[Any]) -> dict[Any, list[int]]:
    """Value -> its rows, in order of the values: file names say nothing of it."""
    groups: dict[Any, list[int]] = {}
    for index, value in enumerate(values):
        groups.setdefault(value, []).append(index)
    return {value: groups[value] for value in sorted(groups, key=rank)}


def _explains(mark: str, groups: dict[Any, list[int]], place: NDArray[np.int64], repeats: int) -> bool:
    """True when the groups are stacks in which fewer places repeat than before (`repeats`)."""
    sizes = [len(set(place[rows].tolist())) for rows in groups.values()]
    # a lone image of another type (a derived picture put into the series) may stand apart; it becomes no volume
    smallest = 1 if mark == "ImageType" else 2
    return len(groups) > 1 and max(sizes) > 1 and min(sizes) >= smallest and len(place) - sum(sizes) < repeats


def _interleaved(mark: str, frames: Sequence[Frame], groups: dict[Any, list[int]]) -> bool:
    """True when each group alone is an even stack and the groups take turns along the normal."""
    if mark not in INTERLEAVED_MARKS:
        return False
    depth = along_normal(frames)
    if any(len(rows) < MIN_INTERLEAVED or not is_even(depth[rows]) for rows in groups.values()):
        return False
    label = np.empty(len(frames), dtype=np.int64)
    for number, rows in enumerate(groups.values()):
        label[rows] = number
    turns = 1 + int(np.count_nonzero(np.diff(label[np.argsort(depth, kind="stable")])))
    return turns > len(groups)


def _of_one_contrast(part: Part) -> list[Part]:
    """Split by every mark that a volume has one value of; what is left of each then shows its own gaps."""
    for mark in CONTRAST_MARKS:
        groups = contrasts(part.frames, mark)
        if len(groups) > 1:
            depth = along_normal(part.frames)
            pieces = [
                Part(
                    [part.frames[i] for i in rows],
                    {**part.split, mark: value},
                    problem=_between(mark, part, rows, depth),
                )
                for value, rows in groups.items()
            ]
            pieces[0] = replace(pieces[0], copies=part.copies)
            return [smaller for piece in pieces for smaller in _of_one_contrast(piece)]
    return [part]


def _between(mark: str, part: Part, rows: list[int], depth: NDArray[np.float64]) -> InputError | None:
    """Two slices with others between them may be all that is left of a scan: no spacing is evidence of it."""
    inside = (depth > depth[rows].min()) & (depth < depth[rows].max())
    if part.problem is not None or not 1 < len(rows) < MIN_INTERLEAVED or not inside.any():
        return part.problem
    paths = [part.frames[row].path for row in rows]
    detail = f"between {paths[0].name} and {paths[-1].name} lie images of another {mark}"
    return InputError(Reason.MISSING_SLICES, detail, paths)


def _without_repeats(part: Part, identical: Identical) -> list[Part]:
    """Drop copies, or split repeats in time; what still repeats is left for `place` to refuse."""
    members = _by_value(places(part.frames).tolist())
    if len(members) == len(part.frames):
        return [part]
    pairs = ((part.frames[rows[0]], part.frames[row]) for rows in members.values() for row in rows[1:])
    only_copies = all(identical(first, other) for first, other in pairs)
    if not only_copies:
        for mark in ORDER_MARKS:
            values = [frame.marks.get(mark) for frame in part.frames]
            volumes = [] if _passes_midnight(mark, values) else _in_order(values, members)
            if volumes:
                return [
                    Part([part.frames[i] for i in rows], {**part.split, mark: number})
                    for number, rows in enumerate(volumes, start=1)
                ]
    kept: list[Frame] = []
    copies: list[Frame] = []
    for rows in members.values():
        for position, row in enumerate(rows):
            same = any(identical(part.frames[earlier], part.frames[row]) for earlier in rows[:position])
            (copies if same else kept).append(part.frames[row])
    return [Part(kept, part.split, copies)]


def _passes_midnight(mark: str, values: Sequence[Any]) -> bool:
    """True when times without a date span more than half a day: what looks last may have been first."""
    known = [value for value in values if isinstance(value, float)]
    return mark in TIMES_OF_DAY and bool(known) and max(known) - min(known) > HALF_A_DAY


def _in_order(values: Sequence[Any], members: dict[int, list[int]]) -> list[list[int]]:
    """Frames of each repeat in time, or [] when the values give no unambiguous order.

    values: of the ordering mark, per frame; members: place -> its frames. Accepted: whole volumes one after the
    other, or all repeats of one place after those of another.
    """
    repeats = len(members[0])
    if any(value is None for value in values) or any(len(rows) != repeats for rows in members.values()):
        return []
    ranked = [sorted(rows, key=lambda row: values[row]) for rows in members.values()]
    if any(values[a] >= values[b] for rows in ranked for a, b in itertools.pairwise(rows)):
        return []
    volumes = [list(volume) for volume in zip(*ranked, strict=True)]
    by_volume = _consecutive([[values[row] for row in rows] for rows in volumes])
    by_place = _consecutive([[values[row] for row in rows] for rows in ranked])
    return volumes if by_volume or by_place else []


def _consecutive(blocks: list[list[Any]]) -> bool:
    """True when the value ranges of the blocks do not overlap."""
    ranges = sorted((min(block), max(block)) for block in blocks)
    return all(earlier[1] < later[0] for earlier, later in itertools.pairwise(ranges))


def _runs(part: Part) -> list[Part]:
    """Split where a gap is too wide for missing slices (two stacks in one series)."""
    depth = along_normal(part.frames)
    order = np.argsort(depth, kind="stable")
    gaps = np.diff(depth[order])
    distinct = gaps[gaps > SAME_POSITION_MM]
    if not len(distinct):
        return [part]
    limit = max(GAP_MM, GAP_SPACINGS * statistics.median(distinct.tolist()))
    runs = np.split(order, np.flatnonzero(gaps > limit) + 1)
    if len(runs) == 1:
        return [part]
    split = [Part([part.frames[i] for i in rows], {**part.split, "Stack": n}) for n, rows in enumerate(runs, start=1)]
    return [Part(split[0].frames, split[0].split, part.copies), *split[1:]]
