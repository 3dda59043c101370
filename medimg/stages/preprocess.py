"""The preprocess stage: a DICOM folder becomes NIfTI volumes with sidecars, and a manifest that leaves nothing out."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import medimg
from medimg import files, geometry
from medimg.dicom.discover import SeriesHeaders, Skipped
from medimg.dicom.options import AS_SCANNED, ReadOptions
from medimg.dicom.series import SeriesResult, outline_series, read_series
from medimg.errors import UsageError
from medimg.progress import Progress, silent
from medimg.results import MANIFEST_SCHEMA
from medimg.stages.candidates import MANIFEST_FILE, SELECTION_FILE, Candidate, find_candidates
from medimg.stages.choose import EVERYTHING, Choice
from medimg.stages.identify import role_of_file
from medimg.stages.roles import role_of_name
from medimg.stages.survey import Survey, divide, nothing_there, survey
from medimg.stages.volume_files import file_name, files_of, outline_file, read_file
from medimg.study import HOUNSFIELD_TYPES, Volume
from medimg.volumes import stem, write_nifti

SIDECAR_SCHEMA = "medimg.volume/1"

TO_BE_READ = "to be read"
"""Status of a series whose headers alone do not decide; in a dry run only."""

MAX_SLUG = 40
"""Characters of a series description kept in a file name."""

UID_DIGITS = 8
"""Hex digits of the series UID's digest in a file name: names stay unique and say nothing about the site."""


@dataclass(frozen=True)
class _Run:
    """root: what is searched, which paths are relative to. output: None where nothing is to be written."""

    root: Path
    output: Path | None
    options: ReadOptions = AS_SCANNED


@dataclass
class Manifest:
    """The `medimg.preprocess/1` document: every file under the root is in a series or skipped.

    damaged: those of the skipped files that were meant to be DICOM. not_chosen: what the user did not ask for.
    """

    root: Path
    series: list[dict[str, Any]] = field(default_factory=list)
    not_chosen: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)

    @property
    def rejected(self) -> list[dict[str, Any]]:
        """Entries of the series that did not become volumes, or not wholly."""
        return [entry for entry in self.series if entry["status"] == "rejected"]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; volume paths are relative to the manifest, source paths to the input root."""
        skipped = [
            {"path": relative(skip.path, self.root), "reason": str(skip.reason)}
            | ({"message": skip.message} if skip.message else {})
            for skip in self.skipped
        ]
        return {
            "schema": MANIFEST_SCHEMA,
            "series": self.series,
            "not_chosen": self.not_chosen,
            "skipped": skipped,
        }


def preprocess_folder(
    root: Path,
    output: Path | None,
    progress: Progress | None = None,
    choice: Choice = EVERYTHING,
    options: ReadOptions = AS_SCANNED,
) -> Manifest:
    """Convert every series and volume file under `root` that was asked for into `output`.

    Writes `<name>.nii.gz`, `<name>.json` and manifest.json. Without `output` nothing is written and no pixel read:
    the manifest says what headers tell, and the names there would be; its status may be "to be read" too.
    A `root` that `medimg select` left gives what was chosen, and nothing else. A volume that `options` let be
    resampled comes with `<name>_made_up_mask.nii.gz`, 1 for every voxel that was not scanned.
    One series is in memory at a time. The manifest is written whatever happens to single series, and last: a run that
    is stopped leaves none, so that no half of a folder looks whole.
    Raises OutputError, InputError (not_dicom) when there is nothing to convert, UsageError when nothing there was
    asked for.
    """
    listen = progress or silent
    if output is not None:
        files.output_folder(output)
    run = _Run(root, output, options)
    if (root / SELECTION_FILE).is_file():
        return _preprocess_selection(run, listen, choice)
    found = survey(root, output, listen)
    chosen, not_chosen = divide(found, choice)
    _withdraw_manifest(output)
    manifest = Manifest(root, skipped=found.skipped, damaged=found.damaged)
    manifest.not_chosen = [_left(scan, why, root) for scan, why in not_chosen]
    for done, scan in enumerate(chosen, start=1):
        manifest.series.append(_convert_found(scan, found, run))
        listen("series", done, len(chosen))
    if output is not None:
        files.write_json(output / MANIFEST_FILE, manifest.to_dict())
    if not manifest.series:
        raise nothing_there(found, root)
    return manifest


def _withdraw_manifest(output: Path | None) -> None:
    """Remove that of an earlier run, when it is certain that there is something to write."""
    if output is not None:
        (output / MANIFEST_FILE).unlink(missing_ok=True)


def save_volumes(volumes: Mapping[str, Volume], output: Path) -> Path:
    """Write volumes already in memory (role -> Volume) as `preprocess_folder` would; the manifest's path.

    What a chain's preprocess stage does with `save: true`.
    """
    files.output_folder(output)
    manifest = Manifest(output)
    for role, volume in volumes.items():
        manifest.series.append(_convert_volume(volume, role, _Run(volume.source.path, output), role))
    files.write_json(output / MANIFEST_FILE, manifest.to_dict())
    return output / MANIFEST_FILE


def _preprocess_selection(run: _Run, listen: Progress, choice: Choice) -> Manifest:
    if choice != EVERYTHING:
        raise UsageError(f"{run.root / SELECTION_FILE} has chosen already; name the scan's own folder to choose anew")
    manifest = Manifest(run.root)
    chosen = find_candidates(run.root)
    _withdraw_manifest(run.output)
    for done, candidate in enumerate(chosen, start=1):
        manifest.series.append(_convert_chosen(candidate, replace(run, root=candidate.path)))
        listen("series", done, len(chosen))
    if run.output is not None:
        files.write_json(run.output / MANIFEST_FILE, manifest.to_dict())
    return manifest


def _convert_chosen(candidate: Candidate, run: _Run) -> dict[str, Any]:
    """A chosen series as `_convert` does it; a chosen volume file is written again with its sidecar."""
    if candidate.headers is not None:
        return _convert(candidate.headers, run, candidate.role)
    (volume,) = candidate.read()
    name = stem(candidate.path)
    if candidate.role is not None and role_of_name(name) != candidate.role:
        name = f"{name}_{candidate.role}"  # two roles may come from files of one name
    return _convert_volume(volume, name, run, candidate.role)


def _convert_volume(volume: Volume, name: str, run: _Run, role: str | None) -> dict[str, Any]:
    """Write a volume that is in memory already; its manifest entry."""
    source = volume.source
    written = _write(volume, run, name, role)
    uids = (source.study_uid or "", source.series_uid or "")
    result = SeriesResult(*uids, modality=volume.modality or "", description=volume.description)
    return _entry(result, [written], run.root)


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


def _convert_found(scan: SeriesHeaders | Path, found: Survey, run: _Run) -> dict[str, Any]:
    if isinstance(scan, SeriesHeaders):
        return _convert(scan, run)
    return _convert_file(scan, found.folder, run)


def _convert(headers: SeriesHeaders, run: _Run, role: str | None = None) -> dict[str, Any]:
    """Read one series, write its volumes and sidecars; its manifest entry."""
    read = outline_series if run.output is None else read_series
    return _written(read(headers, run.options), file_stem(headers), run, role)


def _convert_file(path: Path, folder: Path, run: _Run) -> dict[str, Any]:
    """Read one volume file, write its volumes and sidecars; its manifest entry."""
    result = outline_file(path) if run.output is None else read_file(path)
    return _written(result, file_name(path, folder), run, role_of_file(path))


def _written(result: SeriesResult, name: str, run: _Run, role: str | None) -> dict[str, Any]:
    """Write the volumes of a result, numbered when there are several; its manifest entry."""
    several = len(result.volumes) > 1
    volumes = [
        _write(volume, run, f"{name}_{number}" if several else name, role)
        for number, volume in enumerate(result.volumes, start=1)
    ]
    return _entry(result, volumes, run.root)


def _left(scan: SeriesHeaders | Path, why: str, root: Path) -> dict[str, Any]:
    """The manifest entry of what was not asked for."""
    if isinstance(scan, SeriesHeaders):
        identity = (scan.study_uid, scan.series_uid, scan.modality, scan.description)
        paths = list(dict.fromkeys(frame.path for frame in scan.frames))
    else:
        known = outline_file(scan)
        identity = (known.study_uid, known.series_uid, known.modality, known.description)
        paths = list(files_of(scan))
    words = dict(zip(("study_uid", "series_uid", "modality", "description"), identity, strict=True))
    return {**words, "why": why, "files": [relative(path, root) for path in paths]}


def _entry(result: SeriesResult, volumes: list[dict[str, Any]], root: Path) -> dict[str, Any]:
    rejection = result.rejection
    return {
        "study_uid": result.study_uid,
        "series_uid": result.series_uid,
        "modality": result.modality,
        "description": result.description,
        "status": status_of(result),
        "reason": None if rejection is None else str(rejection.reason),
        "message": None if rejection is None else str(rejection),
        "files": [] if rejection is None else [relative(path, root) for path in rejection.files],
        "unused": [relative(path, root) for path in result.unused],
        "volumes": volumes,
        "excluded": [{"path": relative(path, root), "reason": str(why)} for path, why in result.excluded],
    }


def status_of(result: SeriesResult) -> str:
    """ "ok" or "rejected"; TO_BE_READ when no pixel was read and pixels decide."""
    if result.undecided:
        return TO_BE_READ
    return "ok" if result.rejection is None else "rejected"


def _write(volume: Volume, run: _Run, name: str, role: str | None) -> dict[str, Any]:
    """Write one volume and its sidecar, unless nothing is to be written; the manifest's words about it."""
    mask = f"{name}_made_up_mask.nii.gz"
    summary = {
        "path": f"{name}.nii.gz",
        "shape": list(volume.shape),
        "spacing_mm": [round(float(value), 6) for value in volume.spacing_mm],
        "affine_ras": volume.affine_ras.tolist(),
        "files": len(volume.source.files),
        "resampled": bool(volume.source.resampling),
        "resampling": list(volume.source.resampling),
        "made_up_mask": None if volume.made_up is None else mask,
    }
    if run.output is None:
        return summary
    _write_mask(volume, run.output / mask)
    path = run.output / f"{name}.nii.gz"
    sha256 = write_nifti(path, volume.array, volume.affine_ras, description=f"medimg {medimg.__version__}")
    sidecar = _sidecar(volume, {**summary, "role": role, "sha256": sha256}, run.root)
    files.write_json(path.with_name(stem(path) + ".json"), sidecar)
    return summary


def _write_mask(volume: Volume, path: Path) -> None:
    """The mask of what was not scanned; without one, that of an earlier run with other options goes."""
    if volume.made_up is None:
        path.unlink(missing_ok=True)
    else:
        write_nifti(path, volume.made_up, volume.affine_ras, description=f"medimg {medimg.__version__}")


def _sidecar(volume: Volume, summary: dict[str, Any], root: Path) -> dict[str, Any]:
    source = volume.source
    return {
        "schema": SIDECAR_SCHEMA,
        **summary,
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
