"""Who a scan is of, read anew from its files when a command needs it: nothing of this is kept in a report.

Patient Module, PS3.3 section C.7.1.1, and Patient Study Module, C.7.2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medimg.dicom import fields
from medimg.dicom.parse import quiet, read_header, wanted
from medimg.errors import InputError

KEYWORDS = (
    "StudyInstanceUID",
    "StudyDate",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "SmokingStatus",
)

TAGS = wanted(fields.tag_of(keyword) for keyword in KEYWORDS)


@dataclass(frozen=True)
class DicomPatient:
    """The values as the header has them, "" where it has none; dates are YYYYMMDD, age is like 065Y."""

    study_uid: str = ""
    study_date: str = ""
    patient_id: str = ""
    issuer: str = ""
    birth_date: str = ""
    sex: str = ""
    age: str = ""
    smoking_status: str = ""


def read_patient_header(files: Sequence[Path]) -> DicomPatient | None:
    """The patient of the first file that can be read; None without one."""
    for path in files:
        try:
            with quiet():
                dataset = read_header(path, TAGS).dataset
                return DicomPatient(*(fields.human(dataset, keyword) for keyword in KEYWORDS))
        except InputError:
            continue
    return None
