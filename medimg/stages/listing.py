"""What is in a folder, from headers alone: one row a series or volume file, with what reading it would give.

Rows name the patient. They are for the person at the terminal: medimg writes them into no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medimg.dicom import fields
from medimg.dicom.discover import SeriesHeaders
from medimg.dicom.options import AS_SCANNED, ReadOptions
from medimg.dicom.parse import quiet, read_header, wanted
from medimg.dicom.series import outline_series
from medimg.dicom.verdict import SeriesResult
from medimg.errors import InputError
from medimg.progress import Progress, silent
from medimg.stages.choose import EVERYTHING, Choice
from medimg.stages.manifest import relative, status_of
from medimg.stages.survey import divide, nothing_there, survey
from medimg.stages.volume_files import outline_file

LIST_SCHEMA = "medimg.list/1"

PATIENT_TAGS = wanted(map(fields.tag_of, ("PatientName", "PatientID")))
"""Read here and nowhere else in medimg."""


def list_folder(
    root: Path,
    choice: Choice = EVERYTHING,
    progress: Progress = silent,
    options: ReadOptions = AS_SCANNED,
    results: Path | None = None,
) -> dict[str, Any]:
    """The `medimg.list/1` document of everything under `root` that was asked for.

    results: an output folder; what an earlier run left there is not listed.

    Raises InputError (not_dicom) when there is nothing, UsageError when nothing there was asked for.
    """
    found = survey(root, results, progress)
    chosen, not_chosen = divide(found, choice)
    if not chosen:
        raise nothing_there(found, root)
    rows = []
    for done, scan in enumerate(chosen, start=1):
        rows.append(_series(scan, root, options) if isinstance(scan, SeriesHeaders) else _file(scan, root))
        progress("series", done, len(chosen))
    skipped = [{"path": relative(skip.path, root), "reason": str(skip.reason)} for skip in found.skipped]
    return {"schema": LIST_SCHEMA, "series": rows, "not_chosen": len(not_chosen), "skipped": skipped}


def _series(series: SeriesHeaders, root: Path, options: ReadOptions) -> dict[str, Any]:
    paths = list(dict.fromkeys(frame.path for frame in series.frames))
    return {
        "patient": _patient(paths[0]),
        "study_uid": series.study_uid,
        "study_date": str(series.headers.get("StudyDate", "")) or None,
        "series_uid": series.series_uid,
        "number": series.number,
        "kind": "dicom",
        "path": relative(paths[0].parent, root),
        "kernel": str(series.headers.get("ConvolutionKernel", "")) or None,
        **_told(outline_series(series, options)),
        "files": len(paths),
    }


def _file(path: Path, root: Path) -> dict[str, Any]:
    result = outline_file(path)
    headers = result.volumes[0].source.headers if result.volumes else {}
    return {
        "patient": None,
        "study_uid": result.study_uid,
        "study_date": str(headers.get("StudyDate", "")) or None,
        "series_uid": result.series_uid,
        "number": None,
        "kind": result.volumes[0].source.kind if result.volumes else "file",
        "path": relative(path, root),
        "kernel": str(headers.get("ConvolutionKernel", "")) or None,
        **_told(result),
        "files": len(result.volumes[0].source.files) if result.volumes else 1,
    }


def _told(result: SeriesResult) -> dict[str, Any]:
    """What a reading would give, as far as headers tell."""
    rejection = result.rejection
    status = status_of(result)
    return {
        "modality": result.modality,
        "description": result.description,
        "volumes": [
            {"shape": list(volume.shape), "spacing_mm": [round(float(mm), 6) for mm in volume.spacing_mm]}
            for volume in result.volumes
        ],
        "verdict": str(rejection.reason) if rejection is not None and status == "rejected" else status,
        "message": None if rejection is None else str(rejection),
    }


def _patient(path: Path) -> dict[str, str]:
    """ID and name as the header spells them; empty where it has none."""
    try:
        with quiet():
            dataset = read_header(path, PATIENT_TAGS).dataset
            # a PersonName is a sequence of letters to `fields.human`
            return {"id": fields.human(dataset, "PatientID"), "name": str(dataset.get("PatientName", ""))}
    except InputError:
        return {"id": "", "name": ""}


def table(document: dict[str, Any]) -> tuple[tuple[str, ...], Sequence[tuple[str, ...]]]:
    """The document as the columns and rows of a table."""
    columns = ("patient", "study date", "modality", "description", "size", "spacing mm", "kernel", "files", "verdict")
    rows = [_row(entry) for entry in document["series"]]
    return (*columns, "series UID"), rows


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    patient = entry["patient"] or {"id": "", "name": ""}
    sizes = dict.fromkeys("x".join(map(str, volume["shape"])) for volume in entry["volumes"])
    spacings = dict.fromkeys("x".join(f"{mm:.3g}" for mm in volume["spacing_mm"]) for volume in entry["volumes"])
    count = len(entry["volumes"])
    times = f"{count} of " if count > 1 else ""
    return (
        " ".join(part for part in (patient["id"], patient["name"]) if part),
        entry["study_date"] or "",
        entry["modality"],
        entry["description"] or entry["path"],
        times + ", ".join(sizes),
        ", ".join(spacings),
        entry["kernel"] or "",
        str(entry["files"]),
        entry["verdict"],
        entry["series_uid"],
    )
