"""A patient context from a FHIR R4 bundle."""

from __future__ import annotations

from datetime import date

import pytest

from medimg.errors import UsageError
from medimg.patient.fhir import context_of

pytest.importorskip("fhir.resources", reason="the extra fhir")

SCAN = date(2026, 3, 1)
SUBJECT = {"reference": "Patient/1"}
ICD, SNOMED, LOINC = "http://hl7.org/fhir/sid/icd-10", "http://snomed.info/sct", "http://loinc.org"
PATIENT = {"resourceType": "Patient", "id": "1", "gender": "female", "birthDate": "1960-03-01"}


def coded(system, code):
    return {"coding": [{"system": system, "code": code}]}


def condition(system, code, state="confirmed"):
    status = coded("http://terminology.hl7.org/CodeSystem/condition-ver-status", state)
    return {"resourceType": "Condition", "subject": SUBJECT, "code": coded(system, code), "verificationStatus": status}


def observation(code, day="2026-01-01", status="final", **value):
    return {"resourceType": "Observation", "status": status, "subject": SUBJECT, "code": coded(LOINC, code),
            "effectiveDateTime": day, **value}  # fmt: skip


def smoking(code, day="2026-01-01", **more):
    return observation("72166-2", day, valueCodeableConcept=coded(SNOMED, code), **more)


def relative(relation, code="C34.1"):
    return {"resourceType": "FamilyMemberHistory", "status": "completed", "patient": SUBJECT,
            "relationship": coded("http://terminology.hl7.org/CodeSystem/v3-RoleCode", relation),
            "condition": [{"code": coded(ICD, code)}]}  # fmt: skip


def bundle(*resources):
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in (PATIENT, *resources)]}


def known(*resources, on=SCAN):
    return context_of(bundle(*resources), on).known()


def test_age_at_the_scan_and_sex_come_from_the_patient():
    context = context_of(bundle(), SCAN)
    assert context.known() == {"age_years": 66.0, "sex": "female"}
    assert dict(context.sources) == {"age_years": "FHIR Patient", "sex": "FHIR Patient"}
    assert context_of(PATIENT, SCAN).sex == "female"


def test_without_the_day_of_the_scan_or_a_full_birth_date_there_is_no_age():
    assert "age_years" not in known(on=None)
    assert "age_years" not in context_of({**PATIENT, "birthDate": "1960"}, SCAN).known()


@pytest.mark.parametrize(
    ("system", "code", "field"),
    [(ICD, "J43.9", "emphysema"), (SNOMED, "87433001", "emphysema"), (ICD, "C50.9", "cancer_history"),
     (ICD, "Z85.3", "cancer_history"), (ICD, "D84.9", "immunosuppressed"), (ICD, "Z80.1", "family_history"),
     (ICD, "J61", "exposure")],
)  # fmt: skip
def test_a_condition_says_yes(system, code, field):
    assert known(condition(system, code))[field] is True


def test_an_absent_condition_says_nothing_and_a_refuted_one_says_no():
    assert "emphysema" not in known()
    assert known(condition(ICD, "J43.9", "refuted"))["emphysema"] is False
    assert "emphysema" not in known(condition(ICD, "J43.9", "entered-in-error"))
    assert known(condition(ICD, "J43.9", "refuted"), condition(ICD, "J43.1"))["emphysema"] is True


def test_other_codes_and_skin_cancer_say_nothing():
    assert set(known(condition(ICD, "J44.9"), condition(ICD, "C44.3"), condition("urn:x", "J43"))) == {
        "age_years",
        "sex",
    }


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("449868002", "current"),
        ("428041000124106", "current"),
        ("8517006", "former"),
        ("266919005", "never"),
        ("266927001", None),
    ],
)
def test_smoking_status_of_us_core(code, word):
    assert known(smoking(code)).get("smoking") == word


def test_the_latest_observation_counts_and_withdrawn_ones_do_not():
    assert known(smoking("449868002", "2020-01-01"), smoking("8517006", "2025-01-01"))["smoking"] == "former"
    later = smoking("266919005", "2026-02-01", status="entered-in-error")
    assert known(smoking("8517006"), later)["smoking"] == "former"


def test_pack_years_and_the_day_of_quitting():
    packs = observation("8664-5", valueQuantity={"value": 32.5})
    quit_day = observation("74010-0", valueDateTime="2016-03-01")
    found = known(smoking("8517006"), packs, quit_day)
    assert found["pack_years"] == 32.5
    assert found["quit_years"] == pytest.approx(10.0, abs=0.01)


@pytest.mark.parametrize("quantity", [{"unit": "pack-years"}, {"value": 20, "comparator": ">"}])
def test_pack_years_without_a_number_of_their_own_are_not_known(quantity):
    assert "pack_years" not in known(observation("8664-5", valueQuantity=quantity))


def test_lung_cancer_of_a_first_degree_relative_is_family_history():
    assert known(relative("MTH"))["family_history"] is True
    assert "family_history" not in known(relative("AUNT"), relative("MTH", "C50.9"))


def test_several_patients_and_no_patient_are_refused():
    with pytest.raises(UsageError, match="holds 2 patients"):
        context_of(bundle(PATIENT), SCAN)
    with pytest.raises(UsageError, match="holds 0 patients"):
        context_of({"resourceType": "Bundle", "type": "collection", "entry": []}, SCAN)


@pytest.mark.parametrize(
    "document",
    [{**PATIENT, "birthDate": "yesterday"}, {**PATIENT, "gender": ["female"]},
     {"resourceType": "Bundle", "entry": ["text"]}, {"resourceType": "Bundle", "entry": 3}],
)  # fmt: skip
def test_what_is_no_valid_fhir_is_refused_in_one_line(document):
    with pytest.raises(UsageError, match="no valid FHIR R4") as refused:
        context_of(document, SCAN)
    assert "\n" not in str(refused.value)


def test_a_birth_after_the_scan_is_refused():
    with pytest.raises(UsageError, match="lies after the scan"):
        context_of({**PATIENT, "birthDate": "2027-01-01"}, SCAN)


def test_resources_that_are_not_read_may_be_anything():
    assert known({"resourceType": "Basic", "nonsense": True})["sex"] == "female"
