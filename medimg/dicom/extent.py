"""Volumes of one scan cover the same places: a phase that ends before the others has lost slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from medimg.dicom.contrast import contrast_words
from medimg.dicom.part import Part
from medimg.dicom.place import places
from medimg.errors import InputError, Reason

REGION_MARKS = ("Station", "SeriesNumber", "StackID", "ConvolutionKernel", "Stack")
"""Parts that differ in one of these may cover different regions and have lost nothing."""

MOSTLY = 0.5
"""Two parts that share more than this of the places that either has are phases of one scan."""


def with_lost_ends(parts: Sequence[Part]) -> list[Part]:
    """The parts of one grid, those with a problem that lack places which another phase of the same scan has."""
    frames = [frame for part in parts for frame in part.frames]
    numbers = iter(places(frames).tolist())
    covered = [{next(numbers) for _frame in part.frames} for part in parts]
    result = []
    for part, own in zip(parts, covered, strict=True):
        others = [
            theirs
            for other, theirs in zip(parts, covered, strict=True)
            if other is not part and len(theirs) > 1 and _region(other) == _region(part)
        ]
        whole = own.union(*(theirs for theirs in others if _one_scan(own, theirs)))
        lost = len(whole) - len(own)
        result.append(replace(part, problem=_lost(part, len(own), lost)) if lost and _may_lack(part) else part)
    return result


def _may_lack(part: Part) -> bool:
    """A lone image is told of as such."""
    return part.problem is None and len(part.frames) > 1


def _one_scan(own: set[int], other: set[int]) -> bool:
    return own < other or len(own & other) > MOSTLY * len(own | other)


def _region(part: Part) -> tuple[Any, ...]:
    """What phases of one scan have in common: the image type counts without what it says of the contrast."""
    words = contrast_words(part.frames[0].image_type)
    kind = (part.frames[0].image_type[:2], len(words) and words if not set(words) <= set("MPRI") else ())
    return (*(part.split.get(mark) for mark in REGION_MARKS), kind)


def _lost(part: Part, covered: int, lost: int) -> InputError:
    named = ", ".join(f"{mark} {_shown(value)}" for mark, value in part.split.items())
    detail = f"the volume of {named} has {covered} of the {covered + lost} slices that it has with its other phases"
    return InputError(Reason.MISSING_SLICES, detail, tuple(dict.fromkeys(frame.path for frame in part.frames)))


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "\\".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
