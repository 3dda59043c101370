"""The rules applied to the findings of a report, with what is known of the patient."""

from __future__ import annotations

import pytest

from medimg.files import json_text
from medimg.measure.risk.advice import BROCK, FLEISCHNER, LUNG_RADS, advise
from medimg.measure.risk.facts import facts_of
from medimg.patient import PatientContext, PriorNodule
from medimg.results import Finding


def nodule(identity="nodule-1", probability=0.9, mean=7.0, x=0.0, **measurements) -> Finding:
    measured = {
        "attenuation": "solid",
        "mean_axis_mm": mean,
        "long_axis_mm": mean + 1,
        "calcified": False,
        **measurements,
    }
    return Finding(identity, "nodule", (x, 0.0, 0.0), mean, 200.0, None, probability, 1, measured)


def entry(entries, rule, finding="nodule-1"):
    return next(found for found in entries if found.rule == rule and found.finding_id == finding)


FULL = PatientContext(
    age_years=66, sex="female", family_history=False, emphysema=True, smoking="current", pack_years=40, exposure=False,
    cancer_history=False, immunosuppressed=False, prior_ct=False,
    sources={"age_years": "patient file", "emphysema": "FHIR Condition"},
)  # fmt: skip


def test_measurements_become_facts_and_what_is_not_measured_stays_unknown():
    facts = facts_of(nodule(attenuation="part-solid", solid_mean_axis_mm=3.0, pleural_contact=False, zone="upper"))
    assert (facts.nodule_type, facts.solid_mean_diameter_mm, facts.long_axis_mm) == ("part_solid", 3.0, 8.0)
    # no lobe is measured, fissures are not seen, and no threshold of spiculation is claimed
    assert (facts.upper_lobe, facts.touches_pleura, facts.spiculated, facts.benign_pattern) == (None, None, None, False)
    assert facts_of(Finding("n", "nodule", (0, 0, 0), 6.0, None, None)).known() == {}


def test_each_finding_gets_every_rule_and_the_scan_gets_lung_rads():
    entries = advise([nodule()], FULL)
    assert [(found.rule, found.finding_id) for found in entries] == [
        (LUNG_RADS, None), (LUNG_RADS, "nodule-1"), (FLEISCHNER, "nodule-1"), (BROCK, "nodule-1"), (BROCK, "nodule-1"),
    ]  # fmt: skip
    assert "high risk" not in json_text([found.to_dict() for found in entries])


def test_every_input_of_brock_is_shown_with_where_it_came_from():
    with_spiculation, without = (found for found in advise([nodule()], FULL) if found.rule == BROCK)
    assert with_spiculation.inputs["age_years"] == {"value": 66, "from": "patient file", "adds_to_logit": [0.1148] * 2}
    assert with_spiculation.inputs["emphysema"]["from"] == "FHIR Condition"
    assert with_spiculation.inputs["spiculated"] == {"value": None, "from": None, "adds_to_logit": [0.0, 0.7729]}
    assert with_spiculation.missing == ("upper_lobe", "spiculated")
    assert " to " in with_spiculation.category
    assert without.missing == ("upper_lobe",)


def test_without_any_context_everything_missing_is_named_and_the_answers_are_ranges():
    entries = advise([nodule()], PatientContext())
    rads = entry(entries, LUNG_RADS)
    assert rads.category == "2 to 4B"
    assert {"status", "screening"} <= set(rads.missing)
    assert {"age_years", "female", "family_history", "emphysema"} <= set(entry(entries, BROCK).missing)
    assert entry(entries, FLEISCHNER).category == "depends on what is missing"
    assert "heavy smoking" in entry(entries, FLEISCHNER).missing


def test_a_first_ct_makes_every_nodule_a_baseline_one():
    rads = entry(advise([nodule(mean=16.0)], FULL), LUNG_RADS)
    assert rads.category == "4B"
    assert "solid nodule >=15 mm at baseline" in rads.text


@pytest.mark.parametrize(
    ("before", "days", "category"),
    [(5.0, 360, "4A"), (6.8, 360, "2"), (6.8, 60, "3"), (5.0, 1000, "2")],
)
def test_a_prior_nodule_tells_growth_and_stability(before, days, category):
    """7 mm now: grown by more than 1.5 mm in 12 months; or stable, and one category down after 6 months."""
    context = PatientContext(
        prior_ct=True, prior_nodules=(PriorNodule((2.0, 0, 0), before, days_before=days, lung_rads="3"),)
    )
    assert entry(advise([nodule()], context), LUNG_RADS).category == category


def test_a_nodule_the_prior_ct_did_not_show_is_new():
    context = PatientContext(prior_ct=True, prior_nodules=(PriorNodule((80.0, 0, 0), 7.0),))
    rads = entry(advise([nodule(mean=8.5)], context), LUNG_RADS)
    # it may be a smooth one at a fissure, which is not seen
    assert rads.category == "2 to 4B"
    assert "new" in rads.text
    assert rads.missing[0] == "touches_pleura"


def test_findings_that_may_be_none_only_raise_the_upper_end_of_the_scan():
    sure, unsure = nodule(mean=12.0, pleural_contact=False), nodule("nodule-2", 0.1, mean=20.0, x=50.0)
    scan = entry(advise([sure, unsure], FULL), LUNG_RADS, None)
    assert scan.category == "4A to 4B"
    assert "1 findings below probability 0.5" in scan.text
    assert entry(advise([unsure], FULL), LUNG_RADS, None).category == "1 to 4B"
    assert entry(advise([sure, unsure], FULL), LUNG_RADS, "nodule-2").text.startswith(
        "if it is a nodule (probability 0.10)"
    )


def test_no_finding_is_category_1_and_says_what_that_means():
    (scan,) = advise([], FULL)
    assert scan.category == "1"
    assert "does not mean that there is none" in scan.text


def test_the_number_of_nodules_is_a_range_where_some_may_be_none():
    entries = advise([nodule(), nodule("nodule-2", 0.1, x=50.0)], FULL)
    assert entry(entries, BROCK).inputs["nodule_count"]["value"] == [1, 2]
    assert "number of nodules" in entry(entries, FLEISCHNER).missing
    surely_two = advise([nodule(), nodule("nodule-2", 0.9, x=50.0)], FULL)
    assert entry(surely_two, FLEISCHNER).inputs["multiple"]["value"] is True


def test_lung_rads_is_not_given_where_the_ct_was_no_screening_and_fleischner_not_where_it_was():
    no = advise([nodule()], PatientContext(screening=False))
    assert entry(no, LUNG_RADS).category == "not applicable"
    yes = advise([nodule()], PatientContext(screening=True))
    assert entry(yes, FLEISCHNER).category == "not applicable"
    assert "Lung-RADS applies" in entry(yes, FLEISCHNER).text


def test_a_patient_outside_the_study_is_said_to_be():
    text = entry(advise([nodule()], PatientContext(age_years=30)), BROCK).text
    assert "extrapolated: age 30 lies outside the study's 50 to 75" in text


def test_every_entry_names_its_source_and_is_json():
    entries = [found.to_dict() for found in advise([nodule(), nodule("nodule-2", None, x=40.0)], FULL)]
    assert all(
        found["source"] and set(found) == {"rule", "finding_id", "category", "text", "source", "inputs", "missing"}
        for found in entries
    )
    json_text(entries)
