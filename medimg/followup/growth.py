"""How much something grew between two scans, and whether that is more than measuring again would give. Pure functions.

Thresholds, each with its source:
* volume: 25 %, about the 95 % limits of two measurements of an unchanged nodule in thin slices (Callister et al., BTS
  guidelines, Thorax 2015;70:ii1-ii54; the NELSON trial's rule; Marchiano et al., Radiology 2009;251:919-925: +-27 %);
* mean diameter: 2 mm (MacMahon et al., Fleischner Society 2017), and more than 1.5 mm within 12 months (Lung-RADS
  v2022, where `medimg.measure.risk` applies it);
* tumours, RANO: +25 % and -50 % of the product of the diameters (Wen et al., J Clin Oncol 2010;28:1963-1972), +40 % and
  -65 % of the volume (Ellingson et al., Neurotherapeutics 2017;14:307-320: the same for a sphere, as 1.25 ** 1.5 = 1.40
  and 0.5 ** 1.5 = 0.35). Of RANO this is the measurement alone: no steroids, no clinical state, no confirmation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from medimg.results import Finding

Status = Literal["new", "resolved", "grown", "shrunk", "stable", "unmeasured"]

VOLUME_CHANGE = 0.25
DIAMETER_CHANGE_MM = 2.0
THIN_SLICE_MM = 1.5
"""Volumes of nodules are compared in slices of at most this (Fleischner 2017), mean diameters in thicker ones."""

RANO_VOLUME = (-0.65, 0.40)
RANO_PRODUCT = (-0.50, 0.25)
"""Response and progression: relative change that is at least so much."""


@dataclass(frozen=True)
class Size:
    """What is compared of a finding; None where it was not measured."""

    volume_mm3: float | None
    mean_axis_mm: float | None
    long_axis_mm: float | None
    product_mm2: float | None

    @classmethod
    def of(cls, finding: Finding) -> Size:
        """The sizes of a finding as the measure stage left them."""
        long_mm, short_mm = (finding.measurements.get(f"{name}_axis_mm") for name in ("long", "short"))
        if long_mm is None or short_mm is None:
            return cls(finding.volume_mm3, None, long_mm, None)
        return cls(finding.volume_mm3, (long_mm + short_mm) / 2, long_mm, long_mm * short_mm)


@dataclass(frozen=True)
class Growth:
    """Changes from prior to current. criterion: the rule that decided the status, "" where nothing was measured twice.

    doubling_days: volume doubling time, None where the volume did not grow or days are not known. doubling_range_days:
    what it can be when the ratio of the volumes is wrong by VOLUME_CHANGE; its upper end is None where no growth at
    all cannot be excluded.
    """

    status: Status
    criterion: str
    volume_change_mm3: float | None = None
    volume_change_percent: float | None = None
    mean_axis_change_mm: float | None = None
    long_axis_change_mm: float | None = None
    product_change_percent: float | None = None
    doubling_days: float | None = None
    doubling_range_days: tuple[float, float | None] | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: mm to 1e-3, percent and days to 0.1."""
        low_high = self.doubling_range_days
        return {
            "volume_change_mm3": _rounded(self.volume_change_mm3, 3),
            "volume_change_percent": _rounded(self.volume_change_percent, 1),
            "mean_axis_change_mm": _rounded(self.mean_axis_change_mm, 3),
            "long_axis_change_mm": _rounded(self.long_axis_change_mm, 3),
            "product_change_percent": _rounded(self.product_change_percent, 1),
            "volume_doubling_days": _rounded(self.doubling_days, 1),
            "volume_doubling_range_days": None if low_high is None else [_rounded(value, 1) for value in low_high],
        }


def nodule_growth(prior: Size, current: Size, days: int | None, thin: bool) -> Growth:
    """Of a nodule: by volume where both scans have slices of THIN_SLICE_MM or less, by mean diameter otherwise."""
    ratio = _ratio(prior.volume_mm3, current.volume_mm3)
    change_mm = _difference(prior.mean_axis_mm, current.mean_axis_mm)
    if thin and ratio is not None:
        # the same for growing and shrinking: 1.25 times, or 1/1.25
        status, criterion = _beyond(ratio, 1 / (1 + VOLUME_CHANGE), 1 + VOLUME_CHANGE), "volume 25 % (BTS 2015)"
    elif change_mm is not None:
        limit = DIAMETER_CHANGE_MM
        status, criterion = _beyond(change_mm, -limit, limit), "mean diameter 2 mm (Fleischner 2017)"
    else:
        status, criterion = "unmeasured", ""
    return _growth(status, criterion, prior, current, days)


def lesion_growth(prior: Size, current: Size, days: int | None) -> Growth:
    """Of a tumour's lesion: by RANO's change of the volume, or of the product of the diameters without one."""
    for before, after, limits, criterion in (
        (prior.volume_mm3, current.volume_mm3, RANO_VOLUME, "volume +40 %, -65 % (RANO)"),
        (prior.product_mm2, current.product_mm2, RANO_PRODUCT, "product of diameters +25 %, -50 % (RANO)"),
    ):
        ratio = _ratio(before, after)
        if ratio is not None:
            low, high = (1 + limit for limit in limits)
            return _growth(_beyond(ratio, low, high), criterion, prior, current, days)
    return _growth("unmeasured", "", prior, current, days)


def doubling_days(volume_ratio: float, days: float) -> float | None:
    """days * ln 2 / ln(V2 / V1) (Schwartz, Cancer 1961;14:1272-1294); None where the volume did not grow."""
    return days * math.log(2) / math.log(volume_ratio) if volume_ratio > 1 and days > 0 else None


def rano_category(prior_mm3: float | None, current_mm3: float | None) -> str | None:
    """What RANO's volume thresholds alone say of a region: no response assessment, which needs more than volumes."""
    if prior_mm3 is None or current_mm3 is None:
        return None
    if current_mm3 == 0:
        return "none seen" if prior_mm3 == 0 else "disappeared"
    ratio = _ratio(prior_mm3, current_mm3)
    if ratio is None:
        return "new"
    low, high = (1 + limit for limit in RANO_VOLUME)
    words = {"grown": "progression (+40 % or more)", "shrunk": "partial response (-65 % or more)"}
    return words.get(_beyond(ratio, low, high), "stable")


def _growth(status: Status, criterion: str, prior: Size, current: Size, days: int | None) -> Growth:
    ratio = _ratio(prior.volume_mm3, current.volume_mm3)
    product = _ratio(prior.product_mm2, current.product_mm2)
    return Growth(
        status=status,
        criterion=criterion,
        volume_change_mm3=_difference(prior.volume_mm3, current.volume_mm3),
        volume_change_percent=None if ratio is None else 100 * (ratio - 1),
        mean_axis_change_mm=_difference(prior.mean_axis_mm, current.mean_axis_mm),
        long_axis_change_mm=_difference(prior.long_axis_mm, current.long_axis_mm),
        product_change_percent=None if product is None else 100 * (product - 1),
        doubling_days=None if ratio is None or not days else doubling_days(ratio, days),
        doubling_range_days=None if ratio is None or not days else _doubling_range(ratio, days),
    )


def _doubling_range(ratio: float, days: int) -> tuple[float, float | None] | None:
    low = doubling_days(ratio * (1 + VOLUME_CHANGE), days)
    return None if low is None else (low, doubling_days(ratio / (1 + VOLUME_CHANGE), days))


def _beyond(value: float, low: float, high: float) -> Status:
    return "grown" if value >= high else "shrunk" if value <= low else "stable"


def _ratio(before: float | None, after: float | None) -> float | None:
    return after / before if before and after else None


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(float(value), digits)
