"""A patient context from DICOM headers: what they hold of it is age, sex and, rarely, smoking."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any

from medimg.dicom.patient import DicomPatient
from medimg.errors import UsageError
from medimg.patient.context import AGE_YEARS, NOTHING_KNOWN, PatientContext
from medimg.patient.fhir import DAYS_PER_YEAR, years_between

AGE = re.compile(r"^(\d{3})([DWMY])$")
"""Value representation AS (PS3.5 section 6.2)."""

DAYS_OF = {"D": 1.0, "W": 7.0, "M": DAYS_PER_YEAR / 12, "Y": DAYS_PER_YEAR}

SEXES = {"F": "female", "M": "male"}
"""Patient's Sex (0010,0040); O (other) is not known here."""


def context_of_header(patient: DicomPatient | None) -> PatientContext:
    """Age from Patient's Age, else from birth and study date; sex; smoking where Smoking Status says YES.

    Smoking Status NO does not tell a former smoker from one who never smoked, so it says nothing. A value that
    cannot be is as if it were not there: a header is no statement to a person.
    """
    if patient is None:
        return NOTHING_KNOWN
    found: dict[str, tuple[Any, str]] = {}
    if (age := _age(patient)) is not None:
        found["age_years"] = age
    if patient.sex in SEXES:
        found["sex"] = (SEXES[patient.sex], "DICOM Patient's Sex")
    if patient.smoking_status == "YES":
        found["smoking"] = ("current", "DICOM Smoking Status")
    return PatientContext(
        **{name: value for name, (value, _) in found.items()},
        sources={name: source for name, (_, source) in found.items()},
    )


def day_of(text: str) -> date | None:
    """A DICOM date (YYYYMMDD, or YYYY.MM.DD of ACR-NEMA); None for anything else."""
    digits = text.replace(".", "")
    if len(digits) != 8 or not digits.isascii():
        return None
    try:
        return datetime.strptime(digits, "%Y%m%d").date()
    except ValueError:
        return None


def _age(patient: DicomPatient) -> tuple[float, str] | None:
    told = AGE.match(patient.age)
    if told is not None:
        years = round(int(told.group(1)) * DAYS_OF[told.group(2)] / DAYS_PER_YEAR, 2)
        return (years, "DICOM Patient's Age") if years <= AGE_YEARS[1] else None
    born, scanned = day_of(patient.birth_date), day_of(patient.study_date)
    if born is None or scanned is None:
        return None
    try:
        years = years_between(born, scanned)
    except UsageError:
        return None
    return (years, "DICOM birth and study date") if years <= AGE_YEARS[1] else None
