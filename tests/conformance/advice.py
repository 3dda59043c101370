"""Advice as it stands in a report, for the phantoms' two findings: real rules, with what is unknown unknown or not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from medimg.measure.risk.advice import advise
from medimg.patient.context import PatientContext
from medimg.results import Report

KNOWN = PatientContext(
    age_years=62, sex="female", family_history=False, emphysema=False, screening=True, prior_ct=False
)
"""Enough for one Lung-RADS category and one probability of a nodule whose own facts are all known."""

WHOLE_NODULE = {
    "attenuation": "solid",
    "long_axis_mm": 9.1,
    "short_axis_mm": 8.3,
    "mean_axis_mm": 8.7,
    "solid_mean_axis_mm": 8.7,
    "touches_border": False,
    "side": "right",
    "zone": "lower",
    "pleural_contact": False,
    "spiculation_index": 0.0,
    "sphericity": 0.9,
}


def advised(report: Report, context: PatientContext = KNOWN) -> Report:
    """The report with findings that are measured as real ones are, the case's own measurements, and the advice."""
    report.findings = [replace(finding, measurements=dict(WHOLE_NODULE)) for finding in report.findings]
    report.measurements = {"nodule_count": len(report.findings), "whole_mm3": 12.5}
    entries: list[dict[str, Any]] = [entry.to_dict() for entry in advise(report.findings, context)]
    report.advice = entries
    return report
