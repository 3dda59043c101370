"""What the values of a volume are measured in: one unit for all of its slices."""

from __future__ import annotations

from collections.abc import Sequence

from medimg.dicom.frames import UNIT_KEYWORDS
from medimg.dicom.header import Frame
from medimg.errors import InputError, Reason


def units_of(frames: Sequence[Frame]) -> dict[str, str]:
    """The units that the slices of one volume name, {} for none. Raises InputError (no_rescale) for several of one."""
    said: dict[str, str] = {}
    for keyword in UNIT_KEYWORDS:
        having = [frame for frame in frames if keyword in frame.marks]
        named = {frame.marks[keyword].upper(): frame for frame in reversed(having)}
        if len(named) > 1:
            values = " and ".join(f"{unit} ({frame.path.name})" for unit, frame in sorted(named.items()))
            paths = list(dict.fromkeys(frame.path for frame in frames))
            raise InputError(Reason.NO_RESCALE, f"slices of one volume differ in {keyword}: {values}", paths)
        if having:
            said[keyword] = having[0].marks[keyword]
    return said
