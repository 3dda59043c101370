"""What a lung pipeline finds on nodules its training did not see, and its false positives on whole lungs.

    python benchmarks/nodule_detection.py --pipeline lung_nodule --data ../shared/data/lung --fold 0/7 -o scores.json

    python benchmarks/nodule_detection.py --rows scores.json more.json       (tables of what was scored before)

Runs the pipeline's own stages (selection, reading, infer) at a low threshold, so that one run gives every threshold.
A nodule is found by a finding nearer than its radius to its centre (LUNA16's rule). On whole scans every other finding
is a false positive; the second count leaves out those that LUNA16 neither counts as right nor as wrong. The
calibration (Platt scaling of the reported logit) is for a scan with one nodule: all nodules together weigh as much as
one, the false positives of each scan as many as there are on average.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from medimg import geometry
from medimg.inference.detect_options import DetectOptions
from medimg.inference.options import Engine
from medimg.pipeline import Pipeline, load_pipeline
from medimg.stages.case import Clock
from medimg.stages.chain import open_case
from medimg.stages.detect import calibrated
from medimg.stages.infer import infer
from medimg.stages.select import select
from medimg.train.nodule_data import CROPS, SCANS, Scan, load_crops, load_scans, luna16_marks
from medimg.train.nodules import split_patients

LOWEST = 0.01
"""Findings below are not looked at."""

WHOLE_CT = "LIDC-IDRI-0001"
"""The one scan with a folder of its own."""

THRESHOLDS = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7)


@dataclass
class Scored:
    """One input. found: score of the finding that hits the nodule, 0 if none, None without a nodule to find.

    alarms: scores of the findings that hit none, by whether LUNA16 leaves them out of its count (crops: all counted).
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


def main() -> None:
    """Score, print the tables, write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipeline", default="lung_nodule")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/lung"))
    parser.add_argument("--fold", help="k/n: crops of this fold only, as the training configuration draws them")
    parser.add_argument("--scans", nargs="*", help="these scans only, and no crops")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rows", nargs="+", type=Path, help="print tables of these instead; a later file's case wins")
    parser.add_argument(
        "--calibrate-from",
        type=float,
        default=0.0,
        help="fit on findings of this score and more: those near the report",
    )
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    pipeline = load_pipeline(options.pipeline)
    if options.rows:
        saved = [json.loads(path.read_text(encoding="utf-8")) for path in options.rows]
        rows = list({(row["case"], row["kind"]): Scored(**row) for part in saved for row in part}.values())
    else:
        crops = [] if options.scans is not None else score_crops(pipeline, options)
        rows = [*crops, *score_scans(pipeline, options)]
    if options.output:
        options.output.write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")
    if any(row.kind == "crop" for row in rows):
        chosen = DetectOptions.from_stage(pipeline.options("infer"))
        print_calibration(rows, options.calibrate_from)
        print_tables([_calibrated(row, chosen.calibration) for row in rows], chosen.threshold)


def score_crops(pipeline: Pipeline, options: argparse.Namespace) -> list[Scored]:
    """Every crop as it lies in its file, or those of the fold."""
    crops = load_crops(options.data)
    scans = {path.name.removesuffix("_ct.nii.gz") for path in (options.data / SCANS).glob("*_ct.nii.gz")}
    if options.fold:
        seed = yaml.safe_load((pipeline.folder / "train.yaml").read_text(encoding="utf-8"))["seed"]
        others = [crop for crop in crops if crop.case != WHOLE_CT]
        _, chosen = split_patients(others, scans, options.fold, seed)
        crops = [crop for crop in crops if crop.case == WHOLE_CT or crop in chosen]
    rows = []
    for crop in crops:
        path = options.data / CROPS / f"{crop.case}_ct.nii.gz"
        case, seconds = run(pipeline, path, options.threads)
        centre = geometry.ras_to_lps(geometry.to_world(case.first.canonical().affine_ras, crop.centre))
        rows.append(_scored(crop.case, "crop", case, [(centre, crop.diameter_mm)], [], seconds, crop.texture))
    return rows


def score_scans(pipeline: Pipeline, options: argparse.Namespace) -> list[Scored]:
    """The whole CT, and the lung regions that are background in training."""
    rows = []
    if not options.scans or WHOLE_CT in options.scans:
        case, seconds = run(pipeline, options.data / WHOLE_CT, options.threads)
        rows.append(_scored(WHOLE_CT, "scan", case, *luna16_marks(options.data, WHOLE_CT), seconds))
    for scan in load_scans(options.data, load_crops(options.data)):
        if options.scans and scan.name not in options.scans:
            continue
        case, seconds = run(pipeline, options.data / SCANS / f"{scan.name}_ct.nii.gz", options.threads)
        rows.append(_scored(scan.name, "scan", case, *_in_lps(scan), seconds))
    return rows


def run(pipeline: Pipeline, path: Path, threads: int) -> tuple[Any, float]:
    """The case after its infer stage at a low threshold, and the seconds of that stage."""
    case = open_case(select([(None, path)], pipeline), Clock())
    infer(case, {**pipeline.options("infer"), "threshold": LOWEST, "calibration": [1.0, 0.0]}, Engine(threads=threads))
    return case, case.clock.seconds["infer"]


def _in_lps(scan: Scan) -> tuple[list[Any], list[Any]]:
    nodules, marks = (
        [(geometry.ras_to_lps(geometry.to_world(scan.affine_ras, row[:3])), float(row[3])) for row in table]
        for table in (scan.nodules, scan.ignore)
    )
    return nodules, marks


def _scored(
    name: str,
    kind: str,
    case: Any,
    nodules: list[Any],
    left_out: list[Any],
    seconds: float,
    texture: int | None = None,
) -> Scored:
    """Findings against one nodule at most (no case here has two) and balls of unknown truth (centre, radius)."""
    row = Scored(name, kind, None, texture, None, None, [], [], seconds)
    if nodules:
        row = replace(row, diameter_mm=nodules[0][1], found=0.0)
    for finding in case.report.findings:
        point = np.array(finding.center_lps_mm)
        if any(np.linalg.norm(point - centre) < diameter / 2 for centre, diameter in nodules):
            if finding.probability > row.found:
                error = finding.diameter_mm / row.diameter_mm - 1
                row = replace(row, found=finding.probability, diameter_error=error)
        elif any(np.linalg.norm(point - centre) < radius for centre, radius in left_out):
            row.left_out.append(finding.probability)
        else:
            row.alarms.append(finding.probability)
    return row


def print_tables(rows: list[Scored], threshold: float) -> None:
    """Sensitivity and false positives at every threshold; at the shipped one by size and texture."""
    crops, scans = ([row for row in rows if row.kind == kind] for kind in ("crop", "scan"))
    names = " / ".join(row.case for row in scans)
    print(f"| threshold | crops found | false positives a crop | {names}: false positives (LUNA16 leaves out) |")
    print("|---|---|---|---|")
    for value in sorted({*THRESHOLDS, threshold}):
        counts = " / ".join(f"{_above(row.alarms, value)} ({_above(row.left_out, value)})" for row in scans)
        alarms = sum(_above(row.alarms, value) for row in crops) / len(crops)
        print(f"| {value:.2f} | {_sensitivity(crops, value)} | {alarms:.2f} | {counts} |")
    found = [f"{row.case} {row.found:.2f}" for row in scans if row.found is not None]
    print(f"\nnodules of the scans: {', '.join(found)}")
    for low, high in ((0, 6), (6, 10), (10, 20), (20, 99)):
        print(f"{low}-{high} mm: {_sensitivity([c for c in crops if low <= c.diameter_mm < high], threshold)}")
    for name, textures in (("ground-glass and part-solid (1-3)", (1, 2, 3)), ("solid (4-5)", (4, 5))):
        print(f"{name}: {_sensitivity([c for c in crops if c.texture in textures], threshold)}")
    print("missed:", ", ".join(f"{c.case} {c.found:.2f}" for c in crops if c.found < threshold))
    errors = [abs(row.diameter_error) for row in crops if row.diameter_error is not None]
    print(
        f"median diameter error {np.median(errors) if errors else float('nan'):.3f}; infer seconds of the scans "
        f"{', '.join(f'{row.seconds:.1f}' for row in scans)}"
    )


def _calibrated(row: Scored, line: tuple[float, float]) -> Scored:
    """The row as the pipeline reports it; rows are kept before calibration."""
    alarms, left_out = ([calibrated(score, line) for score in scores] for scores in (row.alarms, row.left_out))
    found = calibrated(row.found, line) if row.found else row.found
    return replace(row, found=found, alarms=alarms, left_out=left_out)


def print_calibration(rows: list[Scored], lowest: float) -> None:
    """The line of Platt scaling, and how often findings in each range of the calibrated probability are nodules."""
    scans = [row for row in rows if row.kind == "scan"]
    nodules = sum(row.found is not None for row in rows)
    right = np.array([row.found for row in rows if row.found and row.found >= lowest])
    wrong = np.array([score for row in scans for score in row.alarms + row.left_out if score >= lowest])
    score = logit(np.clip(np.concatenate([right, wrong]), 1e-6, 1 - 1e-6))
    is_nodule = np.repeat([True, False], [len(right), len(wrong)])
    weight = np.where(is_nodule, 1 / nodules, 1 / len(scans))
    model = LogisticRegression(C=1e6).fit(score[:, None], is_nodule, sample_weight=weight * nodules)
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    print(f"\ncalibration of what was reported: [{slope:.3f}, {intercept:.3f}]")
    probability = expit(slope * score + intercept)
    for low, high in pairwise((0, 0.1, 0.3, 0.6, 0.9, 1.0001)):
        inside = (probability >= low) & (probability < high)
        if inside.any():
            mean, share = (np.average(v[inside], weights=weight[inside]) for v in (probability, is_nodule))
            print(f"{low:.1f}-{high:.1f}: said {mean:.2f}, were nodules {share:.2f} ({inside.sum()} findings)")


def _above(scores: list[float], threshold: float) -> int:
    return sum(score >= threshold for score in scores)


def _sensitivity(crops: list[Scored], threshold: float) -> str:
    hits = sum(crop.found >= threshold for crop in crops)
    return f"{hits} of {len(crops)} ({hits / max(1, len(crops)):.2f})"


if __name__ == "__main__":
    main()
