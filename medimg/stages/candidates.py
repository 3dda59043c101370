"""What there is to choose from: every volume a path offers, with its role and modality where they can be known."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medimg import volumes
from medimg.dicom.discover import SeriesHeaders, discover, is_dicom_or_archive, medium_of
from medimg.dicom.options import AS_SCANNED, ReadOptions
from medimg.dicom.series import read_series
from medimg.errors import InputError, Reason, UsageError
from medimg.progress import Progress, silent
from medimg.results import MANIFEST_SCHEMA
from medimg.stages.identify import identified
from medimg.stages.roles import role_of_description, role_of_name
from medimg.stages.volume_files import check_regular, is_scan_file
from medimg.study import MR_ROLE_ALIASES, Volume

SELECTION_FILE = "selection.json"
SELECTION_SCHEMA = "medimg.selection/1"
MANIFEST_FILE = "manifest.json"

LABEL_MAP_NAME = re.compile(r"(^|[_\-.])(seg|dseg|label|labels|mask|segmentation)$", re.IGNORECASE)
"""File stems of segmentations that lie beside the scans of a case folder."""

NNUNET_CHANNEL = re.compile(r"_(\d{4})$")


@dataclass(frozen=True)
class Candidate:
    """A scan that could be chosen: `volume` of a file is there already, a DICOM series has yet to be read.

    read_with: its volumes; the options are for DICOM series, a volume file is taken as it is.
    refusal: why it cannot be chosen, though it lies in the folder. warnings: what a reader of its results must know.
    """

    path: Path
    description: str
    modality: str | None
    role: str | None
    read_with: Callable[[ReadOptions], list[Volume]]
    study_uid: str | None = None
    series_uid: str | None = None
    headers: SeriesHeaders | None = None
    volume: Volume | None = None
    refusal: InputError | None = None
    warnings: tuple[str, ...] = ()

    def read(self, options: ReadOptions = AS_SCANNED) -> list[Volume]:
        """Its volumes. Raises InputError when it is none."""
        return self.read_with(options)

    def summary(self) -> dict[str, Any]:
        """For the report and for messages."""
        return {"path": str(self.path.resolve()), "series_uid": self.series_uid, "description": self.description}


def find_candidates(path: Path, role: str | None = None, progress: Progress = silent) -> list[Candidate]:
    """Every candidate in a volume file, a case folder, a `medimg preprocess` folder, a DICOM folder, file or archive.

    Raises InputError when a file is not a sound volume or a folder holds nothing to read, UsageError when `role`
    is given to a folder that holds several scans.
    """
    check_regular(path)
    path = medium_of(path)
    if path.is_file() and (volumes.is_volume_file(path) or not is_dicom_or_archive(path)):
        return [candidate_of_file(path, role)]
    found = _from_dicom(path, progress) if path.is_file() else _from_folder(path, progress)
    if role is None:
        return found
    if len(found) > 1:
        raise UsageError(f"{path} holds {len(found)} scans, not one for role {role}; name the file or its own folder")
    return [replace(found[0], role=role)]


def read_document(path: Path, schema: str) -> dict[str, Any]:
    """A JSON file of that schema. Raises UsageError when it is not one."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path} ({error}); make it again") from error
    if not isinstance(document, dict) or document.get("schema") != schema:
        raise UsageError(f"{path} does not follow schema {schema}; make it again with this version of medimg")
    return document


def _from_folder(path: Path, progress: Progress) -> list[Candidate]:
    if (path / SELECTION_FILE).is_file():
        return _from_selection(path, progress)
    if (path / MANIFEST_FILE).is_file():
        return _from_manifest(path)
    volumes = sorted(entry for entry in path.iterdir() if is_scan_file(entry))
    return _from_case_folder(path, volumes) if volumes else _from_dicom(path, progress)


def candidate_of_file(path: Path, role: str | None = None) -> Candidate:
    """A volume file, read and checked; `role` beats what its name tells. Raises InputError when it is none."""
    if not volumes.is_volume_file(path):
        raise InputError(
            Reason.NOT_A_VOLUME_FILE,
            f"{path} is not a volume file medimg reads ({', '.join(volumes.VOLUME_SUFFIXES)}); "
            "for DICOM name the folder that holds the series",
            [path],
        )
    volume, told = identified(volumes.read_volume(path), role)
    return Candidate(
        path=path,
        description=volume.description,
        modality=volume.modality,
        role=told,
        read_with=lambda _options: [volume],
        study_uid=volume.source.study_uid,
        series_uid=volume.source.series_uid,
        volume=volume,
        warnings=_contradiction(path, role),
    )


def _contradiction(path: Path, role: str | None) -> tuple[str, ...]:
    """A warning when the user's word for a contrast is not that of the file's name."""
    named = role_of_name(volumes.stem(path))
    if role is None or named is None or named == role:
        return ()
    return (f"{path.name} was given as {role}, but its name says {named}",)


def _from_files(paths: Sequence[Path], roles: Sequence[str | None]) -> list[Candidate]:
    """Candidates of several files; one that is not sound is kept with its refusal while another one is."""
    found = []
    for path, role in zip(paths, roles, strict=True):
        try:
            found.append(candidate_of_file(path, role))
        except InputError as error:
            found.append(_refused(path, role, error))
    if all(candidate.refusal for candidate in found) and found[0].refusal is not None:
        raise found[0].refusal
    return found


def _refused(path: Path, role: str | None, error: InputError) -> Candidate:
    def read(_options: ReadOptions) -> list[Volume]:
        raise error

    told = role or role_of_name(volumes.stem(path))
    return Candidate(path, description=volumes.stem(path), modality=None, role=told, read_with=read, refusal=error)


def _from_case_folder(folder: Path, paths: Sequence[Path]) -> list[Candidate]:
    scans = [path for path in paths if not LABEL_MAP_NAME.search(volumes.stem(path))]
    if not scans:
        raise InputError(Reason.EMPTY_VOLUME, f"{folder} holds label maps only; name the scans", list(paths))
    channels = nnunet_channel_names(folder)
    return _from_files(scans, [nnunet_role(path, channels) for path in scans])


def nnunet_channel_names(folder: Path) -> dict[str, str]:
    """ "0000" -> "T1" from nnU-Net's dataset.json in the folder or its parent; the order is not guessed without it."""
    for place in (folder, folder.parent):
        try:
            document = json.loads((place / "dataset.json").read_text(encoding="utf-8"))
            names = document.get("channel_names") or document.get("modality") or {}
            return {f"{int(index):04d}": str(name) for index, name in names.items()}
        except (OSError, ValueError, AttributeError):
            continue
    return {}


def nnunet_role(path: Path, channels: dict[str, str]) -> str | None:
    """The MR role of a file named by nnU-Net's channel numbers; `channels` as `nnunet_channel_names` has them."""
    match = NNUNET_CHANNEL.search(volumes.stem(path))
    name = channels.get(match.group(1), "") if match else ""
    return MR_ROLE_ALIASES.get(name.lower()) or role_of_name(name)


def _from_manifest(folder: Path) -> list[Candidate]:
    """The volumes of the series that became volumes wholly."""
    path = folder / MANIFEST_FILE
    document = read_document(path, MANIFEST_SCHEMA)
    try:
        sound = [series for series in document["series"] if series["status"] == "ok"]
        volumes = [folder / entry["path"] for series in sound for entry in series["volumes"]]
    except (KeyError, TypeError) as error:
        raise UsageError(f"{path} is not a manifest of medimg preprocess ({error}); run that again") from error
    if not volumes:
        raise InputError(Reason.NO_PIPELINE_FITS, f"{path} lists no volume: every series was rejected", [path])
    return _from_files(volumes, [None] * len(volumes))


def _from_selection(folder: Path, progress: Progress) -> list[Candidate]:
    """The candidates `medimg select` chose, with the roles it gave them."""
    path = folder / SELECTION_FILE
    chosen = []
    try:
        wanted = [
            (folder / e["path"], e["role"], e["series_uid"]) for e in read_document(path, SELECTION_SCHEMA)["chosen"]
        ]
    except (KeyError, TypeError) as error:
        raise UsageError(f"{path} is not a selection of medimg select ({error}); run that again") from error
    for scan, role, series_uid in wanted:
        if not scan.exists() or scan.resolve() == folder.resolve():
            raise UsageError(f"{path} chose {scan.resolve()}, which is gone or this folder; run medimg select again")
        found = [c for c in find_candidates(scan.resolve(), None, progress) if series_uid in (None, c.series_uid)]
        chosen += [replace(candidate, role=role) for candidate in found]
    return chosen


def _from_dicom(folder: Path, progress: Progress) -> list[Candidate]:
    discovery = discover(folder, progress)
    if not discovery.series:
        told = next((f" ({skip.path.name}: {skip.message})" for skip in discovery.skipped if skip.message), "")
        raise InputError(
            Reason.NOT_DICOM,
            f"{folder} holds neither DICOM series nor volume files{told}; name the folder of a scan",
            [folder],
        )
    return [candidate_of_series(series, _damage(discovery.damaged)) for series in discovery.series]


def _damage(paths: Sequence[Path]) -> tuple[str, ...]:
    if not paths:
        return ()
    return (
        f"{len(paths)} files of the folder were meant to be DICOM and cannot be read ({paths[0].name}, ...): "
        "slices may be missing at the end of the series",
    )


def candidate_of_series(series: SeriesHeaders, warnings: tuple[str, ...] = ()) -> Candidate:
    """A DICOM series, which has yet to be read."""

    def read(options: ReadOptions) -> list[Volume]:
        result = read_series(series, options)
        # what is left of a series that is not whole is no scan to search
        if result.rejection is not None:
            raise result.rejection
        return result.volumes

    return Candidate(
        path=series.root,
        description=series.description,
        modality=series.modality,
        role=role_of_description(series.description) if series.modality == "MR" else None,
        read_with=read,
        study_uid=series.study_uid,
        series_uid=series.series_uid,
        headers=series,
        warnings=warnings,
    )
