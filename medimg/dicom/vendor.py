"""Scalings beside the standard's Rescale: read, recorded with the volume, and applied only where that is asked for.

Private elements are found through their private creator, in whatever block it lies (PS3.5 section 7.8.1).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from medimg.dicom import fields
from medimg.dicom.header import Frame
from medimg.dicom.parse import PARSE_ERRORS, read_header, wanted
from medimg.dicom.voxels import check_rescale, scaling
from medimg.errors import InputError, Reason

PHILIPS_MR = "Philips MR Imaging DD 001"
"""Creator of Scale Slope (2005,xx0E): Chenevert et al., Transl Oncol 2014; 7:65-71, doi 10.1593/tlo.13811."""

PHILIPS_MR_FRAME = "Philips MR Imaging DD 005"
"""Creator of the sequence (2005,xx0F) that holds the classic elements of one frame of an enhanced image."""

PHILIPS_PET = "Philips PET Private Group"
"""Creator of the SUV Scale Factor (7053,xx00) and the Activity Concentration Scale Factor (7053,xx09)."""

PHILIPS_PET_FACTORS = {"PhilipsSUVScaleFactor": 0x00, "PhilipsActivityConcentrationScaleFactor": 0x09}
"""Name in a sidecar -> element of PHILIPS_PET: stored values times the factor give g/ml or Bq/ml."""

RWV_NUMBERS = {
    "RealWorldValueSlope": "slope",
    "RealWorldValueIntercept": "intercept",
    "RealWorldValueFirstValueMapped": "first_value_mapped",
    "RealWorldValueLastValueMapped": "last_value_mapped",
}
"""Keyword of the macro (PS3.3 section C.7.6.16.2.11) -> name in a sidecar."""

DAMAGE = (OSError, *PARSE_ERRORS)
"""What pydicom raises when it converts an element that is not what it says (OSError: a cut-short sequence)."""

BLOCKS = range(0x10, 0x100)
"""Where a private creator may lie (PS3.5 section 7.8.1)."""


def _private_tags(group: int, *elements: int) -> list[int]:
    """The creators of the group, and the elements in every block."""
    own = [group << 16 | block << 8 | element for block in BLOCKS for element in elements]
    return [group << 16 | block for block in BLOCKS] + own


STANDARD_TAGS = tuple(
    map(
        fields.tag_of,
        ("RealWorldValueMappingSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    )
)

TAGS = wanted(
    [*STANDARD_TAGS, *_private_tags(0x2005, 0x0E, 0x0F), *_private_tags(0x7053, *PHILIPS_PET_FACTORS.values())]
)
"""All that is read of a file here."""


class ScalingReader:
    """Reads headers a second time for what discovery leaves out; remembers the last file, which many frames share."""

    def __init__(self) -> None:
        self._last: tuple[Path, Dataset] | None = None

    def scaled(
        self, frames: tuple[Frame, ...], modality: str, maker: str, philips_precise: bool
    ) -> tuple[tuple[Frame, ...], dict[str, Any]]:
        """The frames of one volume with the scaling that was asked for, and what their headers say, for the sidecar.

        Files of other makers than Philips are read for the first frame only; what is damaged says nothing.
        Raises InputError (no_rescale) as `precise` does.
        """
        mappings = self._real_world_values(frames[0])
        said: dict[str, Any] = {"RealWorldValueMapping": mappings} if mappings else {}
        philips = "philips" in maker.lower()
        if maker and not philips:
            return frames, said
        if modality == "PT":
            factors = [self._pet_factors(frame) for frame in frames]
            for name in PHILIPS_PET_FACTORS:
                said |= _recorded(name, [values[name] for values in factors])
        slopes = [self._scale_slope(frame) for frame in frames] if modality == "MR" else []
        if not slopes or not (philips or any(slopes)):
            return frames, said
        said |= _recorded("PhilipsScaleSlope", slopes)
        kind = "precise" if philips_precise else "display"
        return precise(frames, slopes) if philips_precise else frames, {**said, "PhilipsScaling": kind}

    def _dataset(self, frame: Frame) -> Dataset:
        if self._last is None or self._last[0] != frame.path:
            try:
                self._last = (frame.path, read_header(frame.path, TAGS).dataset)
            except InputError:
                self._last = (frame.path, Dataset())
        return self._last[1]

    def _groups(self, frame: Frame) -> tuple[Dataset, ...]:
        """Where a frame's values may stand, the most special first: its own group, the shared one, the file."""
        dataset = self._dataset(frame)
        with contextlib.suppress(*DAMAGE):
            own = fields.items(dataset, "PerFrameFunctionalGroupsSequence")
            shared = fields.first_item(dataset, "SharedFunctionalGroupsSequence")
            return (*own[frame.number : frame.number + 1], shared, dataset)
        return (dataset,)

    def _real_world_values(self, frame: Frame) -> list[dict[str, Any]]:
        with contextlib.suppress(*DAMAGE):
            found = [fields.items(group, "RealWorldValueMappingSequence") for group in self._groups(frame)]
            return [_mapping(item) for item in next((items for items in found if items), [])]
        return []

    def _scale_slope(self, frame: Frame) -> float | None:
        """Not 0; in the file, in the frame's group, or in the classic elements that the group holds."""
        for group in self._groups(frame):
            classic = private_value(group, 0x2005, PHILIPS_MR_FRAME, 0x0F)
            for dataset in (group, *(classic if isinstance(classic, DicomSequence) else ())):
                if slope := _number(dataset, 0x2005, PHILIPS_MR, 0x0E):
                    return slope
        return None

    def _pet_factors(self, frame: Frame) -> dict[str, float | None]:
        dataset = self._dataset(frame)
        return {name: _number(dataset, 0x7053, PHILIPS_PET, element) for name, element in PHILIPS_PET_FACTORS.items()}


def precise(frames: Sequence[Frame], scale_slopes: Sequence[float | None]) -> tuple[Frame, ...]:
    """Frames whose rescaling gives the scanner's floating-point values instead of the display values.

    (PV x RS + RI) / (RS x SS) with stored value PV, Rescale Slope RS and Intercept RI, Scale Slope SS (Chenevert).
    Raises InputError (no_rescale) unless every frame has its Scale Slope, and a public rescaling if others have.
    """
    check_rescale(frames, "MR")
    known = [slope for slope in scale_slopes if slope]
    if len(known) != len(frames):
        detail = "not every image has the Philips Scale Slope (2005,100E) that --philips-precise needs"
        raise InputError(Reason.NO_RESCALE, detail, list(dict.fromkeys(frame.path for frame in frames)))
    result = []
    for frame, scale_slope in zip(frames, known, strict=True):
        slope, intercept = scaling(frame)
        result.append(replace(frame, slope=1 / scale_slope, intercept=intercept / ((slope or 1.0) * scale_slope)))
    return tuple(result)


def private_value(dataset: Dataset, group: int, creator: str, element: int) -> Any:
    """The value of a private element of that creator; None when there is none, or it is damaged."""
    with contextlib.suppress(*DAMAGE):
        return dataset.private_block(group, creator)[element].value
    return None


def _number(dataset: Dataset, group: int, creator: str, element: int) -> float | None:
    try:
        value = float(private_value(dataset, group, creator, element))
    except (TypeError, ValueError):
        return None
    return value if abs(value) < float("inf") else None


def _mapping(item: Dataset) -> dict[str, Any]:
    said: dict[str, Any] = {name: fields.number(item, keyword) for keyword, name in RWV_NUMBERS.items()}
    unit = fields.first_item(item, "MeasurementUnitsCodeSequence")
    return {**said, "unit": fields.human(unit, "CodeValue") or None, "label": fields.human(item, "LUTLabel") or None}


def _recorded(name: str, values: Sequence[float | None]) -> dict[str, Any]:
    """{name: value}, or the distinct values in slice order where they differ; {} when there is none."""
    distinct = list(dict.fromkeys(value for value in values if value is not None))
    return {name: distinct[0] if len(distinct) == 1 else distinct} if distinct else {}
