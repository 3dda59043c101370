"""Fleischner Society 2017: what to do about nodules found by chance in adults.

MacMahon et al., "Guidelines for Management of Incidental Pulmonary Nodules Detected on CT Images", Radiology
2017;284:228-243, Table 1; doi:10.1148/radiol.2017161659. Size is the mean of long and short axis, to the nearest whole
millimetre. Not for lung cancer screening, patients under 35, with known cancer, or immunosuppressed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from medimg.measure.risk.facts import NODULE_TYPES, NoduleFacts, NoduleType, completions
from medimg.patient.context import PatientContext

SOURCE = "MacMahon et al., Fleischner Society 2017, Radiology 2017;284:228-243, Table 1"

SizeClass = Literal["<6 mm", "6-8 mm", ">8 mm"]
Risk = Literal["low", "high"]

SIZES: dict[SizeClass, float] = {"<6 mm": 5.0, "6-8 mm": 7.0, ">8 mm": 9.0}
"""Size class -> a diameter in it."""

MINIMUM_AGE = 35.0

HEAVY_SMOKING_PACK_YEARS, RECENT_QUIT_YEARS = 30.0, 15.0
"""Heavy smoking: 30 pack-years, and smoking now or until at most 15 years ago (the screening trials' definition, which
the guideline's discussion of risk factors names)."""

NO_FOLLOW_UP = "no routine follow-up"
OPTIONAL_12 = "optional CT at 12 months"
SINGLE_6_8 = "CT at 6-12 months, then {}CT at 18-24 months"
MULTIPLE_6 = "CT at 3-6 months, then {}CT at 18-24 months"
SINGLE_OVER_8 = "consider CT at 3 months, PET/CT, or tissue sampling"
GROUND_GLASS_6 = "CT at 6-12 months to confirm persistence, then CT every 2 years until 5 years"
PART_SOLID_6 = (
    "CT at 3-6 months to confirm persistence; if unchanged and the solid component remains <6 mm, CT every year for 5 "
    "years"
)
MULTIPLE_SUBSOLID = "CT at 3-6 months; if stable, consider CT at 2 and 4 years"
MULTIPLE_SUBSOLID_6 = "CT at 3-6 months, then management by the most suspicious nodule"


@dataclass(frozen=True)
class Answer:
    """The recommendations that are possible, in the order of the table; one where everything needed is known.

    applies: False where the guideline is not made for this patient. missing: the facts that would narrow it down.
    """

    recommendations: tuple[str, ...]
    applies: bool
    why_not: str
    missing: tuple[str, ...]


def size_class(mean_diameter_mm: float) -> SizeClass:
    """The class of a mean diameter, rounded to the nearest millimetre (a half upwards)."""
    rounded = math.floor(mean_diameter_mm + 0.5)
    return "<6 mm" if rounded < 6 else "6-8 mm" if rounded <= 8 else ">8 mm"


def recommendation(nodule_type: NoduleType, size: SizeClass, multiple: bool, risk: Risk) -> str:
    """One cell of Table 1."""
    if nodule_type == "solid":
        return _solid(size, multiple, risk)
    if size == "<6 mm":
        return MULTIPLE_SUBSOLID if multiple else NO_FOLLOW_UP
    if multiple:
        return MULTIPLE_SUBSOLID_6
    return GROUND_GLASS_6 if nodule_type == "ground_glass" else PART_SOLID_6


def _solid(size: SizeClass, multiple: bool, risk: Risk) -> str:
    if size == "<6 mm":
        return NO_FOLLOW_UP if risk == "low" else OPTIONAL_12
    if size == ">8 mm" and not multiple:
        return SINGLE_OVER_8
    return (MULTIPLE_6 if multiple else SINGLE_6_8).format("consider " if risk == "low" else "")


def risk_factors(facts: NoduleFacts, context: PatientContext) -> dict[str, bool | None]:
    """The guideline's risk factors that are yes or no: each present, absent or (None) not known.

    It names no formula; here one that is present makes the risk high, and the risk is low when all are known absent.
    """
    return {
        "heavy smoking": heavy_smoking(context),
        "family_history": context.family_history,
        "emphysema": context.emphysema,
        "exposure": context.exposure,
        "upper_lobe": facts.upper_lobe,
        "spiculated": facts.spiculated,
    }


def heavy_smoking(context: PatientContext) -> bool | None:
    """HEAVY_SMOKING_PACK_YEARS or more, now or until RECENT_QUIT_YEARS ago; None where it cannot be told."""
    light = context.pack_years is not None and context.pack_years < HEAVY_SMOKING_PACK_YEARS
    long_ago = context.quit_years is not None and context.quit_years > RECENT_QUIT_YEARS
    if context.smoking == "never" or light or long_ago:
        return False
    recent = context.smoking == "current" or context.quit_years is not None
    return True if recent and context.pack_years is not None else None


def risks(factors: Mapping[str, bool | None]) -> tuple[Risk, ...]:
    """The risk classes that are possible."""
    if any(factors.values()):
        return ("high",)
    return ("low",) if all(value is False for value in factors.values()) else ("low", "high")


def fleischner(facts: NoduleFacts, multiple: bool | None, context: PatientContext) -> Answer:
    """The recommendation for a nodule, or every one that is possible where something is not known.

    multiple: more than one nodule in the scan. Raises nothing: values were checked where they came from.
    """
    why_not = excluded(context)
    factors = risk_factors(facts, context)
    full = completions(facts, {"nodule_type": NODULE_TYPES, "mean_diameter_mm": tuple(SIZES.values())})
    cells = {
        recommendation(case.nodule_type, size_class(case.mean_diameter_mm), many, risk): None
        for case in full
        if case.nodule_type is not None and case.mean_diameter_mm is not None
        for many in ((False, True) if multiple is None else (multiple,))
        for risk in risks(factors)
    }
    missing = [name for name in ("nodule_type", "mean_diameter_mm") if getattr(facts, name) is None]
    missing += ["number of nodules"] if multiple is None else []
    if len(risks(factors)) > 1 and len(cells) > 1:
        missing += [name for name, value in factors.items() if value is None]
    missing += [name for name in EXCLUSIONS if getattr(context, name) is None]
    return Answer(tuple(cells), not why_not, why_not, tuple(missing))


EXCLUSIONS = ("age_years", "screening", "cancer_history", "immunosuppressed")
"""What decides whether the guideline is made for a patient."""


def excluded(context: PatientContext) -> str:
    """Why the guideline does not apply; "" where nothing known speaks against it."""
    reasons = [
        (context.age_years is not None and context.age_years < MINIMUM_AGE, "the patient is younger than 35 years"),
        (bool(context.screening), "the CT was made for lung cancer screening; Lung-RADS applies"),
        (bool(context.cancer_history), "cancer is known in the patient"),
        (bool(context.immunosuppressed), "the patient is immunosuppressed"),
    ]
    return "; ".join(words for applies, words in reasons if applies)
