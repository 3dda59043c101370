"""Cross-validation of the classical detector: crops by patient in folds, each whole scan by a classifier without it.

    python benchmarks/nodule_shape_folds.py --data ../shared/data/lung --folds 5 -o scores.json

Writes rows that `nodule_detection.py --rows` prints.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from nodule_cases import WHOLE_CT
from nodule_tables import Scored
from scipy.special import expit

from medimg import geometry
from medimg.classical.classifier import ShapeClassifier
from medimg.classical.find import Opinion, apart
from medimg.pipeline import load_pipeline
from medimg.stages.case import Clock
from medimg.stages.chain import open_case
from medimg.stages.select import select
from medimg.train.nodule_data import load_crops, luna16_marks
from medimg.train.nodule_split import patients_of_fold
from medimg.train.shape import (
    NODULE,
    OTHER,
    UNKNOWN,
    Described,
    describe_case,
    described_cases,
    learn,
    read_shape_config,
)

LOWEST = 0.01


def main() -> None:
    """Learn once a fold and once a scan, score what was left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/lung"))
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--penalty", type=float, nargs="+", help="instead of the configuration's; prints each")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    pipeline = load_pipeline("lung_nodule_classical")
    config = read_shape_config(pipeline.folder / "train.yaml")
    crops = {crop.case: crop for crop in load_crops(options.data)}
    cases = described_cases(options.data)
    whole = open_case(select([(None, options.data / WHOLE_CT)], pipeline), Clock()).first
    nodules, unknown = ([(geometry.lps_to_ras(p), size) for p, size in t] for t in luna16_marks(options.data, WHOLE_CT))
    # a crop of each patient first, then the whole lungs, some of the same patients
    excerpts, scans = cases[: len(crops)], cases[len(crops) :]
    scans.append(describe_case(WHOLE_CT, whole, nodules, unknown, 1.0))
    for penalty in options.penalty or [config.penalty]:
        rows = []
        for number in range(options.folds):
            out = patients_of_fold([case.case for case in excerpts], f"{number}/{options.folds}", config.seed)
            others = [case for case in excerpts if case.case not in out]
            classifier = learn([*others, *(s for s in scans if s.case not in out)], penalty)
            rows += [
                _row(case, classifier, "crop", crops[case.case].texture, crops[case.case].diameter_mm)
                for case in excerpts
                if case.case in out
            ]
        for scan in scans:
            rest = [case for case in [*excerpts, *scans] if case.case != scan.case]
            rows.append(_row(scan, learn(rest, penalty), "scan", None, None))
        options.output.write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")
        found = np.array([row.found for row in rows if row.kind == "crop"])
        alarms = np.sort(np.concatenate([row.alarms for row in rows if row.kind == "scan"]))[::-1]
        told = [f"{np.mean(found > alarms[rate * len(scans)]):.3f} at {rate}" for rate in (1, 2, 4, 8)]
        print(f"penalty {penalty}: crops found, at false positives a scan: {', '.join(told)}")


def _row(case: Described, classifier: ShapeClassifier, kind: str, texture: int | None, size: float | None) -> Scored:
    """What the detector would report of the case, overlapping blobs dropped as it drops them."""
    logit = classifier.logit(case.features)
    every = Opinion(case.center_ras_mm, np.exp(case.features[:, 0]), logit, case.features, True)
    kept = apart(every)
    probability, label = expit(logit[kept]), case.label[kept]
    has_nodule = kind == "crop" or (case.label == NODULE).any()
    best = float(probability[label == NODULE].max(initial=0.0)) if has_nodule else None
    scores = {
        of: [round(float(value), 5) for value in probability[label == of] if value > LOWEST] for of in (OTHER, UNKNOWN)
    }
    return Scored(case.case, kind, size, texture, best, None, scores[OTHER], scores[UNKNOWN], 0.0)


if __name__ == "__main__":
    main()
