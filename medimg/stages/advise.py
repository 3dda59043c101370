"""advise: what published rules say of the findings, given what is known of the patient. Part of the measure stage."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from medimg.dicom.patient import DicomPatient, read_patient_header
from medimg.measure.risk.advice import advise as advise_on
from medimg.patient import PatientContext
from medimg.patient.document import read_patient
from medimg.patient.headers import context_of_header, day_of
from medimg.stages.case import Case
from medimg.study import Volume

LUNG_NODULES = "lung_nodules"
"""Value of the measure stage's option `advice`: the findings are lung nodules in a chest CT."""


def advise(case: Case, options: dict[str, Any], patient: Path | None = None) -> None:
    """Put the advice on the case's findings into its report, where the pipeline's measure options ask for it.

    patient: a context file (`medimg.patient.document`); DICOM headers fill what it lacks. Raises UsageError for a
    file that cannot be read, or holds values that cannot be.
    """
    if options.get("advice") != LUNG_NODULES:
        if patient is not None:
            case.report.warnings.append(f"pipeline {case.pipeline.name} gives no advice; --patient did nothing")
        return
    context = context_for(case.first, patient, case.report.warnings)
    case.report.advice = [entry.to_dict() for entry in advise_on(case.report.findings, context)]


def context_for(volume: Volume, patient: Path | None, warnings: list[str]) -> PatientContext:
    """What is known of the patient of a scan; contradictions between file and headers are added to `warnings`."""
    header = patient_of(volume)
    told = context_of_header(header)
    if patient is None:
        return told
    context, contradictions = read_patient(patient, scan_day(volume, header)).filled_from(told)
    warnings += contradictions
    return context


def patient_of(volume: Volume) -> DicomPatient | None:
    """The patient that the scan's DICOM files name; None for other volume files."""
    return read_patient_header(volume.source.files) if volume.source.kind == "dicom" else None


def scan_day(volume: Volume, header: DicomPatient | None = None) -> date | None:
    """The study date of the headers, or of those a sidecar kept; None where neither is there."""
    said = header.study_date if header is not None else ""
    return day_of(said or str(volume.source.headers.get("StudyDate", "")))
