"""A nodule in it or none: classification of real volumes, by patient, each by a model that has not seen the patient.

    python benchmarks/nodule_or_not.py --data ../shared/data/lung -o OUT                    (classical, five folds)
    python benchmarks/nodule_or_not.py --data ../shared/data/lung -o OUT --runs RUN-0 RUN-1 RUN-2

Two sets, each written as truth.csv and predictions.csv and scored by `medimg evaluate --task classification`:

volumes: 51 mm cubes. With a nodule: the crops. Without: cubes cut from the whole scans, centred in the lungs, apart
from each other, from every nodule and from every mark that LUNA16 excludes.
cubes: 17 mm cubes of the crops, one with the nodule's centre and one without any voxel of it, centred in lung, of the
same patient: no scanner, kernel or storage tells them apart.

All voxels are brought to 1 mm, -1200..400 HU in steps of 8, which is how the coarsest of the files is stored. A
volume's score is its most probable finding's; it becomes a probability by Platt scaling on the other folds.
--runs: folders of `medimg train --pipeline lung_nodule --fold k/n`. Each is given a shape classifier that has not seen
its fold either. It scores the crops of its fold, and the runs take turns with the volumes that none of them has seen:
those of the held-out scan and those of the part of a scan that is kept for validation.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from nodule_detection import run
from nodule_runs import LOWEST
from nodule_volumes import CUBE, SEED, SIDE, Held, clear_cubes, coarse, nodule_free, stored, whole_ct
from numpy.typing import NDArray
from runs import Run, read_runs
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from medimg import geometry
from medimg.classical.find import Opinion, apart
from medimg.evaluate.evaluation import Evaluation, Metric
from medimg.evaluate.run import Job, Rules, Truth, run_job
from medimg.pipeline import SHAPE, Pipeline, load_pipeline
from medimg.study import Source, Volume
from medimg.train.nodule_data import Scan, load_crops, load_scans
from medimg.train.nodule_split import patients_of_fold, split_patients
from medimg.train.shape import CROP_WEIGHT, Described, ShapeConfig, describe_case, learn, read_shape_config
from medimg.volumes import write_nifti

FOLDS = 5

Voxels = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Marks:
    """What a model says of one volume: voxels (N, 3) and score (N,), a logit."""

    voxels: Voxels
    score: Voxels

    def best(self, low: Sequence[int] = (0, 0, 0), side: int = SIDE) -> float:
        """The highest score in a cube; that of LOWEST where there is none."""
        inside = ((self.voxels >= low) & (self.voxels < np.array(low) + side)).all(axis=1)
        return float(self.score[inside].max(initial=logit(LOWEST)))


def main() -> None:
    """Lay out the volumes, score them out of fold, evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/lung"))
    parser.add_argument("--runs", nargs="*", type=Path, default=[], help="folders of the folds of one network")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    if len(options.runs) == 1:
        parser.error("--runs: two folds or more; each is scaled on the others")
    crops = load_crops(options.data)
    scans = [*map(coarse, load_scans(options.data, crops)), coarse(whole_ct(options.data))]
    held = [Held(crop.case, crop.case, stored(crop.hu), crop) for crop in crops]
    held += [cube for scan in scans for cube in nodule_free(scan)]
    print(f"{len(crops)} volumes with a nodule, {len(held) - len(crops)} without", flush=True)
    if options.runs:
        scored = list(by_networks(read_runs(options.runs), held, scans, options.threads))
    else:
        scored = list(by_shape(held, scans))
    sets = {"volumes": whole_rows(scored), "cubes": cube_rows(scored)}
    print(table({name: evaluated(rows, options.output / name) for name, rows in sets.items()}))


def described(held: Sequence[Held], scans: Sequence[Scan], strongest: int) -> tuple[list[Described], list[Described]]:
    """The blobs of the volumes, those of crops labelled, and those of the whole scans."""
    small = [
        describe_case(
            h.patient, h.volume, [(h.crop.centre, h.crop.diameter_mm)] if h.crop else [], [], CROP_WEIGHT, strongest
        )
        for h in held
    ]
    large = []
    for scan in scans:
        volume = Volume(scan.hu, scan.affine_ras, Source(Path(scan.name), "memory"), "CT")
        tables = (
            [(geometry.to_world(scan.affine_ras, row[:3]), float(row[3])) for row in table]
            for table in (scan.nodules, scan.ignore)
        )
        large.append(describe_case(scan.name, volume, *tables, 1.0, strongest))
    return small, large


def by_shape(held: Sequence[Held], scans: Sequence[Scan]) -> Iterator[tuple[Held, int, Marks]]:
    """Each volume with its fold, by a classical detector that was learned from the patients of the other folds."""
    config = shape_config()
    small, large = described(held, scans, config.blobs)
    learned_from = [*(case for case, h in zip(small, held, strict=True) if h.crop), *large]
    patients = sorted({h.patient for h in held})
    for number in range(FOLDS):
        out = patients_of_fold(patients, f"{number}/{FOLDS}", SEED)
        classifier = learn([case for case in learned_from if case.case not in out], config.penalty)
        for case, h in zip(small, held, strict=True):
            if h.patient in out:
                score = classifier.logit(case.features)
                # axes of 1 mm from the origin: millimetres are voxels
                every = Opinion(case.center_ras_mm, np.exp(case.features[:, 0]), score, case.features, True)
                kept = apart(every)
                yield h, number, Marks(case.center_ras_mm[kept], score[kept])


def by_networks(
    runs: Sequence[Run], held: Sequence[Held], scans: Sequence[Scan], threads: int
) -> Iterator[tuple[Held, int, Marks]]:
    """Each volume that some run has not seen, with that run's number, by its pipeline."""
    # the second opinion is the classical detector's
    config = shape_config()
    small, large = described(held, scans, config.blobs)
    crops = [h.crop for h in held if h.crop]
    cases = {h.patient: case for h, case in zip(held, small, strict=True) if h.crop}
    for number, one in enumerate(runs):
        kept_out = set(one.holdout)
        background = {scan.name for scan in scans if scan.name not in kept_out}
        _, chosen = split_patients([c for c in crops if c.case not in kept_out], background, one.fold, one.seed)
        out = {crop.case for crop in chosen} | kept_out | {one.validation_scan}
        unseen = [h for h in held if h.crop and h.patient in out - kept_out]
        # what no run has seen is shared out
        common = [h for h in held if h.patient in kept_out or (h.patient == one.validation_scan and h.upper)]
        unseen += common[number :: len(runs)]
        classifier = learn([case for case in [*cases.values(), *large] if case.case not in out], config.penalty)
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "run"
            shutil.copytree(one.folder, copy, ignore=shutil.ignore_patterns("*.pth", "checkpoint.pt", "tensorboard"))
            (copy / "bundle" / SHAPE).write_text(classifier.text(), encoding="utf-8")
            pipeline = as_shipped(load_pipeline(str(copy)))
            for h in unseen:
                file = Path(folder) / f"{h.id}.nii.gz"
                write_nifti(file, h.hu, np.eye(4))
                found = run(pipeline, file, threads)[0]
                centres = geometry.lps_to_ras(np.array([f.center_lps_mm for f in found]).reshape(-1, 3))
                yield h, number, Marks(centres, logit(np.clip([f.probability for f in found], 1e-6, 1 - 1e-6)))


def as_shipped(run_of_fold: Pipeline) -> Pipeline:
    """A run with the shipped weight of the second opinion: its own is that of the pipeline it was made from."""
    weight = load_pipeline("lung_nodule").options("infer")["shape_weight"]
    stages = [
        replace(stage, options={**stage.options, "shape_weight": weight}) if stage.name == "infer" else stage
        for stage in run_of_fold.stages
    ]
    return replace(run_of_fold, stages=tuple(stages))


def shape_config() -> ShapeConfig:
    """Of the classical detector."""
    return read_shape_config(load_pipeline("lung_nodule_classical").folder / "train.yaml")


@dataclass(frozen=True)
class Row:
    """One line of a truth and of its predictions, with the fold it was scored in."""

    id: str
    patient: str
    label: int
    fold: int
    score: float


def whole_rows(scored: Sequence[tuple[Held, int, Marks]]) -> list[Row]:
    """The 51 mm volumes."""
    return [Row(h.id, h.patient, int(h.crop is not None), fold, marks.best()) for h, fold, marks in scored]


def cube_rows(scored: Sequence[tuple[Held, int, Marks]]) -> list[Row]:
    """The 17 mm cubes of the crops: that in the middle and one other of each."""
    rows = []
    for number, (h, fold, marks) in enumerate(scored):
        if h.crop is None:
            continue
        middle = ((SIDE - CUBE) // 2,) * 3
        rows.append(Row(f"{h.id}_nodule", h.patient, 1, fold, marks.best(middle, CUBE)))
        clear = list(clear_cubes(h))
        if clear:
            corner = clear[int(np.random.default_rng([SEED, number]).integers(len(clear)))]
            rows.append(Row(f"{h.id}_clear", h.patient, 0, fold, marks.best(corner, CUBE)))
    return rows


def evaluated(rows: list[Row], folder: Path) -> Evaluation:
    """Write truth and predictions, and score them as the command does."""
    folder.mkdir(parents=True, exist_ok=True)
    truth, predictions = folder / "truth.csv", folder / "predictions.csv"
    lines = [f"{row.id},{row.patient},{row.label}" for row in rows]
    truth.write_text("\n".join(["id,patient,label", *lines]) + "\n", encoding="utf-8")
    lines = [f"{row.id},{value:.6f}" for row, value in zip(rows, cross_scaled(rows), strict=True)]
    predictions.write_text("\n".join(["id,probability", *lines]) + "\n", encoding="utf-8")
    return run_job(Job("classification", Truth.at(truth), predictions, Rules()), folder / "scores").evaluation


def table(found: dict[str, Evaluation]) -> str:
    """The figures with their 95 % intervals as a card shows them, a column for each set."""
    lines = [f"| | {' | '.join(found)} |", "|---" * (1 + len(found)) + "|"]
    for name in ("positive", "negative", "groups"):
        lines.append(f"| {name} | {' | '.join(str(one.counts[name]) for one in found.values())} |")
    for name in next(iter(found.values())).metrics:
        lines.append(f"| {name} | {' | '.join(_shown(one.metrics[name]) for one in found.values())} |")
    return "\n".join(lines)


def _shown(metric: Metric) -> str:
    if metric.value is None:
        return "not defined"
    return f"{metric.value:.3f}" + ("" if metric.interval is None else " ({:.3f}-{:.3f})".format(*metric.interval))


def cross_scaled(rows: list[Row]) -> Voxels:
    """Scores as probabilities: each fold's by a line of the logit that was fitted on the others (Platt scaling).

    Both classes weigh the same, so that 0.5 is between them whatever their numbers.
    """
    score, label, fold = (np.array([getattr(row, name) for row in rows]) for name in ("score", "label", "fold"))
    result = np.empty(len(rows))
    for number in np.unique(fold):
        rest = fold != number
        model = LogisticRegression(C=1e6, class_weight="balanced").fit(score[rest, None], label[rest])
        result[~rest] = expit(model.coef_[0, 0] * score[~rest] + model.intercept_[0])
    return result


if __name__ == "__main__":
    main()
