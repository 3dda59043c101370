"""What a folder holds, from headers alone: series of frames, and every other file with the reason it was skipped."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from medimg.dicom import fields
from medimg.dicom.frames import frames_of
from medimg.dicom.header import FRAME_KEYWORDS, ORDER_MARKS, VALUE_MARKS, Frame, is_cut_short, is_image
from medimg.dicom.mosaic import MOSAIC_TAGS
from medimg.dicom.parse import Header, mapped, quiet, read_header
from medimg.errors import InputError, Reason
from medimg.progress import Progress, silent

SERIES_KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "Modality", "SeriesDescription", "SeriesNumber")
"""Identity of a series."""

ACQUISITION_KEYWORDS = (
    "StudyDate",
    "SeriesDate",
    "StudyDescription",
    "ProtocolName",
    "BodyPartExamined",
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "MagneticFieldStrength",
    "PatientPosition",
    "SliceThickness",
    "SpacingBetweenSlices",
    "ConvolutionKernel",
    "KVP",
    "XRayTubeCurrent",
    "Exposure",
    "GantryDetectorTilt",
    "ContrastBolusAgent",
    "ScanningSequence",
    "MRAcquisitionType",
    "RepetitionTime",
    "EchoTime",
    "InversionTime",
    "FlipAngle",
    "RescaleType",
    "Units",
)
"""How the series was taken; written into sidecars. Nothing that names the patient."""

HEADER_KEYWORDS = FRAME_KEYWORDS + VALUE_MARKS + ORDER_MARKS + SERIES_KEYWORDS + ACQUISITION_KEYWORDS

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
"""Names that promise DICOM; a file without one may be anything."""

HEADER_TAGS = tuple(sorted({*map(fields.tag_of, HEADER_KEYWORDS), *MOSAIC_TAGS}))
"""All that is read of a header."""


@dataclass(frozen=True)
class Skipped:
    """A file that belongs to no series, and why."""

    path: Path
    reason: Reason


@dataclass
class SeriesHeaders:
    """One series as its headers describe it. `headers`: acquisition keyword -> value, from its first file.

    root: the folder that was searched, so that searching it again finds the whole series.
    """

    root: Path
    study_uid: str
    series_uid: str
    modality: str
    description: str
    number: int | None
    headers: dict[str, Any] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)


@dataclass
class Discovery:
    """Everything under one root: every regular file is in a series or in `skipped`."""

    root: Path
    series: list[SeriesHeaders] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def damaged(self) -> list[Path]:
        """Skipped files that were meant to be DICOM: a series may have lost slices at its ends with them."""
        return [skip.path for skip in self.skipped if _was_dicom(skip)]


def _was_dicom(skip: Skipped) -> bool:
    """Its content says DICOM and cannot be read, or its name says so and its content does not."""
    if skip.reason is Reason.UNREADABLE:
        return skip.path.is_file()
    return skip.reason is Reason.NOT_DICOM and skip.path.suffix.lower() in DICOM_SUFFIXES


def discover(root: Path, progress: Progress = silent) -> Discovery:
    """Read the headers of every file under `root` (a folder, searched recursively, or one file).

    Names and extensions mean nothing; links are followed once; pixels are not read. Never raises for
    a single file. Raises InputError (unreadable) when the root cannot be listed.
    """
    found = Discovery(root)
    folder = root.parent if root.is_file() else root
    by_uid: dict[tuple[str, str], SeriesHeaders] = {}
    paths = list(_regular_files(root, found.skipped))
    with quiet():
        for done, path in enumerate(paths, start=1):
            try:
                header = read_header(path, HEADER_TAGS)
                with mapped(path):
                    _add(path, header, folder, by_uid)
            except InputError as error:
                found.skipped.append(Skipped(path, error.reason))
            progress("headers", done, len(paths))
    found.series = list(by_uid.values())
    return found


def _regular_files(root: Path, skipped: list[Skipped]) -> Iterator[Path]:
    """Regular files under `root` in sorted order; anything else is put into `skipped`."""
    if root.is_file():
        yield root
        return
    seen: set[tuple[int, int]] = set()
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if folder == root:
                why = error.strerror or str(error)
                raise InputError(Reason.UNREADABLE, f"cannot list {root}: {why}; check the path", [root]) from error
            skipped.append(Skipped(folder, Reason.UNREADABLE))
            continue
        folders = []
        for entry in entries:
            path = Path(entry.path)
            mode = _mode(path)
            if stat.S_ISDIR(mode):
                folders.append(path)
            elif stat.S_ISREG(mode):
                yield path
            else:
                skipped.append(Skipped(path, Reason.NOT_A_REGULAR_FILE))
        pending.extend(reversed(folders))


def _mode(path: Path) -> int:
    """File type bits, links followed; 0 for a broken link."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _add(path: Path, header: Header, root: Path, by_uid: dict[tuple[str, str], SeriesHeaders]) -> None:
    """Put the file's frames into their series. Raises InputError when it belongs to none."""
    dataset = header.dataset
    series_uid = fields.text(dataset, "SeriesInstanceUID")
    if not series_uid and not fields.text(dataset, "SOPClassUID") and not _has_meta_group(dataset):
        raise InputError(Reason.NOT_DICOM, f"{path} is not a DICOM file", [path])
    if is_cut_short(header):
        raise InputError(Reason.UNREADABLE, f"{path} ends within its header; copy it again", [path])
    if not is_image(header):
        raise InputError(Reason.NOT_AN_IMAGE, f"{path} is DICOM, but not an image", [path])
    if not series_uid:
        raise InputError(Reason.UNREADABLE, f"{path} names no series; its header is damaged", [path])
    key = (fields.text(dataset, "StudyInstanceUID"), series_uid)
    if key not in by_uid:
        by_uid[key] = _series(dataset, root, *key)
    by_uid[key].frames.extend(frames_of(path, header))


def _has_meta_group(dataset: Dataset) -> bool:
    """True for a DICOMDIR too, which names its kind in the file meta group only (PS3.10 section 7.1)."""
    return bool(getattr(dataset, "file_meta", None))


def _series(dataset: Dataset, root: Path, study_uid: str, series_uid: str) -> SeriesHeaders:
    headers = {keyword: fields.human(dataset, keyword) for keyword in ACQUISITION_KEYWORDS}
    return SeriesHeaders(
        root=root,
        study_uid=study_uid,
        series_uid=series_uid,
        modality=fields.text(dataset, "Modality"),
        description=fields.human(dataset, "SeriesDescription"),
        number=fields.integer(dataset, "SeriesNumber"),
        headers={keyword: value for keyword, value in headers.items() if value},
    )
