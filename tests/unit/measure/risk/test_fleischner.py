"""Every cell of Table 1 of the Fleischner Society's guidelines of 2017."""

from __future__ import annotations

import pytest

from medimg.measure.risk.facts import NoduleFacts
from medimg.measure.risk.fleischner import fleischner, heavy_smoking, recommendation, size_class
from medimg.patient import PatientContext

NONE = "no routine follow-up"
YEAR = "optional CT at 12 months"
CT_6_12, CT_6_12_LOW = (
    "CT at 6-12 months, then CT at 18-24 months",
    "CT at 6-12 months, then consider CT at 18-24 months",
)
CT_3_6, CT_3_6_LOW = "CT at 3-6 months, then CT at 18-24 months", "CT at 3-6 months, then consider CT at 18-24 months"
OVER_8 = "consider CT at 3 months, PET/CT, or tissue sampling"
GGN = "CT at 6-12 months to confirm persistence, then CT every 2 years until 5 years"
PART = (
    "CT at 3-6 months to confirm persistence; if unchanged and the solid component remains <6 mm, CT every year for "
    "5 years"
)
MANY_SMALL = "CT at 3-6 months; if stable, consider CT at 2 and 4 years"
MANY = "CT at 3-6 months, then management by the most suspicious nodule"

TABLE = [
    # type, size, multiple, low risk, high risk
    ("solid", "<6 mm", False, NONE, YEAR),
    ("solid", "6-8 mm", False, CT_6_12_LOW, CT_6_12),
    ("solid", ">8 mm", False, OVER_8, OVER_8),
    ("solid", "<6 mm", True, NONE, YEAR),
    ("solid", "6-8 mm", True, CT_3_6_LOW, CT_3_6),
    ("solid", ">8 mm", True, CT_3_6_LOW, CT_3_6),
    ("ground_glass", "<6 mm", False, NONE, NONE),
    ("ground_glass", "6-8 mm", False, GGN, GGN),
    ("ground_glass", ">8 mm", False, GGN, GGN),
    ("part_solid", "<6 mm", False, NONE, NONE),
    ("part_solid", "6-8 mm", False, PART, PART),
    ("part_solid", ">8 mm", False, PART, PART),
    ("ground_glass", "<6 mm", True, MANY_SMALL, MANY_SMALL),
    ("ground_glass", "6-8 mm", True, MANY, MANY),
    ("ground_glass", ">8 mm", True, MANY, MANY),
    ("part_solid", "<6 mm", True, MANY_SMALL, MANY_SMALL),
    ("part_solid", "6-8 mm", True, MANY, MANY),
    ("part_solid", ">8 mm", True, MANY, MANY),
]


@pytest.mark.parametrize(("nodule_type", "size", "multiple", "low", "high"), TABLE)
def test_every_cell_of_the_table(nodule_type, size, multiple, low, high):
    assert recommendation(nodule_type, size, multiple, "low") == low
    assert recommendation(nodule_type, size, multiple, "high") == high


def test_the_table_is_whole():
    assert len({row[:3] for row in TABLE}) == 3 * 3 * 2


@pytest.mark.parametrize(
    ("diameter", "size"),
    [(5.4, "<6 mm"), (5.5, "6-8 mm"), (6.0, "6-8 mm"), (8.4, "6-8 mm"), (8.5, ">8 mm"), (30.0, ">8 mm")],
)
def test_diameters_are_rounded_to_whole_millimetres(diameter, size):
    assert size_class(diameter) == size


LOW = PatientContext(
    age_years=45, smoking="never", family_history=False, emphysema=False, exposure=False, screening=False,
    cancer_history=False, immunosuppressed=False,
)  # fmt: skip
PLAIN = NoduleFacts("solid", 7.0, upper_lobe=False, spiculated=False)


def test_a_patient_without_any_risk_factor_is_at_low_risk_and_nothing_is_missing():
    answer = fleischner(PLAIN, False, LOW)
    assert answer.recommendations == ("CT at 6-12 months, then consider CT at 18-24 months",)
    assert answer.applies
    assert answer.missing == ()


@pytest.mark.parametrize("factor", ["family_history", "emphysema", "exposure"])
def test_one_risk_factor_makes_the_risk_high(factor):
    context = PatientContext(**{**LOW.known(), factor: True})
    assert fleischner(PLAIN, False, context).recommendations == ("CT at 6-12 months, then CT at 18-24 months",)


def test_what_is_not_known_of_the_risk_gives_both_rows_and_is_named():
    answer = fleischner(PLAIN, False, PatientContext(**{**LOW.known(), "emphysema": None}))
    assert len(answer.recommendations) == 2
    assert answer.missing == ("emphysema",)


def test_risk_that_changes_nothing_is_not_asked_for():
    answer = fleischner(NoduleFacts("ground_glass", 7.0), False, PatientContext(age_years=60, screening=False))
    assert len(answer.recommendations) == 1
    assert answer.missing == ("cancer_history", "immunosuppressed")


def test_an_unknown_number_type_or_size_gives_every_cell_it_can_be():
    assert len(fleischner(PLAIN, None, LOW).recommendations) == 2
    everything = fleischner(NoduleFacts(), None, PatientContext())
    assert set(everything.recommendations) == {text for row in TABLE for text in row[3:]}
    assert {"nodule_type", "mean_diameter_mm", "number of nodules"} <= set(everything.missing)


@pytest.mark.parametrize(
    ("known", "words"),
    [({"age_years": 34}, "younger than 35"), ({"screening": True}, "screening"), ({"cancer_history": True}, "cancer"),
     ({"immunosuppressed": True}, "immunosuppressed")],
)  # fmt: skip
def test_whom_the_guideline_is_not_made_for(known, words):
    answer = fleischner(PLAIN, False, PatientContext(**{**LOW.known(), **known}))
    assert not answer.applies
    assert words in answer.why_not


@pytest.mark.parametrize(
    ("smoking", "pack_years", "quit_years", "heavy"),
    [("never", None, None, False), ("current", 30, None, True), ("current", 29, None, False), ("former", 40, 15, True),
     ("former", 40, 16, False), ("former", 40, None, None), ("current", None, None, None), (None, None, None, None)],
)  # fmt: skip
def test_heavy_smoking_is_30_pack_years_until_at_most_15_years_ago(smoking, pack_years, quit_years, heavy):
    context = PatientContext(smoking=smoking, pack_years=pack_years, quit_years=quit_years)
    assert heavy_smoking(context) is heavy
