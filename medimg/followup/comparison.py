"""What is said about two timepoints: the contract `medimg.comparison/1` (docs/output.md). No I/O."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import medimg
from medimg.followup import growth
from medimg.followup.changes import LESION_GATE_MM, NODULE_GATE_MM, Change
from medimg.followup.register import Registration
from medimg.results import Report
from medimg.spreadsheet import table

SCHEMA = "medimg.comparison/1"

COLUMNS = (
    "status", "label", "prior_id", "current_id", "distance_mm", "prior_volume_mm3", "current_volume_mm3",
    "volume_change_mm3", "volume_change_percent", "prior_mean_axis_mm", "current_mean_axis_mm", "mean_axis_change_mm",
    "volume_doubling_days", "criterion",
)  # fmt: skip


@dataclass(frozen=True)
class Warned:
    """A named warning: a stable code for programs, words for people."""

    code: str
    message: str


NOT_DRAWN = "not_drawn"
"""Code of the warning that a file of the comparison could not be made."""


@dataclass(frozen=True)
class Timepoint:
    """One of the two: its report, where that lies, and the day of the scan (None where nothing says)."""

    report: Report
    folder: str
    day: date | None

    def to_dict(self) -> dict[str, Any]:
        """The `prior` or `current` entry."""
        return {
            "path": self.folder,
            "pipeline": self.report.pipeline,
            "date": None if self.day is None else self.day.isoformat(),
            "findings": len(self.report.findings),
        }


@dataclass
class Comparison:
    """Everything said about two timepoints. regions, advice: as their JSON is."""

    prior: Timepoint
    current: Timepoint
    days: int | None
    registration: Registration
    changes: list[Change]
    nodules: bool
    regions: dict[str, dict[str, Any]] = field(default_factory=dict)
    advice: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[Warned] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Status -> how many findings have it."""
        return dict(Counter(change.growth.status for change in self.changes))

    def to_dict(self) -> dict[str, Any]:
        """The `medimg.comparison/1` document; paths are those of the timepoints."""
        return {
            "schema": SCHEMA,
            "prior": self.prior.to_dict(),
            "current": self.current.to_dict(),
            "days": self.days,
            "frame": "LPS",
            "registration": self.registration.to_dict(),
            "rules": self._rules(),
            "counts": self.counts,
            "findings": [change.to_dict() for change in self.changes],
            "regions": self.regions,
            "advice": self.advice,
            "warnings": [{"code": warned.code, "message": warned.message} for warned in self.warnings],
            "provenance": self.provenance,
            "notice": medimg.NOT_A_MEDICAL_DEVICE,
        }

    def _rules(self) -> dict[str, Any]:
        if self.nodules:
            return {
                "gate_mm": NODULE_GATE_MM,
                "volume_change_percent": 100 * growth.VOLUME_CHANGE,
                "mean_axis_change_mm": growth.DIAMETER_CHANGE_MM,
                "thin_slice_mm": growth.THIN_SLICE_MM,
            }
        return {
            "gate_mm": LESION_GATE_MM,
            "volume_change_percent": [100 * limit for limit in growth.RANO_VOLUME],
            "product_change_percent": [100 * limit for limit in growth.RANO_PRODUCT],
        }

    def csv(self) -> str:
        """One line a finding; empty where a value is not known."""
        flat = (_flat(change.to_dict()) for change in self.changes)
        return table(COLUMNS, ([row[name] for name in COLUMNS] for row in flat))


def _flat(entry: dict[str, Any]) -> dict[str, Any]:
    sides = {
        f"{side}_{name}": (entry[side] or {}).get(name)
        for side in ("prior", "current")
        for name in ("id", "volume_mm3", "mean_axis_mm")
    }
    return {**entry, **sides}
