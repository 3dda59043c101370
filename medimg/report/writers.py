"""Write a report in every format asked for; report.json comes last and says that the folder is whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import medimg
from medimg import files
from medimg.dicom.parse import quiet
from medimg.errors import UsageError
from medimg.report.catalogue import LANGUAGES
from medimg.report.csv import findings_csv
from medimg.report.dicom.build import KINDS, DicomOptions, DicomResults, build_dicom
from medimg.report.drawn import DRAWN, PDF_FILE, PREVIEW_FILE, draw
from medimg.report.paths import with_relative_paths
from medimg.report.radiomics import RADIOMICS_FILES
from medimg.report.read import HTML_FILE, REPORT_FILE
from medimg.report.wording import label_volumes, pipeline_of
from medimg.results import Report, Segmentation
from medimg.study import Volume
from medimg.volumes import write_nifti

FORMATS = ("json", "csv", "nifti", "png", "html", "pdf", "seg", "sr")
"""What is written by default; `seg` and `sr` of a scan that came as DICOM only."""

ALL_FORMATS = (*FORMATS, *(kind for kind in KINDS if kind not in FORMATS))
"""What can be written."""

FINDINGS_FILE = "findings.csv"
SEGMENTATION_FILE = "segmentation.nii.gz"
SIDECAR_FILE = "segmentation.json"

SAID_LATER = ("dicom", "failed", "warnings")
"""Keys of report.json that are whole only when everything was drawn."""

SEGMENTATION_SCHEMA = "medimg.segmentation/1"


def write_report(
    report: Report,
    volumes: dict[str, Volume],
    folder: Path,
    formats: Sequence[str] = FORMATS,
    dicom: DicomOptions | None = None,
    language: str = "en",
) -> list[Path]:
    """Write `report` to `folder` and return the files written, report.json last.

    volumes: role -> scan, the first on the report's grid; they are what the pictures show. Without any, a
    preview.png already in the folder is used again. Without "nifti" the JSON names no label map. DICOM objects are
    written for a scan that came as DICOM. What was found is written before anything is drawn; a picture or an object
    that cannot be made is told of in `report.failed` and its warnings, and costs nothing else.
    Each file is written atomically; the report.json of an earlier, different result goes first.
    language: what report.html and report.pdf open in.
    Raises UsageError for an unknown format or language, OutputError when something cannot be written.
    """
    unknown = sorted(set(formats) - set(ALL_FORMATS))
    if unknown:
        raise UsageError(f"unknown report format {', '.join(unknown)}; choose from {', '.join(ALL_FORMATS)}")
    if language not in LANGUAGES:
        raise UsageError(f"unknown report language {language!r}; choose from {', '.join(LANGUAGES)}")
    files.output_folder(folder)
    # what could not be made before is tried again
    report.warnings = [text for text in report.warnings if text not in report.failed]
    report.failed = []
    label_map = SEGMENTATION_FILE if "nifti" in formats else None
    if "json" in formats:
        _withdraw(folder, report, label_map, but=SAID_LATER)
    written = _data(report, folder, formats)
    kinds = [kind for kind in KINDS if kind in formats]
    built = build_dicom(report, volumes, kinds, dicom)
    report.dicom, report.failed = built.document, built.failed
    report.warnings += [text for text in (*built.warnings, *built.failed) if text not in report.warnings]
    drawn = draw(report, volumes, formats, language, folder)
    if "json" in formats:
        _withdraw(folder, report, label_map)
    written += _dicom(built, kinds, folder) + _drawn(drawn, formats, folder)
    if "json" in formats:
        files.write_json(folder / REPORT_FILE, _document(report, label_map, folder))
        written.append(folder / REPORT_FILE)
    return written


def withdraw_report(folder: Path) -> None:
    """Remove what an earlier run left in `folder`, so that none of it can pass for the next one's.

    Only where that run's report.json is: other files of these names are somebody's own.
    """
    if not (folder / REPORT_FILE).is_file():
        return
    results = (FINDINGS_FILE, SEGMENTATION_FILE, SIDECAR_FILE, PREVIEW_FILE, HTML_FILE, PDF_FILE, *RADIOMICS_FILES)
    for name in (REPORT_FILE, *results, *KINDS.values()):
        (folder / name).unlink(missing_ok=True)


def _document(report: Report, label_map: str | None, folder: Path) -> dict[str, Any]:
    """What report.json in `folder` says; label_map: the name of the file beside it, None where none is written."""
    document: dict[str, Any] = with_relative_paths(report.to_dict(label_map), folder)
    return document


def _withdraw(folder: Path, report: Report, label_map: str | None, but: Sequence[str] = ()) -> None:
    """Remove a report.json that says something else: while its companions change it would vouch for a mixture.

    but: keys in which it may differ for now.
    """
    path = folder / REPORT_FILE
    if path.is_file():
        ours = json.loads(files.json_text(_document(report, label_map, folder)))
        if _without(but, ours) != _without(but, _read(path)):
            path.unlink()


def _read(path: Path) -> Any:
    """The document at `path`, None when it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None


def _without(keys: Sequence[str], document: Any) -> Any:
    return {key: value for key, value in document.items() if key not in keys} if isinstance(document, dict) else None


def _data(report: Report, folder: Path, formats: Sequence[str]) -> list[Path]:
    """The findings and the label map: what must not be lost, whatever becomes of the pictures."""
    written: list[Path] = []
    if "csv" in formats:
        files.write_text(folder / FINDINGS_FILE, findings_csv(report))
        written.append(folder / FINDINGS_FILE)
    if "nifti" in formats and report.segmentation is not None:
        written += _segmentation(report, report.segmentation, folder)
    return written


def _segmentation(report: Report, segmentation: Segmentation, folder: Path) -> list[Path]:
    """The label map on the input's grid, and what its labels mean."""
    image, sidecar = folder / SEGMENTATION_FILE, folder / SIDECAR_FILE
    write_nifti(image, segmentation.array, segmentation.affine_ras, f"medimg {pipeline_of(report.pipeline)}")
    labels = {
        str(entry["value"]): {"name": entry["name"], "volume_mm3": round(entry["volume_mm3"], 3)}
        for entry in label_volumes(segmentation)
    }
    files.write_json(
        sidecar,
        {
            "schema": SEGMENTATION_SCHEMA,
            "path": SEGMENTATION_FILE,
            "pipeline": report.pipeline,
            "labels": labels,
            "notice": medimg.NOT_A_MEDICAL_DEVICE,
        },
    )
    return [image, sidecar]


def _dicom(built: DicomResults, kinds: Sequence[str], folder: Path) -> list[Path]:
    """The objects that were built; one of an earlier run that was asked for and not built again goes."""
    for name in {KINDS[kind] for kind in kinds} - set(built.objects):
        (folder / name).unlink(missing_ok=True)
    for name, dataset in built.objects.items():
        with files.atomic_path(folder / name) as temporary, quiet():
            dataset.save_as(temporary, enforce_file_format=True)
    return [folder / name for name in built.objects]


def _drawn(drawn: dict[str, bytes], formats: Sequence[str], folder: Path) -> list[Path]:
    """What was drawn; a page or PDF of an earlier run that was asked for and could not be drawn again goes."""
    for name in {DRAWN[kind] for kind in set(DRAWN) & set(formats)} - set(drawn):
        (folder / name).unlink(missing_ok=True)
    for name, content in drawn.items():
        files.write_bytes(folder / name, content)
    return [folder / name for name in drawn]
