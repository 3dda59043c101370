"""A patient context from DICOM headers."""

from __future__ import annotations

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from medimg.dicom.patient import DicomPatient, read_patient_header
from medimg.patient.headers import context_of_header, day_of


@pytest.mark.parametrize(
    ("age", "years"),
    [("065Y", 65.0), ("018M", 1.5), ("104W", 1.99), ("010D", 0.03), ("65", None), ("999Y", None), ("", None)],
)
def test_patients_age(age, years):
    assert context_of_header(DicomPatient(age=age)).age_years == years


def test_age_from_birth_and_study_date_where_no_age_is_given():
    context = context_of_header(DicomPatient(birth_date="19600301", study_date="20260301"))
    assert context.age_years == 66.0
    assert context.source_of("age_years") == "DICOM birth and study date"
    assert context_of_header(DicomPatient(birth_date="20270101", study_date="20260301")).age_years is None


@pytest.mark.parametrize(("said", "sex"), [("F", "female"), ("M", "male"), ("O", None), ("", None)])
def test_patients_sex(said, sex):
    assert context_of_header(DicomPatient(sex=said)).sex == sex


@pytest.mark.parametrize(("said", "smoking"), [("YES", "current"), ("NO", None), ("UNKNOWN", None)])
def test_smoking_status_no_does_not_tell_former_from_never(said, smoking):
    assert context_of_header(DicomPatient(smoking_status=said)).smoking == smoking


def test_no_header_knows_nothing():
    assert context_of_header(None).known() == {}
    assert day_of("2026.03.01").isoformat() == "2026-03-01"
    assert day_of("20261301") is None
    assert day_of("now") is None


def test_the_first_file_that_can_be_read_tells(tmp_path):
    dataset = pydicom.Dataset()
    dataset.PatientID, dataset.PatientBirthDate, dataset.PatientAge = "A1", "19600301", "066Y"
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(tmp_path / "one.dcm", enforce_file_format=False)
    (tmp_path / "broken").write_bytes(b"no DICOM")
    found = read_patient_header([tmp_path / "broken", tmp_path / "one.dcm"])
    assert (found.patient_id, found.birth_date, found.age) == ("A1", "19600301", "066Y")
    assert read_patient_header([tmp_path / "broken"]) is None
