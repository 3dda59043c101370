"""Paths in, an evaluation out: which files each task reads as its truth and as its predictions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from medimg import files
from medimg.datalist.csv_file import read_rows
from medimg.datalist.read import DatalistCase, read_datalist
from medimg.errors import UsageError
from medimg.evaluate import classification_files, detection_files, segmentation_files
from medimg.evaluate.bootstrap import REPLICATES
from medimg.evaluate.classification import THRESHOLD
from medimg.evaluate.compare import Comparison, compare, evaluate
from medimg.evaluate.evaluation import Evaluation, Failure, Scores
from medimg.evaluate.regions import BRATS_REGIONS, Regions, parse_regions
from medimg.evaluate.surface import TOLERANCE_MM
from medimg.evaluate.writers import Origin, write_evaluation
from medimg.progress import Progress, silent

TASKS = ("detection", "segmentation", "classification")

DATALIST_SUFFIX = ".json"


@dataclass(frozen=True)
class Rules:
    """What may be chosen: regions and tolerance of a segmentation, threshold of a classification."""

    regions: Regions = field(default_factory=lambda: parse_regions(BRATS_REGIONS))
    tolerance_mm: float = TOLERANCE_MM
    threshold: float = THRESHOLD


@dataclass(frozen=True)
class Truth:
    """Where the truth lies: a datalist's cases (of one fold, where it was asked for), or a folder or file."""

    path: Path
    cases: tuple[DatalistCase, ...] | None = None
    fold: int | None = None

    @classmethod
    def at(cls, path: Path, fold: int | None = None) -> Truth:
        """Read the datalist, if it is one. Raises UsageError for a fold of anything else."""
        if path.suffix.lower() == DATALIST_SUFFIX:
            return cls(path, tuple(read_datalist(path, fold)), fold)
        if fold is not None:
            raise UsageError(f"--fold needs a datalist.json as the truth; {path} has no folds")
        return cls(path)


@dataclass(frozen=True)
class Job:
    """What to score: predictions and, to compare with, other predictions of the same cases.

    failed: cases that could not be predicted. pipelines: identities of those that predicted. notes: said as warnings.
    """

    task: str
    truth: Truth
    predictions: Path
    rules: Rules
    other: Path | None = None
    replicates: int = REPLICATES
    seed: int = 0
    failed: tuple[Failure, ...] = ()
    pipelines: tuple[dict[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a job gave, and the files that hold it, metrics.json last."""

    evaluation: Evaluation
    comparison: Comparison | None
    written: tuple[Path, ...]


def run_job(job: Job, output: Path, progress: Progress = silent) -> Outcome:
    """Score, compare and write to `output`.

    Raises OutputError before anything is computed when it cannot be written, DataError and UsageError as `score` does.
    """
    files.output_folder(output)
    scores = score(job.task, job.truth, job.predictions, job.rules, job.failed, progress)
    rival = score(job.task, job.truth, job.other, job.rules, progress=progress) if job.other else None
    evaluation = evaluate(scores, job.replicates, job.seed)
    evaluation.warnings += job.notes
    comparison = compare(scores, rival, job.replicates, job.seed) if rival else None
    origin = Origin(job.truth.path, job.predictions, job.other, job.pipelines, job.truth.fold, job.replicates, job.seed)
    return Outcome(evaluation, comparison, tuple(write_evaluation(evaluation, origin, output, comparison)))


def score(
    task: str,
    truth: Truth,
    predictions: Path,
    rules: Rules,
    failed: tuple[Failure, ...] = (),
    progress: Progress = silent,
) -> Scores:
    """Hold the predictions against the truth. failed: cases that could not be predicted.

    Raises DataError when the truth or the predictions cannot be read, or no case is left.
    """
    if task == "detection":
        return _detection(truth, predictions, failed)
    if task == "segmentation":
        return _segmentation(truth, predictions, rules, failed, progress)
    if task == "classification":
        return _classification(truth, predictions, rules, failed)
    raise UsageError(f"unknown task {task!r}; choose one of {', '.join(TASKS)}")


def _detection(truth: Truth, predictions: Path, failed: tuple[Failure, ...]) -> Scores:
    known = _detection_truth(truth)
    marks, missing = detection_files.read_marks(predictions, known.scans)
    return detection_files.detection_scores(known, marks, _together(failed, missing))


def _segmentation(
    truth: Truth, predictions: Path, rules: Rules, failed: tuple[Failure, ...], progress: Progress
) -> Scores:
    if truth.cases is None:
        maps = segmentation_files.find_label_maps(truth.path)
    else:
        maps = segmentation_files.label_maps_of_cases(truth.cases)
    found = segmentation_files.find_label_maps(predictions)
    files_named = truth.cases is None and truth.path.is_file() and predictions.is_file()
    return segmentation_files.segmentation_scores(
        maps, found, rules.regions, rules.tolerance_mm, failed, progress, one_case=files_named
    )


def _classification(truth: Truth, predictions: Path, rules: Rules, failed: tuple[Failure, ...]) -> Scores:
    if truth.cases is not None:
        labels = classification_files.labels_of_cases(truth.cases)
    elif truth.path.is_dir():
        labels = classification_files.labels_of_scans(_detection_truth(truth))
    else:
        labels = classification_files.read_labels(truth.path)
    missing: tuple[Failure, ...] = ()
    if predictions.is_file() and _names_cases(predictions):
        probabilities = classification_files.read_probabilities(predictions)
    else:
        marks, missing = detection_files.read_marks(predictions, tuple(labels))
        probabilities = classification_files.probabilities_of_marks(marks, tuple(labels))
    failures = _together(failed, missing)
    return classification_files.classification_scores(labels, probabilities, rules.threshold, failures)


def _detection_truth(truth: Truth) -> detection_files.DetectionTruth:
    if truth.cases is not None:
        return detection_files.truth_of_cases(truth.cases)
    return detection_files.read_truth(truth.path)


def _names_cases(path: Path) -> bool:
    """Whether a CSV's first line has the column id; else it must be LUNA16's marks."""
    rows = read_rows(path)
    header = [name.strip() for name in rows[0][1]] if rows else []
    return "seriesuid" not in header


def _together(failed: tuple[Failure, ...], missing: tuple[Failure, ...]) -> tuple[Failure, ...]:
    """Each case once, with its first failure."""
    known = {failure.case for failure in failed}
    return (*failed, *(failure for failure in missing if failure.case not in known))
