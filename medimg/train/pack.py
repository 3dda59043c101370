"""A finished run becomes a pipeline folder: pipeline.yaml and a MONAI bundle with the trained weights."""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path
from typing import Any

import torch

import medimg
from medimg import files
from medimg.pipeline import PIPELINE_FILE, WEIGHTS, Pipeline
from medimg.train.config import TrainConfig
from medimg.train.fit import BEST_WEIGHTS, LOG, State

TRAINING_RECORD = Path("docs") / "training.json"


def pack(pipeline: Pipeline, config: TrainConfig, state: State, run: Path) -> Path:
    """Write run/pipeline.yaml and run/bundle (the pipeline's own bundle with the best weights); return the bundle."""
    bundle = run / "bundle"
    shutil.copytree(pipeline.bundle, bundle, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.pt", "__pycache__"))
    shutil.copyfile(pipeline.folder / PIPELINE_FILE, run / PIPELINE_FILE)
    weights = torch.load(run / BEST_WEIGHTS, map_location="cpu", weights_only=True)
    with files.atomic_path(bundle / WEIGHTS) as temporary:
        torch.save(weights, temporary)
    files.write_json(bundle / TRAINING_RECORD, _record(config, state, run))
    return bundle


def _record(config: TrainConfig, state: State, run: Path) -> dict[str, Any]:
    """What made the weights, for the model card."""
    return {
        "config_sha256": config.digest,
        "seed": config.seed,
        "steps": config.steps,
        "hours": round(state.seconds / 3600, 3),
        "precision": config.precision,
        "parameters": sum(parameter.numel() for parameter in state.network.parameters()),
        "best_score": state.best,
        "validation": _best_metrics(run),
        "medimg": medimg.__version__,
        "torch": torch.__version__,
        "machine": platform.machine(),
    }


def _best_metrics(run: Path) -> dict[str, float]:
    entries = [json.loads(line) for line in (run / LOG).read_text(encoding="utf-8").splitlines()]
    scored = [entry for entry in entries if "val_score" in entry]
    # the last of equals, as `fit` keeps it
    best = max(reversed(scored), key=lambda entry: float(entry["val_score"]))
    return {name: value for name, value in best.items() if name.startswith("val_") or name == "step"}
