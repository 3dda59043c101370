"""A volume as files: NIfTI, a sidecar that says what it is and where it came from, and the mask of what was made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import medimg
from medimg import files, geometry
from medimg.stages.identify import read_sidecar
from medimg.stages.manifest import relative
from medimg.study import HOUNSFIELD_TYPES, Volume
from medimg.volumes import write_nifti

SIDECAR_SCHEMA = "medimg.volume/1"

DICOM_AXES = "i: columns, j: against the DICOM rows, k: slices along row x column"
"""How the axes of an array read from DICOM run."""


def save_volume(volume: Volume, root: Path, output: Path | None, name: str, role: str | None) -> dict[str, Any]:
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
    if output is None:
        return summary
    path = output / f"{name}.nii.gz"
    _write_mask(volume, path, output / mask)
    sha256 = write_nifti(path, volume.array, volume.affine_ras, description=f"medimg {medimg.__version__}")
    sidecar = _sidecar(volume, {**summary, "role": role, "sha256": sha256}, root)
    files.write_json(output / f"{name}.json", sidecar)
    return summary


def _write_mask(volume: Volume, path: Path, mask: Path) -> None:
    """The mask of what was not scanned; without one, that of an earlier run of `path` with other options goes."""
    if volume.made_up is not None:
        write_nifti(mask, volume.made_up, volume.affine_ras, description=f"medimg {medimg.__version__}")
    elif read_sidecar(path).get("made_up_mask") == mask.name:
        mask.unlink(missing_ok=True)


def _sidecar(volume: Volume, summary: dict[str, Any], root: Path) -> dict[str, Any]:
    source = volume.source
    return {
        "schema": SIDECAR_SCHEMA,
        **summary,
        "axes": DICOM_AXES if source.kind == "dicom" else "i, j, k as the file stores them",
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
