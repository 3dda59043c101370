"""What a comparison tells the rules of the nodules that the prior scan had."""

from __future__ import annotations

from medimg.followup.changes import Change
from medimg.followup.growth import Growth
from medimg.measure.risk.advice import advise
from medimg.patient import PatientContext
from medimg.results import Finding, Report
from medimg.stages.compare import _categories, _with_priors

SIZES = {"long_axis_mm": 7.0, "short_axis_mm": 7.0, "mean_axis_mm": 7.0, "attenuation": "solid", "calcified": False}
NODULE = Finding("nodule-1", "nodule", (0.0, 0.0, 0.0), 7.0, 180.0, None, 0.9, 1, SIZES)


def entry(finding, category):
    return {"rule": "Lung-RADS v2022", "finding_id": finding, "category": category}


def test_a_stable_nodule_goes_one_down_from_the_category_its_own_report_gave_it():
    before = _categories(Report({}, [], advice=[entry("nodule-1", "3"), entry("nodule-2", "2 to 3"), entry(None, "3")]))
    assert before["nodule-1"] == "3"
    assert "nodule-2" not in before
    stable = Change(NODULE, NODULE, (0.0, 0.0, 0.0), 0.0, Growth("stable", ""), {})
    context = _with_priors(PatientContext(screening=True), [stable], 200, before)
    assert [(found.category, found.missing) for found in advise([NODULE], context)[:2]] == [("2", ()), ("2", ())]
