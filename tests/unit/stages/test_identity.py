"""Whether two scans are of one patient."""

from __future__ import annotations

import pytest

from medimg.dicom.patient import DicomPatient
from medimg.errors import InputError, Reason
from medimg.stages.identity import check_identity

ANNA = DicomPatient("1.2.1", "20250101", "A1", "CLINIC", "19600301", "F")


def test_one_patient_at_two_times_is_no_warning():
    assert check_identity(ANNA, DicomPatient("1.2.2", "20260101", "A1", "CLINIC", "19600301", "F"), False) == []


@pytest.mark.parametrize(
    ("other", "words"),
    [(DicomPatient("1.2.2", "", "B2", "CLINIC"), "Patient ID"), (DicomPatient("1.2.2", "", "A1", "OTHER"), "Issuer"),
     (DicomPatient("1.2.2", "", "", "", "19700101"), "birth date"),
     (DicomPatient("1.2.2", "", "A1", "", "", "M"), "sex")],
)  # fmt: skip
def test_different_patients_are_refused_without_their_names_and_compared_only_by_force(other, words):
    with pytest.raises(InputError, match=words) as refused:
        check_identity(ANNA, other, False)
    assert refused.value.reason is Reason.DIFFERENT_PATIENTS
    assert not {"A1", "B2", "19600301"} & set(str(refused.value).replace("(", " ").replace(")", " ").split())
    (warned,) = check_identity(ANNA, other, True)
    assert warned.code == "different_patients"


def test_one_study_is_one_patient():
    assert check_identity(ANNA, DicomPatient("1.2.1", "", "B2"), False) == []


@pytest.mark.parametrize("unknown", [None, DicomPatient("1.2.2")])
def test_an_unknown_identity_is_a_named_warning(unknown):
    (warned,) = check_identity(ANNA, unknown, False)
    assert warned.code == "identity_unknown"
