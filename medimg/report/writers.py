"""Write a report in every format asked for; report.json comes last and says that the folder is whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import medimg
from medimg import files
from medimg.errors import UsageError
from medimg.report.csv import findings_csv
from medimg.report.paths import with_relative_paths
from medimg.report.radiomics import RADIOMICS_FILES
from medimg.report.read import REPORT_FILE
from medimg.report.wording import label_volumes, pipeline_of
from medimg.results import Report, Segmentation
from medimg.study import Volume
from medimg.volumes import write_nifti

FORMATS = ("json", "csv", "nifti", "png", "html")
"""What can be written, and what is by default."""

FINDINGS_FILE = "findings.csv"
SEGMENTATION_FILE = "segmentation.nii.gz"
SIDECAR_FILE = "segmentation.json"
PREVIEW_FILE = "preview.png"
HTML_FILE = "report.html"

SEGMENTATION_SCHEMA = "medimg.segmentation/1"


def write_report(
    report: Report, volumes: dict[str, Volume], folder: Path, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Write `report` to `folder` and return the files written, report.json last.

    volumes: role -> scan, the first on the report's grid; they are what the pictures show. Without any, a
    preview.png already in the folder is used again. Without "nifti" the JSON names no label map.
    Each file is written atomically; the report.json of an earlier, different result goes first.
    Raises UsageError for an unknown format, OutputError when something cannot be written.
    """
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise UsageError(f"unknown report format {', '.join(unknown)}; choose from {', '.join(FORMATS)}")
    files.output_folder(folder)
    document = with_relative_paths(report.to_dict(SEGMENTATION_FILE if "nifti" in formats else None), folder)
    written: list[Path] = []
    if "json" in formats:
        _withdraw(folder / REPORT_FILE, document)
    if "csv" in formats:
        written.append(_text(folder / FINDINGS_FILE, findings_csv(report)))
    if "nifti" in formats and report.segmentation is not None:
        written += _segmentation(report, report.segmentation, folder)
    if {"png", "html"} & set(formats):
        written += _pictures(report, volumes, folder, formats)
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
    companions = (FINDINGS_FILE, SEGMENTATION_FILE, SIDECAR_FILE, PREVIEW_FILE, HTML_FILE, *RADIOMICS_FILES)
    for name in (REPORT_FILE, *companions):
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


def _pictures(report: Report, volumes: dict[str, Volume], folder: Path, formats: Sequence[str]) -> list[Path]:
    """preview.png and report.html, which shows the same picture."""
    from medimg.report.html import report_html
    from medimg.report.preview import preview_png

    target = folder / PREVIEW_FILE
    written = []
    if volumes:
        picture: bytes | None = preview_png(report, volumes)
    else:
        picture = target.read_bytes() if target.is_file() else None
    if "png" in formats and picture is not None:
        files.write_bytes(target, picture)
        written.append(target)
    if "html" in formats:
        written.append(_text(folder / HTML_FILE, report_html(report, picture)))
    return written
