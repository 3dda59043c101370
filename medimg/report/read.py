"""Read a report back from the folder it was written to, to render it again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from medimg.errors import InputError, Reason
from medimg.report.paths import with_absolute_paths
from medimg.results import REPORT_SCHEMA, Finding, Report, Segmentation

REPORT_FILE = "report.json"


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
        if document["schema"] != REPORT_SCHEMA:
            raise InputError(
                Reason.UNREADABLE, f"{path}: schema {document['schema']}, not {REPORT_SCHEMA}; run infer again", [path]
            )
        segmentation = _segmentation(folder, document["segmentation"])
        document = with_absolute_paths(document, folder)
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
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            Reason.UNREADABLE, f"{path} is not a medimg report ({error!r}); run infer again", [path]
        ) from error


def _segmentation(folder: Path, entry: dict[str, Any] | None) -> Segmentation | None:
    if entry is None:
        return None
    import nibabel as nib

    path = folder / entry["path"]
    try:
        image: Any = nib.load(path)
        array = np.asarray(image.dataobj, dtype=np.uint8)
    except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError) as error:
        raise InputError(
            Reason.UNREADABLE, f"{path}: the report's label map cannot be read; run infer again", [path]
        ) from error
    labels = {int(value): str(name) for value, name in entry["labels"].items()}
    merged = {int(value): tuple(map(int, parts)) for value, parts in entry.get("merged", {}).items()}
    not_available = tuple(map(str, entry.get("not_available", ())))
    return Segmentation(array, np.asarray(image.affine, dtype=np.float64), labels, not_available, merged)
