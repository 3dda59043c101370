"""What a folder holds, from headers alone: series of frames, and every other file with the reason it was skipped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import MediaStorageDirectoryStorage

from medimg.dicom import fields
from medimg.dicom.archive import is_archive, is_within, members, open_file
from medimg.dicom.frames import frames_of
from medimg.dicom.header import Frame, is_cut_short, is_image
from medimg.dicom.keywords import (
    ACQUISITION_KEYWORDS,
    HEADER_TAGS,
    MODALITY_OF,
    PET_KEYWORDS,
    PET_ONLY,
    TRACER_KEYWORDS,
    TRACER_SEQUENCE,
)
from medimg.dicom.parse import HEAD_BYTES, Header, looks_like_dicom, mapped, quiet, read_header
from medimg.dicom.walk import Skipped, regular_files
from medimg.errors import InputError, Reason
from medimg.progress import Progress, silent

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
"""Names that promise DICOM; a file without one may be anything."""

TOLD = (Reason.UNREADABLE, Reason.TOO_LARGE)
"""Reasons that need a word more: a password, a permission, a limit."""

MAX_NESTED = 4096
"""Archives of one level that are searched when they lie in others: an export of one archive a study has fewer."""


@dataclass
class SeriesHeaders:
    """One series as its headers describe it. `headers`: acquisition keyword -> value, from its first file.

    root: the folder that was searched, so that searching it again finds the whole series. modalities: how many of
    its files are of each; `modality` is the commonest.
    """

    root: Path
    study_uid: str
    series_uid: str
    modality: str
    description: str
    number: int | None
    headers: dict[str, Any] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)
    modalities: Counter[str] = field(default_factory=Counter)


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
        return not skip.path.is_dir()
    # macOS puts a twin ._NAME beside every file it copies or packs, which holds no data of it
    twin = skip.path.name.startswith("._")
    return skip.reason is Reason.NOT_DICOM and skip.path.suffix.lower() in DICOM_SUFFIXES and not twin


def discover(root: Path, progress: Progress = silent) -> Discovery:
    """Read the headers of every file under `root`: a folder (searched recursively), a zip archive or one file.

    Names and extensions mean nothing; links are followed once; zip archives are searched too; a DICOMDIR stands for
    the medium it lies on; pixels are not read. Never raises for a single file. Raises InputError (unreadable) when
    the root cannot be listed.
    """
    root = medium_of(root)
    unlisted: list[Skipped] = []
    found = discover_files(list(regular_files(root, unlisted)), root, progress)
    found.skipped[:0] = unlisted
    return found


def discover_files(paths: Sequence[Path], root: Path, progress: Progress = silent) -> Discovery:
    """As `discover`, of these files under `root` alone; a member of an archive may be named as `Frame.path` has it."""
    found = Discovery(root)
    by_uid: dict[tuple[str, str], SeriesHeaders] = {}
    archives = _read_headers(paths, found, by_uid, progress)
    while archives:
        archives = _read_headers(_members_of(archives, found.skipped), found, by_uid, progress)
    found.series = [_of_its_modality(series) for series in by_uid.values()]
    return found


def medium_of(root: Path) -> Path:
    """The folder a DICOMDIR lies in when `root` is one (whatever its name), else `root` itself."""
    head = _head(root)
    return root.parent if looks_like_dicom(head) and MediaStorageDirectoryStorage.encode() in head else root


def search_folder(root: Path) -> Path:
    """What must be searched to find a series of `root` whole again: a folder or an archive; a file's own folder."""
    return root if root.is_dir() or is_archive(root) else root.parent


def is_dicom_or_archive(path: Path) -> bool:
    """True for a file that begins like DICOM and for a zip archive; False for anything else, and a folder."""
    return looks_like_dicom(_head(path)) or is_archive(path)


def _head(path: Path) -> bytes:
    """The first bytes of a file; none of a folder, of a pipe (which would wait), or of one that cannot be read."""
    if not path.is_file():
        return b""
    try:
        with open_file(path) as stream:
            return stream.read(HEAD_BYTES)
    except (OSError, InputError):
        return b""


def _read_headers(
    paths: Sequence[Path], found: Discovery, by_uid: dict[tuple[str, str], SeriesHeaders], progress: Progress
) -> list[Path]:
    """Put the files' frames into their series, and what belongs to none into `found.skipped`; archives among them."""
    folder = search_folder(found.root)
    archives = []
    with quiet():
        for done, path in enumerate(paths, start=1):
            try:
                header = read_header(path, HEADER_TAGS)
                with mapped(path):
                    _add(path, header, folder, by_uid)
            except InputError as error:
                if error.reason is Reason.NOT_DICOM and is_archive(path):
                    archives.append(path)
                else:
                    found.skipped.append(_skipped(path, error))
            progress("headers", done, len(paths))
    return archives


def _members_of(archives: Sequence[Path], skipped: list[Skipped]) -> list[Path]:
    """Every file in the archives; an archive that cannot be read, or holds nothing, is put into `skipped`."""
    paths: list[Path] = []
    for number, archive in enumerate(archives):
        try:
            if number >= MAX_NESTED and is_within(archive):
                raise InputError(Reason.TOO_LARGE, f"{archive}: one of {len(archives):,} archives in archives")
            inside = members(archive)
            if not inside:
                skipped.append(Skipped(archive, Reason.NOT_DICOM, "an archive without files"))
            paths += inside
        except InputError as error:
            skipped.append(_skipped(archive, error))
    return paths


def _skipped(path: Path, error: InputError) -> Skipped:
    """With the message where a person can do something about the file; without the path, which stands beside it."""
    message = str(error).removeprefix(str(path)).lstrip(": ") if error.reason in TOLD else ""
    return Skipped(path, error.reason, message)


def _add(path: Path, header: Header, root: Path, by_uid: dict[tuple[str, str], SeriesHeaders]) -> None:
    """Put the file's frames into their series. Raises InputError when it belongs to none."""
    dataset = header.dataset
    series_uid = fields.text(dataset, "SeriesInstanceUID")
    if not series_uid and not fields.text(dataset, "SOPClassUID") and not header.has_meta:
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
    by_uid[key].modalities[_modality(dataset)] += 1
    by_uid[key].frames.extend(frames_of(path, header))


def _modality(dataset: Dataset) -> str:
    """As the file says, else as the kind of object it is tells."""
    return fields.text(dataset, "Modality") or MODALITY_OF.get(fields.text(dataset, "SOPClassUID"), "")


def _of_its_modality(series: SeriesHeaders) -> SeriesHeaders:
    """With the modality that most of its files name: one odd file, the first or another, decides nothing."""
    named = Counter({name: count for name, count in series.modalities.items() if name})
    series.modality = named.most_common(1)[0][0] if named else ""
    if series.modality != "PT":
        series.headers = {name: value for name, value in series.headers.items() if name not in PET_ONLY}
    return series


def _series(dataset: Dataset, root: Path, study_uid: str, series_uid: str) -> SeriesHeaders:
    tracers = [_said(item, TRACER_KEYWORDS) for item in fields.items(dataset, TRACER_SEQUENCE)]
    headers: dict[str, Any] = _said(dataset, (*ACQUISITION_KEYWORDS, *PET_KEYWORDS))
    headers |= {TRACER_SEQUENCE: tracers} if tracers else {}
    return SeriesHeaders(
        root=root,
        study_uid=study_uid,
        series_uid=series_uid,
        modality=_modality(dataset),
        description=fields.human(dataset, "SeriesDescription"),
        number=fields.integer(dataset, "SeriesNumber"),
        headers=headers,
    )


def _said(dataset: Dataset, keywords: tuple[str, ...]) -> dict[str, str]:
    """Those of the keywords that have a value."""
    values = {keyword: fields.human(dataset, keyword) for keyword in keywords}
    return {keyword: value for keyword, value in values.items() if value}
