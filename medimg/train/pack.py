"""A finished run becomes a pipeline folder: pipeline.yaml and a MONAI bundle with the trained weights."""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path
from typing import Any

import torch
import yaml

import medimg
from medimg import files
from medimg.bundles.trust import audit, record, require_trust
from medimg.pipeline import PIPELINE_FILE, WEIGHTS, Pipeline
from medimg.train.checkpoint import LAST_WEIGHTS, State
from medimg.train.config import TrainConfig
from medimg.train.journal import read_log

INFERENCE_CONFIG = Path("configs") / "inference.json"
TRAINING_RECORD = Path("docs") / "training.json"


def pack(pipeline: Pipeline, config: TrainConfig, state: State, run: Path, start: Path | None = None) -> Path:
    """Write run/pipeline.yaml and run/bundle (the pipeline's own bundle with the last weights); return the bundle.

    The last averaged weights, not best.pt: the learning rate has run out by then, and choosing a step by its score on
    a handful of validation cases would choose noise (nnU-Net ships its final checkpoint for the same reason).
    start: the weights the run began with, None for random ones; their digest goes into the record. This machine trusts
    the new bundle from then on: it is as safe as the one it was made from, and that was trusted or it was not trained.
    """
    require_trust(audit(pipeline.bundle), pipeline.trusted)
    bundle = run / "bundle"
    shutil.copytree(pipeline.bundle, bundle, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.pt", "__pycache__"))
    if config.network is not None:
        _replace_network(bundle / INFERENCE_CONFIG, config.network)
    document = yaml.safe_load((pipeline.folder / PIPELINE_FILE).read_text(encoding="utf-8"))
    document["bundle"] = bundle.name
    files.write_text(run / PIPELINE_FILE, yaml.safe_dump(document, sort_keys=False))
    weights = torch.load(run / LAST_WEIGHTS, map_location="cpu", weights_only=True)
    with files.atomic_path(bundle / WEIGHTS) as temporary:
        torch.save(weights, temporary)
    files.write_json(bundle / TRAINING_RECORD, _record(config, state, run, start))
    record(bundle, f"medimg train of {pipeline.name}")
    return bundle


def _replace_network(path: Path, network: dict[str, Any]) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    files.write_json(path, {**document, "network_def": network})


def _record(config: TrainConfig, state: State, run: Path, start: Path | None) -> dict[str, Any]:
    """What made the weights, for the model card."""
    return {
        "config_sha256": config.digest,
        "seed": config.seed,
        "start_sha256": files.sha256_of_file(start) if start else None,
        "steps": state.step,
        "task": config.task,
        "hours": round(state.seconds / 3600, 3),
        "precision": config.precision,
        "parameters": sum(parameter.numel() for parameter in state.network.parameters()),
        "validation": _last_metrics(run),
        "medimg": medimg.__version__,
        "torch": torch.__version__,
        "machine": platform.machine(),
    }


def _last_metrics(run: Path) -> dict[str, float]:
    """Step and validation metrics of the last validation in the log."""
    last = next(entry for entry in reversed(read_log(run)) if "val_score" in entry)
    return {name: value for name, value in last.items() if name.startswith("val_") or name == "step"}
