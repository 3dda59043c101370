"""What a volume file is: told by its sidecar, its name, a role the user gave, and its voxels; never a guess."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from medimg.stages.roles import has_air, role_of_description, role_of_name
from medimg.study import MR_ROLE_ALIASES, Volume
from medimg.volumes import stem


def identified(volume: Volume, role: str | None = None) -> tuple[Volume, str | None]:
    """The volume of a file with its modality, description, identity and acquisition where known; and its role.

    role: what the user said it is, which beats every other sign.
    """
    path = volume.source.path
    sidecar = read_sidecar(path)
    known = with_sidecar(volume, sidecar)
    stated = role or sidecar.get("role")
    told = stated or role_of_file(path)
    return replace(known, modality=known.modality or _modality(known, stated, told)), told


def role_of_file(path: Path) -> str | None:
    """The MR role that a file's sidecar, its name or the description in its sidecar tells; None when none does."""
    sidecar = read_sidecar(path)
    description = str(sidecar.get("description") or sidecar.get("SeriesDescription") or stem(path))
    role: str | None = sidecar.get("role") or role_of_name(stem(path)) or role_of_description(description)
    return role


def read_sidecar(path: Path) -> dict[str, Any]:
    """The JSON beside a volume, as `medimg preprocess` and BIDS write it; {} where there is none to be read."""
    try:
        document = json.loads(path.with_name(stem(path) + ".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def with_sidecar(volume: Volume, sidecar: dict[str, Any]) -> Volume:
    """The volume with what its sidecar knows of modality, description, identity and acquisition."""
    keys = ("study_uid", "series_uid", "frame_of_reference_uid")
    origin = sidecar["source"] if isinstance(sidecar.get("source"), dict) else sidecar
    known: dict[str, Any] = {key: origin[key] for key in keys if isinstance(origin.get(key), str)}
    if isinstance(origin.get("headers"), dict):
        known["headers"] = origin["headers"]
    if isinstance(sidecar.get("resampling"), list):
        known["resampling"] = tuple(sidecar["resampling"])
    # BIDS sidecars say Modality and SeriesDescription
    modality = sidecar.get("modality") or sidecar.get("Modality")
    description = sidecar.get("description") or sidecar.get("SeriesDescription") or volume.description
    return replace(volume, source=replace(volume.source, **known), modality=modality, description=str(description))


def _modality(volume: Volume, stated: str | None, told: str | None) -> str | None:
    """A role the user stated says most, then air in HU, then a name that ends like an MR role."""
    roles = MR_ROLE_ALIASES.values()
    if stated in roles:
        return "MR"
    if has_air(volume):
        return "CT"
    return "MR" if told in roles else None
