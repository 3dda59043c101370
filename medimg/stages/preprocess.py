"""The preprocess stage: a DICOM folder becomes NIfTI volumes with sidecars, and a manifest that leaves nothing out."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import medimg
from medimg import files, geometry
from medimg.dicom.discover import SeriesHeaders, Skipped, discover
from medimg.dicom.options import AS_SCANNED, ReadOptions
from medimg.dicom.series import SeriesResult, read_series
from medimg.errors import InputError, Reason
from medimg.progress import Progress, silent
from medimg.results import MANIFEST_SCHEMA
from medimg.stages.candidates import MANIFEST_FILE, SELECTION_FILE, Candidate, find_candidates
from medimg.stages.roles import role_of_name
from medimg.study import HOUNSFIELD_TYPES, Volume
from medimg.volumes import stem, write_nifti

SIDECAR_SCHEMA = "medimg.volume/1"

MAX_SLUG = 40
"""Characters of a series description kept in a file name."""

UID_DIGITS = 8
"""Hex digits of the series UID's digest in a file name: names stay unique and say nothing about the site."""


@dataclass
class Manifest:
    """The `medimg.preprocess/1` document: every file under the root is in a series or skipped.

    damaged: those of the skipped files that were meant to be DICOM.
    """

    root: Path
    series: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)

    @property
    def rejected(self) -> list[dict[str, Any]]:
        """Entries of the series that did not become volumes, or not wholly."""
        return [entry for entry in self.series if entry["status"] == "rejected"]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; volume paths are relative to the manifest, source paths to the input root."""
        skipped = [{"path": relative(skip.path, self.root), "reason": str(skip.reason)} for skip in self.skipped]
        return {"schema": MANIFEST_SCHEMA, "series": self.series, "skipped": skipped}


def preprocess_folder(
    root: Path, output: Path, progress: Progress | None = None, options: ReadOptions = AS_SCANNED
) -> Manifest:
    """Convert every series under `root`; write `<name>.nii.gz`, `<name>.json` and manifest.json into `output`.

    A `root` that `medimg select` left gives what was chosen, and nothing else. A volume that `options` let be
    resampled comes with `<name>_made_up_mask.nii.gz`, 1 for every voxel that was not scanned.
    One series is in memory at a time. The manifest is written whatever happens to single series, and last: a run that
    is stopped leaves none, so that no half of a folder looks whole.
    Raises OutputError, and InputError (not_dicom) when the folder holds no DICOM image.
    """
    listen = progress or silent
    files.output_folder(output)
    (output / MANIFEST_FILE).unlink(missing_ok=True)
    if (root / SELECTION_FILE).is_file():
        return _preprocess_selection(root, output, listen, options)
    discovery = discover(root, listen)
    manifest = Manifest(root, skipped=discovery.skipped, damaged=discovery.damaged)
    for done, headers in enumerate(discovery.series, start=1):
        manifest.series.append(_convert(headers, root, output, options))
        listen("series", done, len(discovery.series))
    files.write_json(output / MANIFEST_FILE, manifest.to_dict())
    if not manifest.series:
        count = len(discovery.skipped)
        message = f"{root} holds no DICOM image ({count} other files); name a folder that holds the scan's DICOM files"
        raise InputError(Reason.NOT_DICOM, message, [root])
    return manifest


def save_volumes(volumes: Mapping[str, Volume], output: Path) -> Path:
    """Write volumes already in memory (role -> Volume) as `preprocess_folder` would; the manifest's path.

    What a chain's preprocess stage does with `save: true`.
    """
    files.output_folder(output)
    manifest = Manifest(output)
    for role, volume in volumes.items():
        manifest.series.append(_convert_volume(volume, output / f"{role}.nii.gz", role))
    files.write_json(output / MANIFEST_FILE, manifest.to_dict())
    return output / MANIFEST_FILE


def _preprocess_selection(root: Path, output: Path, listen: Progress, options: ReadOptions) -> Manifest:
    manifest = Manifest(root)
    chosen = find_candidates(root)
    for done, candidate in enumerate(chosen, start=1):
        manifest.series.append(_convert_chosen(candidate, output, options))
        listen("series", done, len(chosen))
    files.write_json(output / MANIFEST_FILE, manifest.to_dict())
    return manifest


def _convert_chosen(candidate: Candidate, output: Path, options: ReadOptions) -> dict[str, Any]:
    """A chosen series as `_convert` does it; a chosen volume file is written again with its sidecar."""
    if candidate.headers is not None:
        return _convert(candidate.headers, candidate.path, output, options, candidate.role)
    (volume,) = candidate.read()
    name = stem(candidate.path)
    if candidate.role is not None and role_of_name(name) != candidate.role:
        name = f"{name}_{candidate.role}"  # two roles may come from files of one name
    return _convert_volume(volume, output / f"{name}.nii.gz", candidate.role)


def _convert_volume(volume: Volume, path: Path, role: str | None) -> dict[str, Any]:
    """Write a volume that is in memory already; its manifest entry."""
    source = volume.source
    written = _write(volume, source.path, path, role)
    uids = (source.study_uid or "", source.series_uid or "")
    result = SeriesResult(*uids, modality=volume.modality or "", description=volume.description)
    return _entry(result, [written], source.path)


def relative(path: Path, root: Path) -> str:
    """`path` relative to the input root (to its folder when the root is a file), with forward slashes."""
    base = root.parent if root.is_file() else root
    return Path(os.path.relpath(path, base)).as_posix()


def file_stem(headers: SeriesHeaders) -> str:
    """A safe, unique file name for a series: number, description, digest of its UIDs."""
    text = headers.description or headers.modality or "series"
    slug = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:MAX_SLUG].strip("-") or "series"
    uids = f"{headers.study_uid}/{headers.series_uid}"
    digest = hashlib.sha256(uids.encode()).hexdigest()[:UID_DIGITS]
    number = "" if headers.number is None else f"{headers.number:03d}_"
    return f"{number}{slug}_{digest}"


def _convert(
    headers: SeriesHeaders, root: Path, output: Path, options: ReadOptions, role: str | None = None
) -> dict[str, Any]:
    """Read one series, write its volumes and sidecars; its manifest entry."""
    result = read_series(headers, options)
    name_of_series = file_stem(headers)
    volumes = []
    for number, volume in enumerate(result.volumes, start=1):
        name = f"{name_of_series}_{number}" if len(result.volumes) > 1 else name_of_series
        volumes.append(_write(volume, root, output / f"{name}.nii.gz", role))
    return _entry(result, volumes, root)


def _entry(result: SeriesResult, volumes: list[dict[str, Any]], root: Path) -> dict[str, Any]:
    rejection = result.rejection
    return {
        "study_uid": result.study_uid,
        "series_uid": result.series_uid,
        "modality": result.modality,
        "description": result.description,
        "status": "ok" if rejection is None else "rejected",
        "reason": None if rejection is None else str(rejection.reason),
        "message": None if rejection is None else str(rejection),
        "files": [] if rejection is None else [relative(path, root) for path in rejection.files],
        "unused": [relative(path, root) for path in result.unused],
        "volumes": volumes,
        "excluded": [{"path": relative(path, root), "reason": str(why)} for path, why in result.excluded],
    }


def _write(volume: Volume, root: Path, path: Path, role: str | None) -> dict[str, Any]:
    """Write one volume and its sidecar; the manifest's words about it."""
    write_nifti(path, volume.array, volume.affine_ras, description=f"medimg {medimg.__version__}")
    summary = {
        "path": path.name,
        "shape": list(volume.shape),
        "spacing_mm": [round(float(value), 6) for value in volume.spacing_mm],
        "affine_ras": volume.affine_ras.tolist(),
        "files": len(volume.source.files),
        "resampled": bool(volume.source.resampling),
        "resampling": list(volume.source.resampling),
        "made_up_mask": _write_mask(volume, path),
    }
    sidecar = _sidecar(volume, {**summary, "role": role}, root, path)
    files.write_json(path.with_name(stem(path) + ".json"), sidecar)
    return summary


def _write_mask(volume: Volume, path: Path) -> str | None:
    """The mask of what was not scanned beside the volume at `path`; its name, None (and no such file) without one."""
    mask_path = path.with_name(f"{stem(path)}_made_up_mask.nii.gz")
    if volume.made_up is None:
        mask_path.unlink(missing_ok=True)  # of an earlier run with other options
        return None
    write_nifti(mask_path, volume.made_up, volume.affine_ras, description=f"medimg {medimg.__version__}")
    return mask_path.name


def _sidecar(volume: Volume, summary: dict[str, Any], root: Path, path: Path) -> dict[str, Any]:
    source = volume.source
    return {
        "schema": SIDECAR_SCHEMA,
        **summary,
        "sha256": files.sha256_of_file(path),
        "axes": "i: columns, j: against the DICOM rows, k: slices along row x column",
        "frames": {"affine_ras": "voxel to RAS mm (NIfTI)", "affine_lps": "voxel to LPS mm (DICOM)"},
        "affine_lps": geometry.swap_ras_lps(volume.affine_ras).tolist(),
        "units": {"length": "mm", "voxels": _units(volume)},
        "modality": volume.modality,
        "description": volume.description,
        "source": {
            "kind": source.kind,
            "study_uid": source.study_uid,
            "series_uid": source.series_uid,
            "frame_of_reference_uid": source.frame_of_reference_uid,
            "content_sha256": source.sha256,
            "files": [relative(file, root) for file in source.files],
            "headers": source.headers,
        },
        "medimg_version": medimg.__version__,
        "notice": medimg.NOT_A_MEDICAL_DEVICE,
    }


def _units(volume: Volume) -> str | None:
    """HU for CT, the PET Units where the header has them (in words for counts), else null: MR values have no unit."""
    headers = volume.source.headers
    if volume.modality == "CT":
        kind = str(headers.get("RescaleType", ""))
        return "HU" if kind in HOUNSFIELD_TYPES else kind
    units = headers.get("Units") or None
    return "counts" if units == "CNTS" else units
