"""Images that fit no stack of their series: pictures put beside a scan, or slices that it lost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medimg.dicom.header import Frame
from medimg.dicom.part import Part
from medimg.dicom.place import axes

ASIDE_DEGREES = 10.0
"""An image whose normal differs by more from every stack's shows another plane, as a scout does."""


def is_secondary(frame: Frame) -> bool:
    """True for a picture made from images after the examination (PS3.3 section C.7.6.1.1.2, value 2)."""
    return frame.image_type[1:2] == ("SECONDARY",)


def is_derived(frame: Frame) -> bool:
    """True for an image computed from others (PS3.3 section C.7.6.1.1.2, value 1)."""
    return frame.image_type[:1] == ("DERIVED",)


def is_aside(frame: Frame, stacks: Sequence[Frame]) -> bool:
    """True for a lone image that was no slice: of another plane than every stack, or derived where they are not.

    stacks: one frame of each stack of the series.
    """
    derived = (is_derived(frame) or is_secondary(frame)) and not any(map(is_derived, stacks))
    return derived or all(_degrees(frame, other) > ASIDE_DEGREES for other in stacks)


def differences(part: Part, stacks: Sequence[Part]) -> list[str]:
    """In what a lone image differs from the stack it is most like, in words; the contrast it was split by included."""
    frame = part.frames[0]
    return min((_differences(frame, stack.frames[0], part) for stack in stacks), key=len)


def _differences(frame: Frame, other: Frame, part: Part) -> list[str]:
    told = {
        "another patient": frame.patient != other.patient,
        "another frame of reference": frame.frame_of_reference != other.frame_of_reference,
        "another size": (frame.rows, frame.columns) != (other.rows, other.columns),
        "another pixel spacing": frame.pixel_spacing != other.pixel_spacing,
        "another orientation": frame.orientation != other.orientation,
    }
    named = [f"another {mark}" for mark in part.split if frame.marks.get(mark) != other.marks.get(mark)]
    return [words for words, differs in told.items() if differs] + named


def _degrees(a: Frame, b: Frame) -> float:
    """Angle between the normals of two images, either side up."""
    cosine = abs(float(axes([a])[2] @ axes([b])[2]))
    return float(np.degrees(np.arccos(min(1.0, cosine))))
