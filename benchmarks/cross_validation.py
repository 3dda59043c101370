"""Cross-validated Dice of a tumour pipeline: each case by the run of `medimg train --fold k/n` that has not seen it.

    python benchmarks/cross_validation.py RUN-0 RUN-1 RUN-2 --data ../shared/data/brain -o scores
    python benchmarks/cross_validation.py RUN-0 RUN-1 RUN-2 --data ../shared/data/brain -o scores --without t1c t1n
    python benchmarks/cross_validation.py RUN-0 RUN-1 RUN-2 --data ../shared/data/brain -o scores \\
        --try '{threshold: {ET: 0.4}}' --try '{threshold: {ET: 0.5}, min_volume_mm3: {ET: 200}}'

The pipeline's own path: selection, reading, checks, the bundle's preprocessing, network, post-processing as
`pipeline.yaml` says (of --pipeline, not of the runs), back onto the scan's grid. The network's outputs stay in
scores/outputs, so that a second call with other settings runs no network. Writes table.md, scores.json and the label
maps (predictions/CASE_seg.nii.gz, which `medimg evaluate --task segmentation` takes for every other figure).

--try prints a line for each change of the infer stage instead, and what comes of choosing among them honestly: for
each fold the change that is best on the other folds. A region empty in both counts 1, in one 0 (BraTS).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from runs import Run, read_runs

from medimg import files, geometry
from medimg.bundle import load_bundle
from medimg.evaluate.overlap import dice
from medimg.evaluate.regions import BRATS, BRATS_REGIONS, parse_regions
from medimg.inference.device import choose_device
from medimg.inference.maps import logit_maps
from medimg.inference.preconditions import check_scan
from medimg.inference.prepare import network_input, trained, with_blanks
from medimg.inference.resample import labels_on_grid
from medimg.inference.segment import SegmentOptions, painted, seen
from medimg.pipeline import Pipeline, load_pipeline
from medimg.stages.case import Clock
from medimg.stages.chain import open_case
from medimg.stages.select import select
from medimg.study import Volume
from medimg.train.cases import divide, read_cases
from medimg.train.tumour_data import ROLES
from medimg.volumes import read_label_map, write_nifti

REGIONS = parse_regions(BRATS_REGIONS)

NOT_SEEN = "not available"


@dataclass(frozen=True)
class Output:
    """What the network was shown of one case and said: (C, I, J, K) on the model grid; the scan's grid, its truth."""

    case: str
    fold: str
    image: NDArray[np.float32]
    logits: NDArray[np.float32]
    affine: geometry.Affine
    source: Volume
    truth: NDArray[np.uint8]


@dataclass(frozen=True)
class Row:
    """One case: Dice and volumes of each region that the contrasts show."""

    case: str
    fold: str
    dice: dict[str, float]
    truth_ml: dict[str, float]
    predicted_ml: dict[str, float]

    @property
    def mean(self) -> float:
        """Of the regions that can be seen."""
        return float(np.mean(list(self.dice.values())))


def main() -> None:
    """Run what has not been run, score, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of medimg train, one a fold")
    parser.add_argument("--data", type=Path, required=True, help="datalist, or folder of BraTS cases")
    parser.add_argument("--pipeline", default="brain_tumour", help="whose pipeline.yaml says what follows the network")
    parser.add_argument("--without", nargs="*", default=[], help="roles to leave out, as if they had not been scanned")
    parser.add_argument("--try", dest="changes", action="append", type=yaml.safe_load, help="YAML over the infer stage")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    pipeline = load_pipeline(options.pipeline)
    outputs = outputs_of(read_runs(options.runs), pipeline, options)
    stage = pipeline.options("infer")
    if options.changes:
        changes = [{}, *options.changes]
        rows = {str(change): [] for change in changes}
        for output in outputs:
            for change in changes:
                rows[str(change)].append(scored(output, changed(stage, change), options.without)[0])
        print_changes(rows)
        return
    rows = []
    for output in outputs:
        row, labels = scored(output, stage, options.without)
        rows.append(row)
        path = options.output / "predictions" / f"{output.case}_seg.nii.gz"
        write_nifti(path, labels, output.source.affine_ras)
    text = table(rows)
    print(text)
    files.write_text(options.output / "table.md", text + "\n")
    files.write_json(
        options.output / "scores.json", {"cases": [asdict(row) for row in rows], "infer": stage, **summary(rows)}
    )


def outputs_of(runs: list[Run], pipeline: Pipeline, options: argparse.Namespace) -> Iterator[Output]:
    """The network's outputs of every case that one of the runs has not seen, from `scores/outputs` where they lie."""
    device = choose_device("auto", threads=options.threads)
    for run in runs:
        bundle = load_bundle(run.bundle)
        digest = run.digest()
        for case in divide(read_cases(options.data, run.holdout), run.fold, run.seed)[1]:
            opened = open_case(select(list(zip(case.roles, case.images, strict=True)), pipeline), Clock())
            volumes = {role: volume for role, volume in opened.volumes.items() if role not in options.without}
            check_scan(pipeline, volumes)
            told = "".join(f"-no-{role}" for role in sorted(options.without))
            path = options.output / "outputs" / f"{case.id}-{digest}{told}.npz"
            image, affine = network_input(bundle, with_blanks(volumes, pipeline.roles))
            if not path.exists():
                logits = logit_maps(bundle, trained(bundle), image, device)
                with files.atomic_path(path) as temporary, temporary.open("wb") as stream:
                    np.savez(stream, logits=logits, affine=affine)
            with np.load(path) as kept:
                logits = kept["logits"]
            assert case.label_map is not None
            truth = read_label_map(case.label_map).array
            yield Output(case.id, run.fold, image, logits, affine, next(iter(volumes.values())), truth)


def changed(stage: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """The infer stage with other options; of a mapping only the keys that are given change."""
    both = {
        key: {**stage[key], **value} if isinstance(value, dict) and isinstance(stage.get(key), dict) else value
        for key, value in change.items()
    }
    return {**stage, **both}


def scored(output: Output, stage: dict[str, Any], without: list[str]) -> tuple[Row, NDArray[np.uint8]]:
    """The case with these options of the infer stage, and its label map on the scan's grid."""
    options = SegmentOptions.from_stage(stage).seen_with(set(ROLES) - set(without))
    logits = seen(output.logits, output.image, ROLES, options)
    labels = painted(logits, options, geometry.voxel_volume_mm3(output.affine))
    source = output.source
    predicted = labels_on_grid(labels, output.affine, source.shape, source.affine_ras)
    ml = geometry.voxel_volume_mm3(source.affine_ras) / 1000
    overlaps, true_ml, predicted_ml = {}, {}, {}
    for name in BRATS:
        there, drawn = REGIONS.mask(output.truth, name), REGIONS.mask(predicted, name)
        true_ml[name] = float(there.sum()) * ml
        if name not in options.not_available:
            overlaps[name] = dice(there, drawn)
            predicted_ml[name] = float(drawn.sum()) * ml
    return Row(output.case, output.fold, overlaps, true_ml, predicted_ml), predicted


def summary(rows: list[Row]) -> dict[str, Any]:
    """Mean and SD of each region; enhancing tumour where there is some; what is drawn of it where there is none."""
    columns = {name: [row.dice[name] for row in rows if name in row.dice] for name in BRATS}
    columns["ET_where_present"] = [row.dice["ET"] for row in rows if "ET" in row.dice and row.truth_ml["ET"] > 0]
    without = [row for row in rows if "ET" in row.predicted_ml and row.truth_ml["ET"] == 0]
    false_ml = [row.predicted_ml["ET"] for row in without]
    return {
        "dice": {
            name: {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)), "cases": len(values)}
            for name, values in columns.items()
            if len(values) > 1
        },
        "false_ET_ml": {"each": false_ml, "mean": float(np.mean(false_ml)) if false_ml else None},
    }


def table(rows: list[Row]) -> str:
    """A markdown table of the cases in the order of their names, and the means."""
    lines = [
        "| case | fold | WT | TC | ET | WT, ml | TC, ml | ET, ml |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: row.case):
        overlaps = " | ".join(f"{row.dice[name]:.2f}" if name in row.dice else NOT_SEEN for name in BRATS)
        volumes = " | ".join(
            f"{row.predicted_ml[name]:.1f} / {row.truth_ml[name]:.1f}" if name in row.predicted_ml else NOT_SEEN
            for name in BRATS
        )
        lines.append(f"| {row.case} | {row.fold} | {overlaps} | {volumes} |")
    found = summary(rows)
    means = " | ".join(_mean_sd(found["dice"].get(name)) for name in BRATS)
    lines.append(f"| **mean (SD) of {len(rows)}** | | {means} | | | |")
    present = found["dice"].get("ET_where_present")
    if present:
        lines.append(f"| ET where there is some ({present['cases']} cases) | | | | {_mean_sd(present)} | | | |")
    return "\n".join([*lines, "", _false_told(found)])


def print_changes(rows: dict[str, list[Row]]) -> None:
    """A line each, and the honest choice among them."""
    for change, scores in rows.items():
        print(f"{_line(scores)}  {change}")
    folds = sorted({row.fold for row in next(iter(rows.values()))})
    if len(folds) > 1:
        chosen = []
        for fold in folds:
            best = max(rows, key=lambda change: np.mean([row.mean for row in rows[change] if row.fold != fold]))
            chosen += [row for row in rows[best] if row.fold == fold]
            print(f"best on the others than fold {fold}: {best}")
        print(f"{_line(chosen)}  chosen for each fold on the others")


def _line(rows: list[Row]) -> str:
    found = summary(rows)
    means = " ".join(f"{name} {_mean_sd(value)}" for name, value in found["dice"].items())
    return f"{means}; {_false_told(found)}"


def _mean_sd(value: dict[str, float] | None) -> str:
    return "" if value is None else f"{value['mean']:.3f} ({value['sd']:.3f})"


def _false_told(found: dict[str, Any]) -> str:
    each = found["false_ET_ml"]["each"]
    return f"ET drawn where there is none, ml: {', '.join(f'{value:.2f}' for value in sorted(each)) or 'no such case'}"


if __name__ == "__main__":
    main()
