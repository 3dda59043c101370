"""The DICOM images a volume was made of, as the objects made from it need them: who, which images, where they lie.

Headers are read again, from the files the volume names. Text is decoded with the source's character set and goes out
as UTF-8; dates, times and sex that no DICOM value can hold are left empty rather than copied.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from medimg.dicom import fields
from medimg.dicom.frames import frames_of
from medimg.dicom.header import Frame
from medimg.dicom.keywords import HEADER_TAGS
from medimg.dicom.parse import Header, quiet, read_header, wanted
from medimg.dicom.place import axes
from medimg.errors import InputError, Reason
from medimg.report.dicom.derive import derived
from medimg.study import Source

UNICODE = "ISO_IR 192"
"""Specific Character Set of everything medimg writes: UTF-8 (PS3.3 section C.12.1.1.2)."""

WHO = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
    "TimezoneOffsetFromUTC",
)
"""Patient and study, as the source has them (PS3.3 sections C.7.1, C.7.2)."""

SCANNER = ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "InstitutionName")
"""The scanner, for Contributing Equipment (PS3.3 section C.12.1)."""

IMAGE = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod", "SliceThickness")

ALWAYS_THERE = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Type 2: present in every object, empty where the source has none."""

SOUND: dict[str, str] = {
    "PatientBirthDate": r"\d{8}",
    "StudyDate": r"\d{8}",
    "StudyTime": r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?",
    "PatientSex": r"[MFO]",
    "PatientAge": r"\d{3}[DWMY]",
    "PatientIdentityRemoved": r"YES|NO",
    "TimezoneOffsetFromUTC": r"[+-]\d{4}",
    "LossyImageCompression": r"0[01]",
}
"""Pattern that a value must have to be copied (PS3.5 section 6.2)."""

NUMBERS = ("PatientSize", "PatientWeight", "SliceThickness")

TAGS = wanted([*HEADER_TAGS, *(fields.tag_of(keyword) for keyword in (*WHO, *SCANNER, *IMAGE))])


@dataclass(frozen=True)
class Plane:
    """One slice: which frame of which image, and where it lies. frame counts from 1; None for a whole image.

    position (3,): LPS mm of the centre of its first pixel. whole: its pixels are those of the image or frame.
    """

    sop_class_uid: str
    sop_instance_uid: str
    frame: int | None
    position: tuple[float, ...]
    whole: bool = True


@dataclass(frozen=True)
class Original:
    """The series a volume was read from: who was scanned, the slices in order, and the grid they share.

    who: patient and study, in UTF-8, every type 2 attribute there; scanner: its attributes. cosines: (2, 3), LPS, of
    growing column and growing row; spacing_mm: between rows, between columns. step_mm: between slices, None where
    they are not even. warnings: what had to be made up.
    """

    who: Dataset
    scanner: Dataset
    series_uid: str
    frame_of_reference_uid: str
    modality: str
    planes: tuple[Plane, ...]
    rows: int
    columns: int
    cosines: np.ndarray[Any, np.dtype[np.float64]]
    spacing_mm: tuple[float, float]
    thickness_mm: float
    step_mm: float | None
    warnings: tuple[str, ...] = ()

    @property
    def instances(self) -> list[tuple[str, str]]:
        """(SOP Class UID, SOP Instance UID) of every image, in slice order."""
        return list(dict.fromkeys((plane.sop_class_uid, plane.sop_instance_uid) for plane in self.planes))


def read_original(source: Source, modality: str = "") -> Original:
    """Read the headers of the images that a DICOM volume was made of.

    Raises InputError: unreadable and the like for a file that is gone or damaged, no_identity for images without the
    UIDs that a reference to them needs.
    """
    headers: dict[Path, Header] = {}
    frames: dict[Path, list[Frame]] = {}
    with quiet():
        for path in dict.fromkeys(frame.path for frame in source.frames):
            headers[path] = read_header(path, TAGS)
            frames[path] = frames_of(path, headers[path])
        chosen = [_chosen(frames[image.path], image.number, image.path) for image in source.frames]
        _check_identity(chosen, headers)
        return _original(source, chosen, headers, modality)


def _chosen(frames: Sequence[Frame], number: int, path: Path) -> Frame:
    found = next((frame for frame in frames if frame.number == number), None)
    if found is None or found.position is None or found.orientation is None or found.pixel_spacing is None:
        raise InputError(Reason.UNREADABLE, f"{path} is no longer the image it was; run again", [path])
    return found


def _check_identity(frames: Sequence[Frame], headers: dict[Path, Header]) -> None:
    """Raise InputError no_identity unless every image can be pointed at."""
    for path, header in headers.items():
        needed = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
        absent = [keyword for keyword in needed if not fields.text(header.dataset, keyword)]
        if absent:
            raise InputError(Reason.NO_IDENTITY, f"{path.name} has no {', '.join(absent)} to refer to", [path])
    uids = [fields.text(header.dataset, "SOPInstanceUID") for header in headers.values()]
    if len(set(uids)) < len(uids):
        shared = next(uid for uid in uids if uids.count(uid) > 1)
        paths = [path for path, uid in zip(headers, uids, strict=True) if uid == shared]
        raise InputError(Reason.NO_IDENTITY, f"{len(paths)} images have one SOP Instance UID, {shared}", paths)


def _original(source: Source, frames: Sequence[Frame], headers: dict[Path, Header], modality: str) -> Original:
    first, header = frames[0], next(iter(headers.values())).dataset
    normal = axes(frames)
    depth = np.array([frame.position for frame in frames], dtype=np.float64) @ normal[2]
    step = _step(depth)
    warnings = []
    place = next((frame.frame_of_reference for frame in frames if frame.frame_of_reference), "")
    if not place:
        place = derived("frame of reference", source.series_uid)
        warnings.append("the series names no frame of reference; the DICOM results have one made from its series UID")
    assert first.pixel_spacing is not None
    return Original(
        who=_copied(header, WHO, ALWAYS_THERE),
        scanner=_copied(header, (*SCANNER, *IMAGE[:3])),
        series_uid=fields.text(header, "SeriesInstanceUID"),
        frame_of_reference_uid=place,
        modality=modality or fields.text(header, "Modality") or "OT",
        planes=tuple(_plane(frame, headers[frame.path].dataset) for frame in frames),
        rows=first.rows,
        columns=first.columns,
        cosines=normal[:2],
        spacing_mm=(first.pixel_spacing[0], first.pixel_spacing[1]),
        thickness_mm=_thickness(header) or step or float(np.median(np.diff(depth))),
        step_mm=step,
        warnings=tuple(warnings),
    )


def _step(depth: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    """Distance between the slices; None where it is not one, to a hundredth."""
    gaps = np.diff(depth)
    return float(gaps.mean()) if np.abs(gaps - gaps.mean()).max() <= 0.01 * abs(float(gaps.mean())) else None


def _plane(frame: Frame, header: Dataset) -> Plane:
    assert frame.position is not None
    multi_frame = bool(fields.items(header, "PerFrameFunctionalGroupsSequence"))
    return Plane(
        sop_class_uid=fields.text(header, "SOPClassUID"),
        sop_instance_uid=frame.sop_uid,
        frame=frame.number + 1 if multi_frame else None,
        position=frame.position,
        whole=frame.tile is None,
    )


def _thickness(header: Dataset) -> float | None:
    """Slice thickness in mm, where the source has one above 0."""
    shared = fields.first_item(header, "SharedFunctionalGroupsSequence")
    own = fields.first_item(header, "PerFrameFunctionalGroupsSequence")
    measures = [fields.first_item(group, "PixelMeasuresSequence") for group in (own, shared)]
    found = (fields.number(place, "SliceThickness") for place in (header, *measures))
    return next((value for value in found if value is not None and 0 < value < float("inf")), None)


def _copied(header: Dataset, keywords: Sequence[str], always: Sequence[str] = ()) -> Dataset:
    """The attributes that have a sound value, and those of `always` that have none, empty."""
    copy = Dataset()
    copy.SpecificCharacterSet = UNICODE
    for keyword in keywords:
        value = _value(header, keyword)
        if value or keyword in always:
            setattr(copy, keyword, value)
    return copy


def _value(header: Dataset, keyword: str) -> str | list[str]:
    """The value as text, "" where there is none that DICOM allows."""
    if keyword in NUMBERS:
        number = fields.number(header, keyword)
        return f"{number:.10g}" if number is not None and 0 < number < float("inf") else ""
    value = header.get(keyword)
    if isinstance(value, MultiValue):
        return [_text(part) for part in value]
    text = "" if value is None else _text(value)
    return text if re.fullmatch(SOUND.get(keyword, r".*"), text) else ""


def _text(value: object) -> str:
    """One decoded value: nothing of an identity is changed but padding and control characters."""
    return "".join(letter for letter in str(value) if letter.isprintable()).strip()
