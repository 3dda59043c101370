"""A patient context from a FHIR R4 Bundle (or a lone Patient), read through fhir.resources (extra `fhir`).

Read: Patient, Condition, Observation and FamilyMemberHistory of R4 (the library's R4B, which does not differ in what
is read here; HL7, FHIR R4B difference page). An absent Condition says nothing: only one that is refuted says no.
Codes: ICD-10(-CM) by prefix, SNOMED CT, LOINC; smoking status after US Core's value set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from medimg.errors import UsageError
from medimg.patient.context import PatientContext

ICD10 = (
    "http://hl7.org/fhir/sid/icd-10",
    "http://hl7.org/fhir/sid/icd-10-cm",
    "urn:oid:2.16.840.1.113883.6.3",
    "urn:oid:2.16.840.1.113883.6.90",
)
"""ICD-10 and ICD-10-CM, by URL and by OID."""

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"

DAYS_PER_YEAR = 365.2425

FHIR_SOURCE = "FHIR"
"""How the source of a value begins; the resource type follows."""


@dataclass(frozen=True)
class Meaning:
    """ICD-10 prefixes and SNOMED CT concepts that stand for one thing."""

    icd10: tuple[str, ...]
    snomed: tuple[str, ...]


CANCERS = tuple(f"C{number:02d}" for number in range(98) if number != 44)
"""ICD-10 chapter II, malignant; C44 (skin other than melanoma) is no cancer in Fleischner's sense."""

CONDITIONS = {
    "emphysema": Meaning(("J43",), ("87433001",)),
    "cancer_history": Meaning((*CANCERS, "Z85"), ("363346000", "363358000", "254637007")),
    "immunosuppressed": Meaning(("D80", "D81", "D82", "D83", "D84", "B20", "Z94"), ("234532001",)),
    "family_history": Meaning(("Z80.1",), ()),
    "exposure": Meaning(("Z77.090", "J61", "J92.0"), ("22607003",)),
}
"""Field -> the conditions that make it true."""

LUNG_CANCER = Meaning(("C34",), ("363358000", "254637007", "254632001", "93880001"))

FIRST_DEGREE = {
    "PRN", "FTH", "MTH", "NFTH", "NMTH", "SIB", "BRO", "SIS", "NBRO", "NSIS", "TWIN", "TWINBRO", "TWINSIS", "FTWIN",
    "ITWIN", "CHILD", "SON", "DAU", "NCHILD", "SONC", "DAUC", "NPRN", "NSIB",
}  # fmt: skip
"""HL7 v3 RoleCode of parents, siblings and children."""

SMOKING_STATUS = "72166-2"
"""LOINC: Tobacco smoking status."""

PACK_YEARS = {"8664-5", "401201003"}
"""LOINC: Cigarettes smoked total (pack per year); SNOMED CT: Cigarette pack-years."""

QUIT_DATE = "74010-0"
"""LOINC: Date quit tobacco smoking."""

SMOKING = {
    "449868002": "current", "428041000124106": "current", "77176002": "current", "428071000124103": "current",
    "428061000124105": "current", "8517006": "former", "266919005": "never",
    "LA18976-3": "current", "LA18977-1": "current", "LA18979-7": "current", "LA18981-3": "current",
    "LA18982-1": "current", "LA15920-4": "former", "LA18978-9": "never",
}  # fmt: skip
"""SNOMED CT concepts and LOINC answers of the US Core smoking status value set; "unknown" is not among them."""

WITHDRAWN = {"entered-in-error", "cancelled", "preliminary", "registered"}
"""Observations of these states say nothing yet, or no more."""


def context_of(document: dict[str, Any], on: date | None) -> PatientContext:
    """The context a FHIR document gives. on: the day of the scan; without it birth dates give no age.

    Raises UsageError for a document that is no valid FHIR R4 or holds several patients, and without fhir.resources.
    """
    resources = _resources(document)
    patients = [resource for resource in resources if _type(resource) == "Patient"]
    if len(patients) != 1:
        raise UsageError(f"the FHIR document holds {len(patients)} patients; give the bundle of one")
    found: dict[str, tuple[Any, str]] = {}
    for name, value in _of_patient(patients[0], on):
        found[name] = (value, "Patient")
    for name, value in _of_conditions([r for r in resources if _type(r) == "Condition"]):
        found[name] = (value, "Condition")
    for name, value in _of_family([r for r in resources if _type(r) == "FamilyMemberHistory"]):
        found[name] = (value, "FamilyMemberHistory")
    for name, value in _of_observations([r for r in resources if _type(r) == "Observation"], on):
        found[name] = (value, "Observation")
    values = {name: value for name, (value, _) in found.items()}
    if values.get("smoking") != "former":
        values.pop("quit_years", None)
    return PatientContext(**values, sources={name: f"{FHIR_SOURCE} {kind}" for name, (_, kind) in found.items()})


def _resources(document: dict[str, Any]) -> list[Any]:
    """Every resource, as the library's objects."""
    try:
        from fhir.resources.R4B import get_fhir_model_class
        from pydantic import ValidationError
    except ImportError as error:
        raise UsageError("FHIR needs the extra: pip install 'medimg[fhir]'; or write a context.json") from error
    kind = document.get("resourceType")
    if kind not in ("Bundle", "Patient"):
        raise UsageError(f"FHIR {kind!r} is no patient context; give a Bundle or a Patient")
    try:
        if kind == "Patient":
            return [get_fhir_model_class("Patient").model_validate(document)]
        # resources that are not read here may be of any version
        entries = [entry.get("resource") or {} for entry in document.get("entry") or []]
        return [get_fhir_model_class(e["resourceType"]).model_validate(e) for e in entries if _is_read(e)]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"no valid FHIR R4 ({where}: {first['msg']}); correct the bundle") from error
    except (AttributeError, TypeError) as error:
        raise UsageError("no valid FHIR R4: the entries of a Bundle are objects with a resource") from error


def _is_read(resource: Any) -> bool:
    return resource.get("resourceType") in ("Patient", "Condition", "Observation", "FamilyMemberHistory")


def _type(resource: Any) -> str:
    return str(type(resource).__name__)


def _of_patient(patient: Any, on: date | None) -> Iterator[tuple[str, Any]]:
    if patient.gender in ("female", "male"):
        yield "sex", patient.gender
    born = _day(patient.birthDate)
    if born is not None and on is not None:
        yield "age_years", years_between(born, on)


def _of_conditions(conditions: list[Any]) -> Iterator[tuple[str, bool]]:
    """One that is there says yes, whatever others say; refuted ones alone say no."""
    for name, meaning in CONDITIONS.items():
        states = [_verification(c) for c in conditions if _codes(c.code, meaning)]
        if any(state not in ("refuted", "entered-in-error") for state in states):
            yield name, True
        elif "refuted" in states:
            yield name, False


def _of_family(histories: list[Any]) -> Iterator[tuple[str, bool]]:
    for history in histories:
        relation = {coding.code for coding in (history.relationship.coding or [])}
        cancers = [c for c in history.condition or [] if _codes(c.code, LUNG_CANCER)]
        if relation & FIRST_DEGREE and cancers and history.status != "entered-in-error":
            yield "family_history", True


def _of_observations(observations: list[Any], on: date | None) -> Iterator[tuple[str, Any]]:
    """The latest of each kind counts."""
    latest: dict[str, Any] = {}
    for observation in sorted((o for o in observations if o.status not in WITHDRAWN), key=_when):
        codes = {coding.code for coding in observation.code.coding or []}
        for kind, wanted in (("smoking", {SMOKING_STATUS}), ("pack_years", PACK_YEARS), ("quit", {QUIT_DATE})):
            if codes & wanted:
                latest[kind] = observation
    if "smoking" in latest and (status := _smoking(latest["smoking"])):
        yield "smoking", status
    if "pack_years" in latest and (packs := _quantity(latest["pack_years"])) is not None:
        yield "pack_years", packs
    if "quit" in latest and on is not None and (quit_day := _day(latest["quit"].valueDateTime)) is not None:
        yield "quit_years", years_between(quit_day, on)


def _smoking(observation: Any) -> str | None:
    concept = observation.valueCodeableConcept
    codes = [coding.code for coding in (concept.coding or [])] if concept is not None else []
    return next((SMOKING[code] for code in codes if code in SMOKING), None)


def _quantity(observation: Any) -> float | None:
    """A number that is one: a Quantity may have none, and "more than 20" is not 20."""
    quantity = observation.valueQuantity
    told = quantity is not None and quantity.value is not None and not quantity.comparator
    return float(quantity.value) if told else None


def _codes(concept: Any, meaning: Meaning) -> bool:
    for coding in (concept.coding or []) if concept is not None else []:
        code = str(coding.code or "")
        if str(coding.system) in ICD10 and code.startswith(meaning.icd10 or ("?",)):
            return True
        if str(coding.system) == SNOMED and code in meaning.snomed:
            return True
    return False


def _verification(condition: Any) -> str:
    concept = condition.verificationStatus
    codes = [coding.code for coding in (concept.coding or [])] if concept is not None else []
    return str(codes[0]) if codes else ""


def _when(observation: Any) -> str:
    return str(observation.effectiveDateTime or observation.issued or "")


def _day(value: Any) -> date | None:
    """A full date; a year or a month alone gives no age."""
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, date) else None


def years_between(first: date, second: date) -> float:
    """Years from one day to another, to a hundredth. Raises UsageError where the first comes later."""
    days = (second - first).days
    if days < 0:
        raise UsageError(f"{first.isoformat()} lies after the scan of {second.isoformat()}; check the dates")
    return round(days / DAYS_PER_YEAR, 2)
