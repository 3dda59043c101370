"""An evaluation written to a folder: tables, pictures, a page; metrics.json comes last and says the folder is whole."""

from __future__ import annotations

import base64
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import medimg
from medimg import files, spreadsheet
from medimg.evaluate.bootstrap import CONFIDENCE
from medimg.evaluate.compare import Comparison
from medimg.evaluate.evaluation import Evaluation, Table
from medimg.evaluate.page import metrics_page
from medimg.evaluate.plots import png

METRICS_SCHEMA = "medimg.metrics/1"
METRICS_FILE = "metrics.json"
PAGE_FILE = "metrics.html"


@dataclass(frozen=True)
class Origin:
    """What was evaluated: paths of truth and predictions, the run compared with, the pipelines, draws and seed."""

    truth: Path
    predictions: Path
    other: Path | None = None
    pipelines: tuple[dict[str, str], ...] = ()
    fold: int | None = None
    replicates: int = 0
    seed: int = 0


def write_evaluation(
    evaluation: Evaluation, origin: Origin, folder: Path, comparison: Comparison | None = None
) -> list[Path]:
    """Write everything to `folder` and return the files, metrics.json last. Raises OutputError."""
    files.output_folder(folder)
    (folder / METRICS_FILE).unlink(missing_ok=True)  # while its companions change it would vouch for a mixture
    tables = [*([comparison.table()] if comparison else []), *evaluation.tables]
    written = []
    for table in tables:
        files.write_text(folder / f"{table.name}.csv", csv_text(table))
        written.append(folder / f"{table.name}.csv")
    pictures = {picture.name: png(picture.draw()) for picture in evaluation.pictures}
    for name, data in pictures.items():
        files.write_bytes(folder / f"{name}.png", data)
        written.append(folder / f"{name}.png")
    document = metrics_document(evaluation, origin, folder, comparison)
    document["tables"] = [f"{table.name}.csv" for table in tables]
    document["pictures"] = [f"{name}.png" for name in pictures]
    encoded = {name: base64.b64encode(data).decode("ascii") for name, data in pictures.items()}
    files.write_text(folder / PAGE_FILE, metrics_page(evaluation, comparison, document, encoded))
    files.write_json(folder / METRICS_FILE, document)
    return [*written, folder / PAGE_FILE, folder / METRICS_FILE]


def metrics_document(
    evaluation: Evaluation, origin: Origin, folder: Path, comparison: Comparison | None
) -> dict[str, Any]:
    """The `medimg.metrics/1` document; paths are relative to `folder`."""
    return {
        "schema": METRICS_SCHEMA,
        "task": evaluation.task,
        "truth": {"path": files.relative(origin.truth, folder)},
        "predictions": {"path": files.relative(origin.predictions, folder)},
        "pipeline": origin.pipelines[0] if len(origin.pipelines) == 1 else None,
        **({"pipelines": list(origin.pipelines)} if len(origin.pipelines) > 1 else {}),
        "fold": origin.fold,
        "settings": {
            **evaluation.settings,
            "bootstrap": {"replicates": origin.replicates, "seed": origin.seed, "units": len(evaluation.cases)},
            "confidence": CONFIDENCE,
        },
        "metrics": {name: metric.to_dict() for name, metric in evaluation.metrics.items()},
        "counts": evaluation.counts,
        "detail": evaluation.detail,
        "failed": [failure.to_dict() for failure in evaluation.failed],
        "comparison": None if comparison is None else _comparison(comparison, origin, folder),
        "warnings": evaluation.warnings,
        "software": {"medimg": medimg.__version__, "python": platform.python_version(), "numpy": np.__version__},
        "notice": medimg.NOT_A_MEDICAL_DEVICE,
    }


def csv_text(table: Table) -> str:
    """A header and the rows; empty where a value is not known."""
    return spreadsheet.table(table.columns, table.rows)


def _comparison(comparison: Comparison, origin: Origin, folder: Path) -> dict[str, Any]:
    return {
        "other": {"path": files.relative(origin.other, folder)} if origin.other else None,
        "cases": comparison.cases,
        "left_out": comparison.left_out,
        "metrics": {difference.name: difference.to_dict() for difference in comparison.differences},
    }
