"""What a lung pipeline finds on nodules its training did not see, and its false positives on whole lungs.

    python benchmarks/nodule_detection.py --pipeline lung_nodule --data ../shared/data/lung --fold 0/7 -o scores.json
    python benchmarks/nodule_detection.py --runs RUN-0 RUN-1 RUN-2 --data ../shared/data/lung -o scores.json
    python benchmarks/nodule_detection.py --rows scores.json more.json       (tables of what was scored before)

Runs the pipeline's own stages (selection, reading, infer) at a low threshold, so that one run gives every threshold.
A nodule is found by a finding nearer than its radius to its centre (LUNA16's rule). On whole scans every other finding
is a false positive; the second count leaves out those that LUNA16 neither counts as right nor as wrong. The
calibration (Platt scaling of the reported logit) is for a scan with one nodule: all nodules together weigh as much as
one, the false positives of each scan as many as there are on average.

--runs pools the folds of `medimg train --fold k/n`: each crop is scored by the model that has not seen it, the whole
scans by every model; docs/train.md, "Cross-validation". What the networks say is kept (--cache), so that another
--weight or calibration runs no network again. --refit shows the tables with the calibration fitted on the rows.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import yaml
from nodule_cases import WHOLE_CT, crop_inputs, scan_inputs, scored
from nodule_runs import LOWEST, Pool
from nodule_tables import Scored, print_all
from runs import read_runs

from medimg.inference.detect_options import DetectOptions
from medimg.inference.options import Engine
from medimg.pipeline import Pipeline, load_pipeline
from medimg.results import Finding
from medimg.stages.case import Clock
from medimg.stages.chain import open_case
from medimg.stages.infer import infer
from medimg.stages.select import select
from medimg.train.nodule_data import Crop, load_crops
from medimg.train.nodule_split import background, split_patients


def main() -> None:
    """Score, print the tables, write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipeline", default="lung_nodule")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/lung"))
    parser.add_argument("--fold", help="k/n: crops of this fold only, as the training configuration draws them")
    parser.add_argument("--runs", nargs="+", type=Path, help="folders of medimg train, one a fold")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("nodule_cache"),
        help="of --runs: what networks and shapes said; remove it when the data change",
    )
    parser.add_argument("--weight", type=float, help="shape_weight of the infer stage, instead of the pipeline's")
    parser.add_argument("--scans", nargs="*", help="these scans only, and no crops")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rows", nargs="+", type=Path, help="print tables of these instead; a later file's case wins")
    parser.add_argument(
        "--calibrate-from",
        type=float,
        default=0.0,
        help="fit on findings of this score and more: those near the report",
    )
    parser.add_argument("--refit", action="store_true", help="tables with the calibration fitted here")
    parser.add_argument("--threshold", type=float, help="of the tables by size and texture [default: the pipeline's]")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    pipeline = load_pipeline(options.pipeline)
    rows = rows_of(pipeline, options)
    if options.output:
        options.output.write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")
    if any(row.kind == "crop" for row in rows):
        chosen = DetectOptions.from_stage(pipeline.options("infer"))
        line = None if options.refit else chosen.calibration
        print_all(rows, options.calibrate_from, line, options.threshold or chosen.threshold)


def rows_of(pipeline: Pipeline, options: argparse.Namespace) -> list[Scored]:
    """Read, pooled or scored now."""
    if options.rows:
        saved = [Scored(**row) for path in options.rows for row in json.loads(path.read_text(encoding="utf-8"))]
        return list({(row.case, row.kind, row.fold): row for row in saved}.values())
    if options.runs:
        weight = DetectOptions.from_stage(pipeline.options("infer")).shape_weight
        pool = Pool(pipeline, options.data, options.cache, options.threads)
        return list(pool.rows(read_runs(options.runs), weight if options.weight is None else options.weight))
    inputs = [] if options.scans is not None else crop_inputs(options.data, crops_of(pipeline, options))
    inputs += scan_inputs(options.data, options.scans)
    return [scored(entry, *run(pipeline, entry.path, options.threads)) for entry in inputs]


def crops_of(pipeline: Pipeline, options: argparse.Namespace) -> list[Crop]:
    """Every crop, or those of the fold and that of the whole CT."""
    crops = load_crops(options.data)
    if not options.fold:
        return crops
    seed = yaml.safe_load((pipeline.folder / "train.yaml").read_text(encoding="utf-8"))["seed"]
    others = [crop for crop in crops if crop.case != WHOLE_CT]
    _, chosen = split_patients(others, background(options.data), options.fold, seed)
    return [crop for crop in crops if crop.case == WHOLE_CT or crop in chosen]


def run(pipeline: Pipeline, path: Path, threads: int) -> tuple[list[Finding], float]:
    """The findings of the infer stage at a low threshold, before calibration, and the seconds of that stage."""
    case = open_case(select([(None, path)], pipeline), Clock())
    infer(case, {**pipeline.options("infer"), "threshold": LOWEST, "calibration": [1.0, 0.0]}, Engine(threads=threads))
    return case.report.findings, case.clock.seconds["infer"]


if __name__ == "__main__":
    main()
