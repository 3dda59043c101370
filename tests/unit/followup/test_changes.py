"""Two reports compared, the motion given."""

from __future__ import annotations

import numpy as np
import pytest
from moving import motion_of

from medimg.followup.changes import changes, region_changes
from medimg.followup.motion import Motion
from medimg.results import Finding, Report, Segmentation

STILL = Motion(np.eye(4))


def finding(identity, x, diameter=10.0, volume=500.0, **measurements) -> Finding:
    axes = {"long_axis_mm": diameter, "short_axis_mm": diameter}
    return Finding(identity, "nodule", (x, 0.0, 0.0), diameter, volume, None, 0.9, 1, {**axes, **measurements})


def statuses(prior, current, motion=STILL, days=100, nodules=True, thin=True):
    found = changes(prior, current, motion, days, nodules=nodules, thin=thin)
    return [(c.growth.status, c.prior and c.prior.id, c.current and c.current.id) for c in found]


def test_every_finding_of_both_appears_once():
    prior = [finding("a", 0), finding("b", 60), finding("c", 120)]
    current = [finding("d", 61, volume=900.0), finding("e", 1), finding("f", -60)]
    assert statuses(prior, current) == [
        ("grown", "b", "d"),
        ("stable", "a", "e"),
        ("new", None, "f"),
        ("resolved", "c", None),
    ]


def test_findings_are_paired_after_the_motion():
    motion = motion_of((0.0, 0.0, 90.0), (100.0, 0.0, 0.0))
    prior, current = [finding("a", 50)], [Finding("b", "nodule", (100.0, 50.0, 0.0), 10.0, 500.0, None)]
    (change,) = changes(prior, current, motion, 10, nodules=True, thin=True)
    assert change.distance_mm == pytest.approx(0.0, abs=1e-6)
    assert change.to_dict()["prior"]["center_in_current_lps_mm"] == pytest.approx([100.0, 50.0, 0.0])


def test_a_lesion_tells_each_regions_change_too():
    prior = [finding("a", 0, volume=10_000.0, enhancing_mm3=4000.0, oedema_mm3=None)]
    current = [finding("b", 2, volume=12_000.0, enhancing_mm3=6000.0, oedema_mm3=100.0)]
    (change,) = changes(prior, current, STILL, None, nodules=False, thin=True)
    regions = change.to_dict()["regions"]
    assert change.growth.status == "stable"
    assert regions["enhancing_mm3"]["change_percent"] == 50.0
    assert regions["enhancing_mm3"]["rano_volume"].startswith("progression")
    assert regions["oedema_mm3"] == {
        "prior_mm3": None, "current_mm3": 100.0, "change_mm3": None, "change_percent": None, "rano_volume": None,
    }  # fmt: skip


def report(*findings, seen=True, **measurements) -> Report:
    labels = Segmentation(np.zeros((2, 2, 2), np.uint8), np.eye(4), {1: "x"}, () if seen else ("core",))
    return Report({"name": "p"}, [], list(findings), labels, measurements=measurements)


def test_regions_are_the_sums_over_lesions_where_the_report_has_no_totals():
    prior = report(finding("a", 0, core_mm3=100.0), finding("b", 90, core_mm3=300.0))
    assert region_changes(prior, report(finding("c", 0, core_mm3=140.0)))["core_mm3"]["change_percent"] == -65.0
    assert region_changes(prior, report(finding("c", 0, core_mm3=None)))["core_mm3"]["current_mm3"] is None


def test_a_report_without_a_lesion_has_0_of_a_region_unless_it_could_not_be_seen():
    prior = report(finding("a", 0, core_mm3=100.0))
    assert region_changes(prior, report())["core_mm3"]["rano_volume"] == "disappeared"
    assert region_changes(prior, report(seen=False))["core_mm3"]["current_mm3"] is None


def test_a_reports_own_totals_count_where_it_has_them():
    found = region_changes(report(core_mm3=100.0, tumour_count=2), report(core_mm3=150.0, tumour_count=1))
    assert list(found) == ["core_mm3"]
    assert found["core_mm3"]["change_mm3"] == 50.0
