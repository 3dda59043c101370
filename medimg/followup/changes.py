"""Two reports of one patient compared: which finding of one is which of the other, and what became of it. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from medimg.followup.growth import Growth, Size, lesion_growth, nodule_growth, rano_category
from medimg.followup.motion import Motion
from medimg.measure.pairing import Place, pair
from medimg.results import Finding, Report

NODULE_GATE_MM = 15.0
"""Breathing moves a nodule against a rigid motion of the chest by about a centimetre."""

LESION_GATE_MM = 10.0
"""The brain does not move in the skull, but a lesion's centre does when it grows to one side or is treated."""


@dataclass(frozen=True)
class Change:
    """One finding followed. prior or current is None where it is new or resolved. distance_mm: after registration.

    prior_center_lps_mm: where the prior finding lies in the current scan, (x, y, z). regions: name of a `*_mm3`
    measurement both have -> (prior, current) mm3.
    """

    prior: Finding | None
    current: Finding | None
    prior_center_lps_mm: tuple[float, float, float] | None
    distance_mm: float | None
    growth: Growth
    regions: dict[str, tuple[float | None, float | None]]

    def to_dict(self) -> dict[str, Any]:
        """An entry of `findings` in comparison.json."""
        prior = None if self.prior is None else _followed(self.prior)
        if prior is not None and self.prior_center_lps_mm is not None:
            prior["center_in_current_lps_mm"] = [round(value, 3) for value in self.prior_center_lps_mm]
        return {
            "status": self.growth.status,
            "criterion": self.growth.criterion,
            "label": self.finding.label,
            "prior": prior,
            "current": None if self.current is None else _followed(self.current),
            "distance_mm": self.distance_mm,
            **self.growth.to_dict(),
            "regions": {name: region_change(*sizes) for name, sizes in self.regions.items()},
        }

    @property
    def finding(self) -> Finding:
        """The current finding, or the prior one where there is none now."""
        found = self.current or self.prior
        if found is None:
            raise ValueError("a change without a finding")
        return found


def changes(
    prior: Sequence[Finding],
    current: Sequence[Finding],
    motion: Motion,
    days: int | None,
    *,
    nodules: bool,
    thin: bool,
) -> list[Change]:
    """Every finding of both reports once: pairs and new ones in the order of `current`, then what is resolved.

    nodules: judge by the rules for nodules, else by those for tumours. thin: both scans have thin slices.
    """
    moved = [_point(motion.moved(finding.center_lps_mm)) for finding in prior]
    before = [Place(center, _diameter(finding)) for center, finding in zip(moved, prior, strict=True)]
    after = [Place(finding.center_lps_mm, _diameter(finding)) for finding in current]
    found = {p.second: p for p in pair(before, after, NODULE_GATE_MM if nodules else LESION_GATE_MM)}
    result = []
    for index, finding in enumerate(current):
        if index not in found:
            result.append(Change(None, finding, None, None, Growth("new", "no partner in the prior scan"), {}))
            continue
        match = found[index]
        sizes = Size.of(prior[match.first]), Size.of(finding)
        growth = nodule_growth(*sizes, days, thin) if nodules else lesion_growth(*sizes, days)
        regions = _regions(prior[match.first].measurements, finding.measurements)
        result.append(Change(prior[match.first], finding, moved[match.first], match.distance_mm, growth, regions))
    paired = {match.first for match in found.values()}
    result += [
        Change(finding, None, moved[index], None, Growth("resolved", "no partner in the current scan"), {})
        for index, finding in enumerate(prior)
        if index not in paired
    ]
    return result


def region_changes(prior: Report, current: Report) -> dict[str, dict[str, Any]]:
    """Region -> its volume in both scans: the reports' own totals, else the sums over their lesions."""
    totals = [_totals(report) for report in (prior, current)]
    names = list(dict.fromkeys(name for each in totals for name in each))
    # a report without a lesion has 0 of every region, unless it could not be seen
    return {
        name: region_change(
            *(_total(report, each, name) for report, each in zip((prior, current), totals, strict=True))
        )
        for name in names
    }


def region_change(prior_mm3: float | None, current_mm3: float | None) -> dict[str, Any]:
    """The two volumes, their difference, and what RANO's thresholds say of it; None where a volume is not known."""
    known = prior_mm3 is not None and current_mm3 is not None
    change = round(current_mm3 - prior_mm3, 3) if prior_mm3 is not None and current_mm3 is not None else None
    return {
        "prior_mm3": prior_mm3,
        "current_mm3": current_mm3,
        "change_mm3": change,
        "change_percent": round(100 * change / prior_mm3, 1) if known and change is not None and prior_mm3 else None,
        "rano_volume": rano_category(prior_mm3, current_mm3),
    }


def _totals(report: Report) -> dict[str, float | None]:
    if report.measurements:
        return {name: value for name, value in report.measurements.items() if name.endswith("_mm3")}
    names = dict.fromkeys(n for f in report.findings for n in f.measurements if n.endswith("_mm3"))
    return {name: _sum([finding.measurements.get(name) for finding in report.findings]) for name in names}


def _total(report: Report, totals: Mapping[str, float | None], name: str) -> float | None:
    if name in totals:
        return totals[name]
    seen = report.segmentation is not None and not report.segmentation.not_available
    return 0.0 if seen and not report.findings else None


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known), 3) if len(known) == len(values) else None


def _regions(prior: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, tuple[float | None, float | None]]:
    shared = [name for name in current if name.endswith("_mm3") and name in prior]
    return {name: (prior[name], current[name]) for name in shared}


def _followed(finding: Finding) -> dict[str, Any]:
    known = replace(finding, measurements={}).to_dict()
    size = Size.of(finding)
    kept = ("id", "probability", "center_lps_mm", "diameter_mm", "volume_mm3")
    axes = {"mean_axis_mm": size.mean_axis_mm, "long_axis_mm": size.long_axis_mm, "product_mm2": size.product_mm2}
    rounded = {name: None if value is None else round(value, 3) for name, value in axes.items()}
    return {**{name: known[name] for name in kept}, **rounded}


def _diameter(finding: Finding) -> float | None:
    """For pairing: measured where possible, else the detector's."""
    return Size.of(finding).mean_axis_mm or finding.diameter_mm


def _point(point: Any) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in point)
    return (x, y, z)
