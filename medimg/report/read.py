"""Read a report back from the folder it was written to, to render it again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from medimg import geometry
from medimg.errors import InputError, Reason
from medimg.report.check import check_document
from medimg.report.paths import with_absolute_paths
from medimg.results import REPORT_SCHEMA, Finding, Report, Segmentation

REPORT_FILE = "report.json"
HTML_FILE = "report.html"

PAGE_END = b"</html>"
"""How a whole page ends."""

SAME_GRID_MM = 1e-2
"""A NIfTI holds its affine in single precision."""


def read_report(folder: Path) -> Report:
    """The report in `folder`; its paths are absolute again.

    Raises InputError when there is no report.json (the run did not end), or it is not a medimg report.
    """
    path = folder / REPORT_FILE
    if not path.is_file():
        raise InputError(
            Reason.NOT_A_REGULAR_FILE, f"{folder} holds no {REPORT_FILE}; name a folder that medimg infer wrote", [path]
        )
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(document, dict) and document.get("schema", REPORT_SCHEMA) != REPORT_SCHEMA:
            raise InputError(
                Reason.UNREADABLE, f"{path}: schema {document['schema']}, not {REPORT_SCHEMA}; run infer again", [path]
            )
        check_document(document)
        segmentation = _segmentation(folder, document["segmentation"])
        document = with_absolute_paths(document, folder)
        _check_grid(folder, document["inputs"], segmentation)
        return Report(
            pipeline=dict(document["pipeline"]),
            inputs=[dict(entry) for entry in document["inputs"]],
            findings=[Finding.from_dict(entry) for entry in document["findings"]],
            segmentation=segmentation,
            # earlier reports have none
            measurements=dict(document.get("measurements", {})),
            provenance=dict(document["provenance"]),
            warnings=list(document["warnings"]),
            advice=[dict(entry) for entry in document.get("advice", ())],
            failed=list(map(str, document.get("failed", ()))),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            Reason.UNREADABLE, f"{path} is not a medimg report ({error}); run infer again", [path]
        ) from error


def read_page(folder: Path) -> Path:
    """The report.html in `folder`, whose report has been read too. Raises InputError when either is not whole."""
    read_report(folder)
    page = folder / HTML_FILE
    if not page.is_file():
        message = f"{folder} holds no {HTML_FILE}; make it with: medimg report {folder} --format html -o {folder}"
        raise InputError(Reason.NOT_A_REGULAR_FILE, message, [page])
    with page.open("rb") as stream:
        stream.seek(max(0, page.stat().st_size - len(PAGE_END)))
        end = stream.read()
    if end != PAGE_END:
        message = f"{page} was cut short or edited; make it anew with: medimg report {folder} --format html -o {folder}"
        raise InputError(Reason.UNREADABLE, message, [page])
    return page


def _check_grid(folder: Path, inputs: list[dict[str, Any]], segmentation: Segmentation | None) -> None:
    """The label map lies on the first scan's grid, or neither can be trusted."""
    shape, affine = (inputs[0].get("shape"), inputs[0].get("affine_ras")) if inputs else (None, None)
    if segmentation is None or shape is None or affine is None:
        return
    labels = (segmentation.array.shape, segmentation.affine_ras)
    if not geometry.same_grid(tuple(shape), np.asarray(affine, dtype=np.float64), *labels, SAME_GRID_MM):
        raise ValueError(f"the label map of {labels[0]} voxels in {folder} is not on the scan's grid of {shape}")


def _segmentation(folder: Path, entry: dict[str, Any] | None) -> Segmentation | None:
    if entry is None:
        return None
    import nibabel as nib

    path = folder / entry["path"]
    try:
        image: Any = nib.load(path)
        array = np.asarray(image.dataobj, dtype=np.uint8)
        if array.ndim != 3:
            raise ValueError(f"{array.ndim} dimensions")
    except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError) as error:
        raise InputError(
            Reason.UNREADABLE, f"{path}: the report's label map cannot be read; run infer again", [path]
        ) from error
    labels = {int(value): str(name) for value, name in entry["labels"].items()}
    merged = {int(value): tuple(map(int, parts)) for value, parts in entry.get("merged", {}).items()}
    not_available = tuple(map(str, entry.get("not_available", ())))
    return Segmentation(array, np.asarray(image.affine, dtype=np.float64), labels, not_available, merged)
