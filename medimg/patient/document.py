"""A patient context from a file: medimg's own context.json, or a FHIR R4 document."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

from medimg.errors import UsageError
from medimg.patient.context import PatientContext, PriorNodule

SCHEMA = "medimg.patient/1"

OWN_FILE = "patient file"
"""How the source of a value from context.json is named in a report."""

MAX_BYTES = 64 << 20
"""A patient's record is smaller; what is larger is another kind of file."""


def read_patient(path: Path, on: date | None = None) -> PatientContext:
    """The context in `path`, by its content: `"schema": "medimg.patient/1"` or a FHIR `resourceType`.

    on: the day of the scan, at which ages from birth dates and years since quitting are taken. Raises UsageError for
    a file that is neither, unknown fields, values out of range, and a FHIR document without the extra `fhir`.
    """
    document = _document(path)
    try:
        if "resourceType" in document:
            from medimg.patient.fhir import context_of

            return context_of(document, on)
        return _own(document)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _document(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} is too large for a patient context; name the JSON file of one patient")
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"cannot read {path} as JSON ({error}); see docs/advice.md for the format") from error
    if not isinstance(document, dict):
        raise UsageError(f"{path} is not a JSON object; see docs/advice.md for the format")
    return document


def _own(document: dict[str, Any]) -> PatientContext:
    values = dict(document)
    if values.pop("schema", None) != SCHEMA:
        raise UsageError(f'no patient context: it needs "schema": "{SCHEMA}", or to be a FHIR R4 Bundle or Patient')
    allowed = [entry.name for entry in fields(PatientContext) if entry.name != "sources"]
    if unknown := sorted(set(values) - set(allowed)):
        raise UsageError(f"unknown field {', '.join(unknown)}; there are {', '.join(allowed)}")
    if values.get("prior_nodules") is not None:
        values["prior_nodules"] = _prior_nodules(values["prior_nodules"])
        values.setdefault("prior_ct", True)
    return PatientContext(**values, sources={name: OWN_FILE for name, value in values.items() if value is not None})


def _prior_nodules(entries: Any) -> tuple[PriorNodule, ...]:
    allowed = {entry.name for entry in fields(PriorNodule)}
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError("prior_nodules is a list of objects, [] where the earlier CT showed none")
    found = []
    for entry in entries:
        if not {"center_lps_mm", "mean_diameter_mm"} <= set(entry) <= allowed:
            raise UsageError(
                f"a prior nodule has center_lps_mm and mean_diameter_mm, and may have "
                f"solid_mean_diameter_mm, days_before and lung_rads; not {', '.join(sorted(entry))}"
            )
        center = entry["center_lps_mm"]
        if not isinstance(center, list):
            raise UsageError(f"prior_nodules: center_lps_mm is [x, y, z] in mm, not {center!r}")
        found.append(PriorNodule(**{**entry, "center_lps_mm": tuple(center)}))
    return tuple(found)
