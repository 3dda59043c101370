"""Runs of `medimg train --fold k/n`, and which cases each has not seen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medimg import files
from medimg.pipeline import WEIGHTS
from medimg.train.record import TRAINING_RECORD


@dataclass(frozen=True)
class Run:
    """One run: its folder, its fold "k/n", the seed that drew it, and the cases kept apart from all folds.

    validation_scan: of a lung pipeline, the scan of which a part is kept for validation in every fold.
    """

    folder: Path
    fold: str
    seed: int
    holdout: tuple[str, ...]
    validation_scan: str = ""

    @property
    def bundle(self) -> Path:
        """The bundle with the run's weights."""
        return self.folder / "bundle"

    def digest(self) -> str:
        """Of the weights: what was computed with others does not count."""
        return files.sha256_of_file(self.bundle / WEIGHTS)[:12]


def read_runs(folders: list[Path]) -> list[Run]:
    """Ends the program in one line where a folder holds no finished run, or two hold the same fold."""
    runs = [_read(folder) for folder in folders]
    if len({run.fold for run in runs}) < len(runs) or len({(run.seed, _count(run)) for run in runs}) > 1:
        told = ", ".join(f"{run.folder} fold {run.fold} seed {run.seed}" for run in runs)
        raise SystemExit(f"the runs must be different folds of one division by one seed: {told}")
    return runs


def _count(run: Run) -> str:
    return run.fold.partition("/")[2]


def _read(folder: Path) -> Run:
    path = folder / "bundle" / TRAINING_RECORD
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        task = record["task"]
        holdout, scan = tuple(task.get("holdout", ())), str(task.get("validation_scan", ""))
        return Run(folder, str(task["fold"]), int(record["seed"]), holdout, scan)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"{path} is not the record of a finished run of medimg train --fold: {error!r}") from error
