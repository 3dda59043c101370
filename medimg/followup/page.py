"""comparison.html: the comparison to read, one file without links to the net."""

from __future__ import annotations

import base64
import json
from typing import Any

import medimg
from medimg.followup.changes import Change
from medimg.followup.comparison import Comparison
from medimg.report import wording
from medimg.report.html import render_page

TEMPLATE = "comparison.html.j2"


def comparison_page(comparison: Comparison, document: dict[str, Any], picture: bytes | None) -> str:
    """The page of a comparison and its JSON; `picture` as PNG bytes, None where nothing was found."""
    return render_page(
        "medimg.followup",
        TEMPLATE,
        comparison=document,
        counts=", ".join(f"{count} {status}" for status, count in comparison.counts.items()) or "no findings",
        rows=[_row(change) for change in comparison.changes],
        regions=[_region(name, entry) for name, entry in comparison.regions.items()],
        picture=None if picture is None else base64.b64encode(picture).decode("ascii"),
        picture_words="Each finding in the prior and in the current scan: "
        + "; ".join(f"{change.finding.id} {change.growth.status}" for change in comparison.changes),
        provenance=json.dumps(
            {key: document[key] for key in ("prior", "current", "registration", "rules", "provenance")},
            indent=2,
            ensure_ascii=False,
        ),
        notice=medimg.NOT_A_MEDICAL_DEVICE,
        version=medimg.__version__,
    )


def _row(change: Change) -> dict[str, Any]:
    entry = change.to_dict()
    prior, current = entry["prior"] or {}, entry["current"] or {}
    return {
        "status": entry["status"],
        "criterion": entry["criterion"],
        "prior": prior.get("id") or wording.MISSING,
        "current": current.get("id") or wording.MISSING,
        "distance": wording.millimetres(entry["distance_mm"]),
        "diameters": _two(prior, current, "mean_axis_mm", wording.millimetres),
        "volumes": _two(prior, current, "volume_mm3", wording.volume),
        "change_mm": _signed(entry["mean_axis_change_mm"], " mm"),
        "change_percent": _signed(entry["volume_change_percent"], " %"),
        "doubling": _doubling(entry),
    }


def _region(name: str, entry: dict[str, Any]) -> dict[str, str]:
    return {
        "name": name.removesuffix("_mm3").replace("_", " "),
        "prior": wording.volume(entry["prior_mm3"]),
        "current": wording.volume(entry["current_mm3"]),
        "change": _signed(entry["change_percent"], " %"),
        "rano": entry["rano_volume"] or wording.MISSING,
    }


def _two(prior: dict[str, Any], current: dict[str, Any], name: str, words: Any) -> str:
    return f"{words(prior.get(name))} \N{RIGHTWARDS ARROW} {words(current.get(name))}"


def _signed(value: float | None, unit: str) -> str:
    return wording.MISSING if value is None else f"{value:+.1f}{unit}"


def _doubling(entry: dict[str, Any]) -> str:
    days, spread = entry["volume_doubling_days"], entry["volume_doubling_range_days"]
    if days is None or spread is None:
        return wording.MISSING
    low, high = spread
    return f"{days:.0f} days ({low:.0f} to {'no growth' if high is None else f'{high:.0f}'})"
