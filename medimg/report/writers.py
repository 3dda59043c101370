"""Write a report in every format asked for; report.json comes last and says that the folder is whole."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import medimg
from medimg import files
from medimg.dicom.parse import quiet
from medimg.errors import UsageError
from medimg.report.catalogue import LANGUAGES
from medimg.report.csv import findings_csv
from medimg.report.dicom.build import KINDS, DicomOptions, DicomResults, build_dicom
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
PREVIEW_FILE = "preview.png"
PDF_FILE = "report.pdf"

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
    written for a scan that came as DICOM; one that cannot be made is told of in `report.failed` and its warnings.
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
    kinds = [kind for kind in KINDS if kind in formats]
    built = build_dicom(report, volumes, kinds, dicom)
    report.dicom, report.failed = built.document, built.failed
    report.warnings += [text for text in (*built.warnings, *built.failed) if text not in report.warnings]
    document = with_relative_paths(report.to_dict(SEGMENTATION_FILE if "nifti" in formats else None), folder)
    written: list[Path] = []
    if "json" in formats:
        _withdraw(folder / REPORT_FILE, document)
    if "csv" in formats:
        written.append(_text(folder / FINDINGS_FILE, findings_csv(report)))
    if "nifti" in formats and report.segmentation is not None:
        written += _segmentation(report, report.segmentation, folder)
    written += _dicom(built, kinds, folder)
    if {"png", "html", "pdf"} & set(formats):
        written += _pictures(report, volumes, folder, formats, language)
    if "json" in formats:
        files.write_json(folder / REPORT_FILE, document)
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


def _withdraw(path: Path, document: dict[str, Any]) -> None:
    """Remove a report.json that says something else: while its companions change it would vouch for a mixture."""
    if path.is_file() and path.read_bytes() != files.json_text(document).encode("utf-8"):
        path.unlink()


def _text(path: Path, text: str) -> Path:
    files.write_text(path, text)
    return path


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


def _pictures(
    report: Report, volumes: dict[str, Volume], folder: Path, formats: Sequence[str], language: str
) -> list[Path]:
    """preview.png, and report.html and report.pdf, which show the same picture; the page has the scan itself too."""
    from medimg.report.embed import embed
    from medimg.report.html import Show, report_html
    from medimg.report.preview import preview_png

    target = folder / PREVIEW_FILE
    written = []
    # the scan is packed for the page while the picture is drawn: the one is the processor's work, the other Python's
    with ThreadPoolExecutor(1) as pool:
        packing = pool.submit(embed, report, volumes) if volumes and "html" in formats else None
        if volumes:
            picture: bytes | None = preview_png(report, volumes)
        else:
            picture = target.read_bytes() if target.is_file() else None
        if "png" in formats and picture is not None:
            files.write_bytes(target, picture)
            written.append(target)
        embedded = None if packing is None else packing.result()
    if "html" in formats:
        show = None if embedded is None else Show(volumes, embedded)
        written.append(_text(folder / HTML_FILE, report_html(report, picture, show, language)))
    if "pdf" in formats:
        from medimg.report.pdf import report_pdf

        files.write_bytes(folder / PDF_FILE, report_pdf(report, picture, language))
        written.append(folder / PDF_FILE)
    return written
