"""What there is to choose from: every volume a path offers, with its role and modality where they can be known."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medimg import nifti
from medimg.dicom.discover import SeriesHeaders, discover
from medimg.dicom.series import read_series
from medimg.errors import InputError, Reason, UsageError
from medimg.results import MANIFEST_SCHEMA
from medimg.study import CT_AIR_HU, MR_ROLE_ALIASES, Volume

SELECTION_FILE = "selection.json"
SELECTION_SCHEMA = "medimg.selection/1"
MANIFEST_FILE = "manifest.json"

LABEL_MAP_NAME = re.compile(r"(^|[_\-.])(seg|dseg|label|labels|mask|segmentation)$", re.IGNORECASE)
"""File stems of segmentations that lie beside the scans of a case folder."""

NNUNET_CHANNEL = re.compile(r"_(\d{4})$")


@dataclass(frozen=True)
class Candidate:
    """A scan that could be chosen: `volume` of a file is there already, a DICOM series has yet to be read."""

    path: Path
    description: str
    modality: str | None
    role: str | None
    read: Callable[[], list[Volume]]
    series_uid: str | None = None
    headers: SeriesHeaders | None = None
    volume: Volume | None = None

    def summary(self) -> dict[str, Any]:
        """For the report and for messages."""
        return {"path": str(self.path), "series_uid": self.series_uid, "description": self.description}


def find_candidates(path: Path, role: str | None = None) -> list[Candidate]:
    """Every candidate in a volume file, a case folder, a `medimg preprocess` folder or a DICOM folder.

    Raises InputError when a file is not a sound volume or a folder holds nothing to read.
    """
    if path.is_file():
        return [_from_file(path, role)]
    if (path / SELECTION_FILE).is_file():
        return _from_selection(path)
    if (path / MANIFEST_FILE).is_file():
        found = _from_manifest(path)
    else:
        volumes = sorted(entry for entry in path.iterdir() if entry.is_file() and nifti.is_volume_file(entry))
        found = _from_case_folder(path, volumes) if volumes else _from_dicom(path)
    if role is not None and len(found) == 1:
        return [replace(found[0], role=role)]
    return found


def role_of_name(name: str) -> str | None:
    """MR role told by the end of a file stem ("BraTS-GLI-00000-000-t1c" -> "t1c"); None when it tells none."""
    lowered = name.lower()
    for alias in sorted(MR_ROLE_ALIASES, key=len, reverse=True):
        if lowered == alias or lowered.endswith(("_" + alias, "-" + alias, "." + alias)):
            return MR_ROLE_ALIASES[alias]
    return None


def role_of_description(description: str) -> str | None:
    """MR role told by a series description ("AX T1 POST GAD" -> "t1c"); None when it is not plain."""
    text = description.lower()
    if "flair" in text:
        return "t2f"
    if re.search(r"(^|[^a-z0-9])t1(?![0-9])", text):
        contrast = re.search(r"\+ ?c\b|post|gad|\bgd\b|t1gd|t1ce|\bce\b|contrast|enhanc", text)
        return "t1c" if contrast and not re.search(r"pre|without|non.?contrast|w/?o", text) else "t1n"
    return "t2w" if re.search(r"(^|[^a-z0-9])t2(?![0-9*])", text) else None


def modality_of_voxels(volume: Volume) -> str | None:
    """ "CT" when there is air in Hounsfield units, else None: intensities alone do not tell MR from a mask."""
    return "CT" if float(volume.array.min()) <= CT_AIR_HU else None


def _from_file(path: Path, role: str | None) -> Candidate:
    if not nifti.is_volume_file(path):
        raise InputError(
            Reason.NOT_A_VOLUME_FILE,
            f"{path} is not a volume file medimg reads ({', '.join(nifti.VOLUME_SUFFIXES)}); "
            "for DICOM name the folder that holds the series",
            [path],
        )
    sidecar = _read_sidecar(path)
    volume = _identified(nifti.read_volume(path), sidecar)
    told = role or sidecar.get("role") or role_of_name(nifti.stem(path)) or role_of_description(volume.description)
    modality = volume.modality or modality_of_voxels(volume) or ("MR" if told in MR_ROLE_ALIASES.values() else None)
    volume = replace(volume, modality=modality)
    return Candidate(
        path=path,
        description=volume.description,
        modality=modality,
        role=told,
        read=lambda: [volume],
        series_uid=volume.source.series_uid,
        volume=volume,
    )


def _read_sidecar(path: Path) -> dict[str, Any]:
    """The JSON beside a volume, as `medimg preprocess` and BIDS write it; {} where there is none to be read."""
    try:
        document = json.loads(path.with_name(nifti.stem(path) + ".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _identified(volume: Volume, sidecar: dict[str, Any]) -> Volume:
    """The volume with what its sidecar knows of modality, description and identity."""
    keys = ("study_uid", "series_uid", "frame_of_reference_uid")
    origin = sidecar["source"] if isinstance(sidecar.get("source"), dict) else sidecar
    source = replace(volume.source, **{key: origin[key] for key in keys if isinstance(origin.get(key), str)})
    # BIDS sidecars say Modality and SeriesDescription
    modality = sidecar.get("modality") or sidecar.get("Modality")
    description = sidecar.get("description") or sidecar.get("SeriesDescription") or volume.description
    return replace(volume, source=source, modality=modality, description=str(description))


def _from_case_folder(folder: Path, paths: Sequence[Path]) -> list[Candidate]:
    scans = [path for path in paths if not LABEL_MAP_NAME.search(nifti.stem(path)) and path.suffix.lower() != ".img"]
    if not scans:
        raise InputError(Reason.EMPTY_VOLUME, f"{folder} holds label maps only; name the scans", list(paths))
    channels = _nnunet_channel_names(folder)
    return [_from_file(path, _nnunet_role(path, channels)) for path in scans]


def _nnunet_channel_names(folder: Path) -> dict[str, str]:
    """ "0000" -> "T1" from nnU-Net's dataset.json in the folder or its parent; the order is not guessed without it."""
    for place in (folder, folder.parent):
        try:
            document = json.loads((place / "dataset.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        names = document.get("channel_names") or document.get("modality") or {}
        return {f"{int(index):04d}": str(name) for index, name in names.items()}
    return {}


def _nnunet_role(path: Path, channels: dict[str, str]) -> str | None:
    match = NNUNET_CHANNEL.search(nifti.stem(path))
    name = channels.get(match.group(1), "") if match else ""
    return MR_ROLE_ALIASES.get(name.lower()) or role_of_name(name)


def _from_manifest(folder: Path) -> list[Candidate]:
    path = folder / MANIFEST_FILE
    document = _read_document(path, MANIFEST_SCHEMA)
    try:
        volumes = [folder / entry["path"] for series in document["series"] for entry in series["volumes"]]
    except (KeyError, TypeError) as error:
        raise UsageError(f"{path} is not a manifest of medimg preprocess ({error}); run that again") from error
    if not volumes:
        raise InputError(Reason.NO_PIPELINE_FITS, f"{path} lists no volume: every series was rejected", [path])
    return [_from_file(volume, None) for volume in volumes]


def _from_selection(folder: Path) -> list[Candidate]:
    """The candidates `medimg select` chose, with the roles it gave them."""
    path = folder / SELECTION_FILE
    chosen = []
    for entry in _read_document(path, SELECTION_SCHEMA)["chosen"]:
        scan = (folder / entry["path"]).resolve()
        if not scan.exists():
            raise UsageError(f"{path} chose {scan}, which is gone; run medimg select again")
        found = [c for c in find_candidates(scan) if entry["series_uid"] in (None, c.series_uid)]
        chosen += [replace(candidate, role=entry["role"]) for candidate in found]
    return chosen


def _read_document(path: Path, schema: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path} ({error}); make it again") from error
    if not isinstance(document, dict) or document.get("schema") != schema:
        raise UsageError(f"{path} does not follow schema {schema}; make it again with this version of medimg")
    return document


def _from_dicom(folder: Path) -> list[Candidate]:
    discovery = discover(folder)
    if not discovery.series:
        raise InputError(
            Reason.NOT_DICOM,
            f"{folder} holds neither DICOM series nor volume files; name the folder of a scan",
            [folder],
        )
    return [_from_series(folder, series) for series in discovery.series]


def _from_series(folder: Path, series: SeriesHeaders) -> Candidate:
    def read() -> list[Volume]:
        result = read_series(series)
        if not result.volumes and result.rejection is not None:
            raise result.rejection
        return result.volumes

    return Candidate(
        path=folder,
        description=series.description,
        modality=series.modality,
        role=role_of_description(series.description) if series.modality == "MR" else None,
        read=read,
        series_uid=series.series_uid,
        headers=series,
    )
