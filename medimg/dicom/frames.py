"""From one file's header to its frames: one for a classic image, one per frame for an enhanced multi-frame image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from medimg.dicom import fields
from medimg.dicom.header import (
    Frame,
    fixed_length,
    geometry_problem,
    kind_problem,
    marks_of,
    padding_range,
    pixel_format,
    pixel_problem,
)
from medimg.dicom.mosaic import is_mosaic, tiles_of
from medimg.dicom.parse import Header
from medimg.errors import Reason

MAX_FRAMES = 1 << 20
"""More frames than any scan has; a larger claim is refused before a list of that length is made."""

ENHANCED_MARKS = {
    "EffectiveEchoTime": ("MREchoSequence", "EchoTime"),
    "DiffusionBValue": ("MRDiffusionSequence", "DiffusionBValue"),
    "TemporalPositionIndex": ("FrameContentSequence", "TemporalPositionIdentifier"),
    "FrameAcquisitionNumber": ("FrameContentSequence", "AcquisitionNumber"),
    "FrameAcquisitionDateTime": ("FrameContentSequence", "AcquisitionDateTime"),
    "NominalCardiacTriggerDelayTime": ("CardiacSynchronizationSequence", "TriggerTime"),
}
"""Keyword in a functional group -> (its sequence, the mark of a classic image that means the same)."""

ENHANCED_WORDS = {"ComplexImageComponent": "MRImageFrameTypeSequence", "StackID": "FrameContentSequence"}
"""Marks that are words -> the functional group they stand in."""

UNIT_KEYWORDS = ("RescaleType", "Units")
"""What the rescaled values are: one volume has one of each (PS3.3 sections C.11.1.1.2 and C.8.9.1.1.3)."""

FRAME_TYPE_SEQUENCES = ("CTImageFrameTypeSequence", "MRImageFrameTypeSequence", "PETFrameTypeSequence")
"""Where enhanced images keep the type of one frame (PS3.3 sections C.8.15.3.1, C.8.13.5.1, C.8.22.5.1)."""


def frames_of(path: Path, header: Header) -> list[Frame]:
    """Every frame the file holds, each with its problem if it has one. At least one frame."""
    dataset = header.dataset
    count = fields.integer(dataset, "NumberOfFrames") or 1
    groups = fields.items(dataset, "PerFrameFunctionalGroupsSequence")
    whole = _classic(path, header)
    if is_mosaic(whole, dataset):
        tiles = [replace(tile, problem=None) for tile in tiles_of(whole, dataset)]
        return [replace(tile, problem=_problem(tile, 1)) for tile in tiles] or [whole]
    if not groups:
        problem = whole.problem or (Reason.UNSUPPORTED_KIND if count > 1 else _problem(whole, 1))
        return [whole if problem is None else replace(whole, problem=problem)]
    if whole.problem is not None:
        return [whole]
    if count > MAX_FRAMES or count != len(groups):
        return [replace(whole, problem=Reason.TRUNCATED)]
    shared = fields.first_item(dataset, "SharedFunctionalGroupsSequence")
    return [_enhanced(whole, number, count, group, shared) for number, group in enumerate(groups)]


def _classic(path: Path, header: Header) -> Frame:
    dataset = header.dataset
    image_type = fields.texts(dataset, "ImageType")
    return Frame(
        path=path,
        number=0,
        sop_uid=fields.text(dataset, "SOPInstanceUID"),
        frame_of_reference=fields.text(dataset, "FrameOfReferenceUID"),
        patient=fields.text(dataset, "PatientID"),
        format=pixel_format(dataset, header.transfer_syntax),
        block=header.pixels,
        position=fixed_length(fields.numbers(dataset, "ImagePositionPatient"), 3),
        orientation=fixed_length(fields.numbers(dataset, "ImageOrientationPatient"), 6),
        pixel_spacing=fixed_length(fields.numbers(dataset, "PixelSpacing"), 2),
        slope=fields.number(dataset, "RescaleSlope"),
        intercept=fields.number(dataset, "RescaleIntercept"),
        padding=padding_range(dataset),
        image_type=image_type,
        marks={**marks_of(dataset), **_units(dataset)},
        problem=kind_problem(header, image_type),
    )


def _units(dataset: Dataset) -> dict[str, str]:
    values = {keyword: fields.human(dataset, keyword) for keyword in UNIT_KEYWORDS}
    return {keyword: value for keyword, value in values.items() if value}


def _problem(frame: Frame, count: int) -> Reason | None:
    return pixel_problem(frame.format, frame.block, count) or geometry_problem(frame)


def _enhanced(whole: Frame, number: int, count: int, group: Dataset, shared: Dataset) -> Frame:
    def macro(keyword: str) -> Dataset:
        """A functional group macro: the frame's own, else the one all frames share (PS3.3 section C.7.6.16)."""
        own = fields.first_item(group, keyword)
        return own if len(own) else fields.first_item(shared, keyword)

    transformation = macro("PixelValueTransformationSequence")
    frame_types = [fields.texts(macro(keyword), "FrameType") for keyword in FRAME_TYPE_SEQUENCES]
    image_type = next((kind for kind in frame_types if kind), whole.image_type)
    frame = replace(
        whole,
        number=number,
        position=fixed_length(fields.numbers(macro("PlanePositionSequence"), "ImagePositionPatient"), 3),
        orientation=fixed_length(fields.numbers(macro("PlaneOrientationSequence"), "ImageOrientationPatient"), 6),
        pixel_spacing=fixed_length(fields.numbers(macro("PixelMeasuresSequence"), "PixelSpacing"), 2),
        slope=fields.number(transformation, "RescaleSlope"),
        intercept=fields.number(transformation, "RescaleIntercept"),
        image_type=image_type,
        marks={
            **whole.marks,
            **_units(transformation),
            **_enhanced_marks(macro),
            "ImageType": image_type,
            "InstanceNumber": float(number),
        },
    )
    localizer = Reason.LOCALIZER if "LOCALIZER" in image_type else None
    return replace(frame, problem=localizer or _problem(frame, count))


def _enhanced_marks(macro: Any) -> dict[str, Any]:
    marks: dict[str, Any] = {}
    for keyword, (sequence, mark) in ENHANCED_MARKS.items():
        value = fields.number(macro(sequence), keyword)
        if value is not None:
            marks[mark] = value
    direction = fields.first_item(macro("MRDiffusionSequence"), "DiffusionGradientDirectionSequence")
    gradient = fields.numbers(direction, "DiffusionGradientOrientation")
    if gradient:
        marks["DiffusionGradientOrientation"] = gradient
    for keyword, sequence in ENHANCED_WORDS.items():
        word = fields.text(macro(sequence), keyword)
        if word:
            marks[keyword] = word
    return marks
