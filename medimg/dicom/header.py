"""What one frame's header says, as plain values; and why a frame cannot be part of a volume."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID

from medimg.dicom import fields
from medimg.dicom.parse import Header, PixelBlock
from medimg.dicom.pixels.format import PixelFormat
from medimg.errors import Reason

PIXEL_DESCRIPTION = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)
"""What one must know to decode a pixel (PS3.3 section C.7.6.3)."""

FRAME_KEYWORDS = (
    "FileSetID",
    "SOPClassUID",
    "SOPInstanceUID",
    "ImageType",
    "FrameOfReferenceUID",
    "PatientID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    *PIXEL_DESCRIPTION,
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleIntercept",
    "RescaleSlope",
    "ModalityLUTSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
"""Read from every file; the marks and the series' own headers are added to them."""

VALUE_MARKS = (
    "ImageType",
    "SeriesNumber",
    "StackID",
    "ComplexImageComponent",
    "EchoNumbers",
    "EchoTime",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
    "InversionTime",
    "FlipAngle",
    "KVP",
    "ConvolutionKernel",
    "TemporalPositionIdentifier",
    "AcquisitionNumber",
    "TriggerTime",
)
"""Headers whose value may tell apart images of one place, the most telling first."""

ORDER_MARKS = ("AcquisitionDateTime", "AcquisitionTime", "ContentTime", "TriggerTime", "InstanceNumber")
"""Headers whose order may tell apart repeats in time when no value does; never used for geometry."""

MARKS = tuple(dict.fromkeys(VALUE_MARKS + ORDER_MARKS))

TEXT_MARKS = ("ImageType", "StackID", "ComplexImageComponent", "ConvolutionKernel")
"""Marks that are words; the others are numbers, times (HHMMSS.ffffff) included."""

MAX_FRAME_PIXELS = 1 << 26
"""8192 x 8192, above any tomographic slice: a larger claim in a compressed file is refused unread."""

UNIT_TOLERANCE = 1e-3
"""How far direction cosines may be from unit length and from a right angle before they mean nothing."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Where a slice lies in a mosaic image: its first row and column, and its size."""

    top: int
    left: int
    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One slice: a file, or one frame of a multi-frame file or one `tile` of a mosaic (`number`, counted from 0).

    position: LPS mm of the centre of the first pixel; orientation: LPS cosines of the direction in which columns
    grow, then rows; pixel_spacing: mm between rows, then between columns. None where the header gives none.
    slope, intercept: of the rescaling; None where the header gives none, NaN where it gives no number.
    padding: inclusive range of stored values that are not part of the scan. problem: why it cannot be used.
    patient: Patient ID, to tell patients apart; it is written nowhere.
    """

    path: Path
    number: int
    sop_uid: str
    frame_of_reference: str
    format: PixelFormat
    block: PixelBlock | None
    position: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None
    pixel_spacing: tuple[float, ...] | None = None
    slope: float | None = None
    intercept: float | None = None
    padding: tuple[int, int] | None = None
    image_type: tuple[str, ...] = ()
    marks: dict[str, Any] = field(default_factory=dict)
    problem: Reason | None = None
    patient: str = ""
    tile: Tile | None = None

    @property
    def rows(self) -> int:
        """Rows of the slice."""
        return self.format.rows if self.tile is None else self.tile.rows

    @property
    def columns(self) -> int:
        """Columns of the slice."""
        return self.format.columns if self.tile is None else self.tile.columns


def is_image(header: Header) -> bool:
    """True for an image object; false for reports, plans, segmentations, dose grids, presentation states."""
    name = _name_of_class(fields.text(header.dataset, "SOPClassUID"))
    if "Storage" in name:
        return "Image Storage" in name
    return header.pixels is not None and fields.integer(header.dataset, "Rows") is not None


@functools.lru_cache(256)
def _name_of_class(uid: str) -> str:
    return UID(uid).name


def is_cut_short(header: Header) -> bool:
    """True for a file that ends before it says what it is. A DICOMDIR says it in its file set's identification."""
    known = fields.text(header.dataset, "SOPClassUID") or fields.tag_of("FileSetID") in header.dataset
    return header.pixels is None and not known


def pixel_format(dataset: Dataset, transfer_syntax: str) -> PixelFormat:
    """Image pixel description; missing numbers are 0."""
    allocated = fields.integer(dataset, "BitsAllocated") or 0
    stored = fields.integer(dataset, "BitsStored") or allocated
    high_bit = fields.integer(dataset, "HighBit")
    return PixelFormat(
        rows=fields.integer(dataset, "Rows") or 0,
        columns=fields.integer(dataset, "Columns") or 0,
        allocated=allocated,
        stored=stored,
        high_bit=stored - 1 if high_bit is None else high_bit,
        signed=fields.integer(dataset, "PixelRepresentation") == 1,
        transfer_syntax=transfer_syntax,
        frames=fields.integer(dataset, "NumberOfFrames") or 1,
    )


def kind_problem(header: Header, image_type: tuple[str, ...]) -> Reason | None:
    """Why an image is not a slice of a scan, whatever its geometry; None when it may be one."""
    dataset = header.dataset
    upper = tuple(value.upper() for value in image_type)
    name = _name_of_class(fields.text(dataset, "SOPClassUID"))
    if "Secondary Capture" in name or "SCREEN SAVE" in upper:
        return Reason.SECONDARY_CAPTURE
    photometric = fields.text(dataset, "PhotometricInterpretation").upper()
    if (fields.integer(dataset, "SamplesPerPixel") or 1) > 1 or photometric == "PALETTE COLOR":
        return Reason.COLOUR
    if "LOCALIZER" in upper:
        return Reason.LOCALIZER
    if "MOSAIC" in upper or fields.items(dataset, "ModalityLUTSequence"):
        return Reason.UNSUPPORTED_KIND
    return None


def pixel_problem(form: PixelFormat, block: PixelBlock | None, frames: int) -> Reason | None:
    """Why the pixels cannot be read, told from the header and the file's size alone."""
    if block is None or form.rows * form.columns == 0:
        return Reason.TRUNCATED
    if form.rows * form.columns > MAX_FRAME_PIXELS:
        return Reason.TOO_LARGE
    if block.tag != 0x7FE00010 or form.allocated not in (8, 12, 16, 32) or not 0 < form.stored <= form.allocated:
        return Reason.UNSUPPORTED_KIND
    if block.length is None:
        return None if block.available > 0 else Reason.TRUNCATED
    needed = (form.frame_bits * frames + 7) // 8
    return Reason.TRUNCATED if needed > min(block.length, block.available) else None


def geometry_problem(frame: Frame) -> Reason | None:
    """NO_GEOMETRY unless position, unit orthogonal orientation and pixel spacing are there."""
    position, orientation, spacing = frame.position, frame.orientation, frame.pixel_spacing
    if position is None or orientation is None or spacing is None or min(spacing) <= 0:
        return Reason.NO_GEOMETRY
    row, column = orientation[:3], orientation[3:]
    lengths = (sum(v * v for v in row), sum(v * v for v in column))
    cosine = sum(a * b for a, b in zip(row, column, strict=True))
    sound = all(abs(length - 1) < UNIT_TOLERANCE for length in lengths) and abs(cosine) < UNIT_TOLERANCE
    return None if sound else Reason.NO_GEOMETRY


def fixed_length(values: tuple[float, ...], count: int) -> tuple[float, ...] | None:
    """`values` when there are exactly `count` finite ones."""
    finite = all(abs(value) < float("inf") for value in values)
    return values if len(values) == count and finite else None


def padding_range(dataset: Dataset) -> tuple[int, int] | None:
    """Pixel Padding Value and Range Limit as an inclusive range (PS3.3 section C.7.5.1.1.2), of the pixels' sign.

    Both are 16-bit words of that sign, which an implicit value representation does not show and writers get wrong:
    -2000 may stand there as 63536, and the other way round.
    """
    value = fields.integer(dataset, "PixelPaddingValue")
    if value is None:
        return None
    limit = fields.integer(dataset, "PixelPaddingRangeLimit")
    signed = fields.integer(dataset, "PixelRepresentation") == 1
    ends = [_as_word(end, signed) for end in (value, value if limit is None else limit)]
    return (min(ends), max(ends))


def _as_word(value: int, signed: bool) -> int:
    """The value of the same 16 bits under the sign given; one that takes more bits stays as it is."""
    if signed and 1 << 15 <= value < 1 << 16:
        return value - (1 << 16)
    if not signed and -(1 << 15) <= value < 0:
        return value + (1 << 16)
    return value


def marks_of(dataset: Dataset) -> dict[str, Any]:
    """The values that may tell this image from another of the same place."""
    marks: dict[str, Any] = {}
    for keyword in MARKS:
        values = fields.texts(dataset, keyword) if keyword in TEXT_MARKS else fields.numbers(dataset, keyword)
        if values:
            marks[keyword] = values if len(values) > 1 else values[0]
    return marks
