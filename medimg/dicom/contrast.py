"""Which images show one contrast: headers that hold one value in all slices of a scan, as scanners write them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from medimg.dicom.header import Frame

CONTRAST_MARKS = (
    "ImageType",
    "ComplexImageComponent",
    "EchoNumbers",
    "EchoTime",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
    "InversionTime",
    "FlipAngle",
    "KVP",
    "ConvolutionKernel",
)
"""Marks that no sound volume has two values of. Times, acquisition numbers and triggers go on slice by slice."""

ABSENT_DIFFERS = ("DiffusionBValue", "InversionTime")
"""Marks whose absence says something (no diffusion weighting, no inversion); else it says nothing."""

TOLERANCE = 0.01
"""Relative difference within which two numbers are one setting, which scanners round as they like."""

DIRECTION_TOLERANCE = 0.01
"""Largest difference of a cosine within one gradient direction."""

COMPONENT = re.compile(r"([MPRI])(_[A-Z0-9]+)?")
"""Magnitude, phase, real and imaginary in Image Type: Siemens and GE write M, Philips M_FFE."""

COMPONENT_WORDS = {"MAGNITUDE": "M", "PHASE": "P", "PHASE MAP": "P", "REAL": "R", "IMAGINARY": "I"}
"""The same in words (PS3.3 section C.8.13.3.1.1, and older writers)."""

CONTRAST_WORDS = frozenset(
    ["WATER", "FAT", "IN_PHASE", "OUT_PHASE", "OPP_PHASE", "IN", "OUT", "W", "F", "IP", "OP", "ADC", "TRACEW", "FA"],
)
"""Other words of Image Type that name what the grey values are; the rest say how an image was stored or filtered."""


def contrast_words(image_type: Sequence[str]) -> tuple[str, ...]:
    """What an Image Type says of the contrast; () when nothing."""
    return tuple(sorted({word for word in map(_contrast_word, image_type[2:]) if word}))


def _contrast_word(value: str) -> str:
    word = value.upper()
    component = COMPONENT.fullmatch(word)
    if component is not None:
        return component[1]
    return COMPONENT_WORDS.get(word, word if word in CONTRAST_WORDS else "")


def contrasts(frames: Sequence[Frame], mark: str) -> dict[Any, list[int]]:
    """Value of the mark, as one of its images has it -> rows of the images of that contrast, in order of value.

    One entry where all are alike. An image without the mark belongs to the one contrast the others have, if it is
    one and the absence says nothing.
    """
    values = [_compared(frame, mark) for frame in frames]
    named: list[Any] = []
    for value in sorted({value for value in values if value is not None}, key=rank):
        if not any(_alike(other, value) for other in named):
            named.append(value)
    alone = named[0] if len(named) == 1 and mark not in ABSENT_DIFFERS else None
    groups: dict[Any, list[int]] = {}
    for row, value in enumerate(values):
        home = alone if value is None else next(other for other in named if _alike(other, value))
        groups.setdefault(home, []).append(row)
    ordered = in_sequence(mark, {home: groups[home] for home in sorted(groups, key=rank)}, frames)
    return {_written(frames, rows, mark): rows for rows in ordered.values()}


def in_sequence(mark: str, groups: dict[Any, list[int]], frames: Sequence[Frame]) -> dict[Any, list[int]]:
    """Gradient directions have no order of their own: they come as they were taken, by instance number."""
    numbers = [frame.marks.get("InstanceNumber") for frame in frames]
    known = [number for number in numbers if isinstance(number, float)]
    if mark != "DiffusionGradientOrientation" or len(known) < len(frames):
        return groups
    return dict(sorted(groups.items(), key=lambda entry: min(known[row] for row in entry[1])))


def _compared(frame: Frame, mark: str) -> Any:
    value = frame.marks.get(mark)
    return (contrast_words(frame.image_type) or None) if mark == "ImageType" else value


def _written(frames: Sequence[Frame], rows: Sequence[int], mark: str) -> Any:
    """The value as the first of the images writes it that has one."""
    written = (frames[row].marks.get(mark) for row in rows if _compared(frames[row], mark) is not None)
    return next(written, None)


def _alike(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=TOLERANCE)
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b) and not {*map(type, a + b)} - {float}:
        return all(abs(x - y) <= DIRECTION_TOLERANCE for x, y in zip(a, b, strict=True))
    return bool(a == b)


def rank(value: Any) -> tuple[tuple[int, float, str], ...]:
    """A key that sorts values of one mark: none first, numbers by size, words by the alphabet."""
    if value is None:
        return ()
    parts = value if isinstance(value, tuple) else (value,)
    return tuple((1, 0.0, part) if isinstance(part, str) else (0, float(part), "") for part in parts)
