"""Tables of what a lung pipeline found: sensitivity and false positives by threshold, by size, and calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from medimg.evaluate.bootstrap import wilson_interval
from medimg.stages.detect import calibrated

THRESHOLDS = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7)

RATES = (1, 2, 3, 4, 8)
"""False positives a scan."""

SIZES_MM = ((0, 6), (6, 10), (10, 20), (20, 99))

TEXTURES = {"ground-glass and part-solid (1-3)": (1, 2, 3), "solid (4-5)": (4, 5)}
"""LIDC's rating: 1 ground-glass, 5 solid."""


@dataclass
class Scored:
    """One input. found: score of the finding that hits the nodule, 0 if none, None without a nodule to find.

    alarms: scores of the findings that hit none, by whether LUNA16 leaves them out of its count (crops: all counted).
    fold: of the model that looked, where several were pooled; a scan is then there once for each.
    """

    case: str
    kind: str
    diameter_mm: float | None
    texture: int | None
    found: float | None
    diameter_error: float | None
    alarms: list[float]
    left_out: list[float]
    seconds: float
    fold: str = ""


def print_all(rows: list[Scored], calibrate_from: float, line: tuple[float, float] | None, threshold: float) -> None:
    """Calibration fitted on the rows, then every table with `line`, or with what was fitted where it is None."""
    fitted = print_calibration(rows, calibrate_from)
    if line is None and fitted[0] <= 0:
        raise SystemExit("the calibration falls with the score: nothing can be shown with it; leave --refit out")
    print_tables([as_reported(row, line or fitted) for row in rows], threshold)


def print_tables(rows: list[Scored], threshold: float) -> None:
    """Sensitivity and false positives at every threshold; at the shipped one by size and texture."""
    crops, scans = ([row for row in rows if row.kind == kind] for kind in ("crop", "scan"))
    names = sorted({row.case for row in scans}, key=[row.case for row in scans].index)
    models = len({row.fold for row in scans})
    scans_told = f"{' / '.join(names)} (LUNA16 leaves out)" + (f", mean of {models} models" if models > 1 else "")
    print(f"\n| threshold | crops found (95 %) | false positives a crop | a scan | {scans_told} |")
    print("|---|---|---|---|---|")
    for value in sorted({*THRESHOLDS, threshold}):
        each = [[row for row in scans if row.case == name] for name in names]
        counts = " / ".join(
            f"{_mean(r.alarms for r in s)(value):.3g} ({_mean(r.left_out for r in s)(value):.3g})" for s in each
        )
        alarms, a_scan = (_mean(row.alarms for row in some)(value) for some in (crops, scans))
        mark = "**" if value == threshold else ""
        print(f"| {mark}{value:.3g}{mark} | {_sensitivity(crops, value)} | {alarms:.2f} | {a_scan:.1f} | {counts} |")
    print_rates(crops, scans)
    found = [f"{row.case} {row.found:.2f}" for row in scans if row.found is not None]
    print(f"nodules of the scans: {', '.join(found)}")
    print(f"\nat {threshold:.3g}:")
    for low, high in SIZES_MM:
        print(f"{low}-{high} mm: {_sensitivity([c for c in crops if low <= c.diameter_mm < high], threshold)}")
    for name, textures in TEXTURES.items():
        print(f"{name}: {_sensitivity([c for c in crops if c.texture in textures], threshold)}")
    print(
        "missed:", ", ".join(f"{c.case} ({c.diameter_mm:.0f} mm) {c.found:.2f}" for c in crops if c.found < threshold)
    )
    errors = [abs(row.diameter_error) for row in crops if row.diameter_error is not None]
    print(
        f"median diameter error {np.median(errors) if errors else float('nan'):.3f}; infer seconds of the scans "
        f"{', '.join(f'{row.seconds:.1f}' for row in scans)}"
    )


def print_rates(crops: list[Scored], scans: list[Scored]) -> None:
    """The crops found at the threshold that leaves so many false positives a scan."""
    alarms = np.sort([score for row in scans for score in row.alarms])[::-1]
    told = []
    for rate in RATES:
        # the threshold lies just above the first alarm that is one too many
        allowed = int(rate * len(scans))
        limit = alarms[allowed] if allowed < len(alarms) else 0.0
        hits = sum(crop.found > limit for crop in crops)
        told.append(f"{hits / max(1, len(crops)):.3f} at {rate} (above {limit:.3f})")
    print(f"\ncrops found by false positives a scan: {', '.join(told)}")


def as_reported(row: Scored, line: tuple[float, float]) -> Scored:
    """The row as the pipeline reports it; rows are kept before calibration."""
    alarms, left_out = ([calibrated(score, line) for score in scores] for scores in (row.alarms, row.left_out))
    found = calibrated(row.found, line) if row.found else row.found
    return replace(row, found=found, alarms=alarms, left_out=left_out)


def print_calibration(rows: list[Scored], lowest: float) -> tuple[float, float]:
    """The line of Platt scaling, and how often findings in each range of the calibrated probability are nodules.

    For a scan with one nodule: all nodules together weigh as much as one, the false positives of each scan as many as
    there are on average. lowest: fitted on findings of this score and more.
    """
    scans = [row for row in rows if row.kind == "scan"]
    nodules = sum(row.found is not None for row in rows)
    right = np.array([row.found for row in rows if row.found and row.found >= lowest])
    wrong = np.array([score for row in scans for score in row.alarms + row.left_out if score >= lowest])
    score = logit(np.clip(np.concatenate([right, wrong]), 1e-6, 1 - 1e-6))
    is_nodule = np.repeat([True, False], [len(right), len(wrong)])
    weight = np.where(is_nodule, 1 / nodules, 1 / len(scans))
    model = LogisticRegression(C=1e6).fit(score[:, None], is_nodule, sample_weight=weight * nodules)
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    print(f"\ncalibration of what was reported: [{slope:.3f}, {intercept:.3f}]\n")
    print("| said | mean | were nodules | findings |\n|---|---|---|---|")
    probability = expit(slope * score + intercept)
    for low, high in pairwise((0, 0.1, 0.3, 0.6, 0.9, 1.0001)):
        inside = (probability >= low) & (probability < high)
        if inside.any():
            mean, share = (np.average(v[inside], weights=weight[inside]) for v in (probability, is_nodule))
            print(f"| {low:.1f}-{high:.1f} | {mean:.2f} | {share:.2f} | {inside.sum()} |")
    return round(slope, 3), round(intercept, 3)


def _mean(scores: Any) -> Callable[[float], float]:
    """How many scores of each row lie at a threshold or above, on average."""
    kept = list(scores)
    return lambda threshold: sum(score >= threshold for row in kept for score in row) / max(1, len(kept))


def _sensitivity(crops: list[Scored], threshold: float) -> str:
    hits = sum(crop.found >= threshold for crop in crops)
    interval = wilson_interval(hits, len(crops))
    sides = f", {interval[0]:.2f}-{interval[1]:.2f}" if interval else ""
    return f"{hits} of {len(crops)} ({hits / max(1, len(crops)):.2f}{sides})"
