"""A patient context: what it accepts, what it refuses, and how two sources are put together."""

from __future__ import annotations

import pytest

from medimg.errors import UsageError
from medimg.patient import PatientContext, PriorNodule


@pytest.mark.parametrize(
    ("field", "value"),
    [("age_years", -1), ("age_years", 121), ("age_years", "65"), ("age_years", float("nan")), ("age_years", True),
     ("sex", "F"), ("smoking", "yes"), ("pack_years", -1), ("pack_years", 301), ("quit_years", 101),
     ("family_history", 1), ("emphysema", "no"), ("screening", 0)],
)  # fmt: skip
def test_a_value_that_cannot_be_is_refused_by_its_name(field, value):
    with pytest.raises(UsageError, match=field):
        PatientContext(**{field: value})


@pytest.mark.parametrize(
    ("values", "words"),
    [({"smoking": "never", "pack_years": 20}, "never"), ({"smoking": "current", "quit_years": 3}, "quit_years"),
     ({"age_years": 40, "smoking": "former", "quit_years": 41}, "more than age_years"),
     ({"prior_ct": False, "prior_nodules": (PriorNodule((0, 0, 0), 5.0),)}, "prior_ct is false")],
)  # fmt: skip
def test_values_that_contradict_each_other_are_refused(values, words):
    with pytest.raises(UsageError, match=words):
        PatientContext(**values)


@pytest.mark.parametrize(
    "wrong",
    [{"center_lps_mm": (0, 0)}, {"center_lps_mm": (0, 0, float("inf"))}, {"mean_diameter_mm": -1},
     {"solid_mean_diameter_mm": 9.0}, {"days_before": 0}, {"lung_rads": "5"}],
)  # fmt: skip
def test_a_prior_nodule_that_cannot_be_is_refused(wrong):
    with pytest.raises(UsageError, match=r"prior_nodules"):
        PriorNodule(**{"center_lps_mm": (0.0, 0.0, 0.0), "mean_diameter_mm": 8.0, **wrong})


def test_what_is_not_known_stays_so():
    assert PatientContext().known() == {}
    assert PatientContext(emphysema=False).known() == {"emphysema": False}


def test_another_source_fills_what_is_missing_and_contradictions_are_told():
    told = PatientContext(age_years=65, sex="female", sources={"age_years": "patient file", "sex": "patient file"})
    header = PatientContext(
        age_years=60, sex="female", smoking="current", sources=dict.fromkeys(("age_years", "sex", "smoking"), "DICOM")
    )
    whole, warnings = told.filled_from(header)
    assert (whole.age_years, whole.smoking) == (65, "current")
    assert whole.source_of("smoking") == "DICOM"
    (warning,) = warnings
    assert "age_years is 65 by the patient file, but 60 by the DICOM" in warning


def test_ages_a_year_apart_are_no_contradiction():
    _, warnings = PatientContext(age_years=65.4).filled_from(PatientContext(age_years=65))
    assert warnings == []
