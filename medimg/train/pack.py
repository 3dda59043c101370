"""A finished run becomes a pipeline folder: pipeline.yaml and a MONAI bundle with the trained weights."""

from __future__ import annotations

import math
import platform
from pathlib import Path
from typing import Any

import torch

import medimg
from medimg import files
from medimg.bundle import MIRRORED
from medimg.bundles.trust import audit, require_trust
from medimg.pipeline import Pipeline
from medimg.train.cases import data_facts
from medimg.train.checkpoint import LAST_WEIGHTS, State, save
from medimg.train.config import TrainConfig
from medimg.train.folder import read_inference, with_flips, write_folder
from medimg.train.journal import read_log
from medimg.train.members import as_single
from medimg.train.record import record_of_weights


def pack(
    pipeline: Pipeline, config: TrainConfig, state: State, run: Path, data: Path, start: Path | None = None
) -> Path:
    """Write run/pipeline.yaml and run/bundle (the pipeline's own bundle with the last weights); return the bundle.

    The last averaged weights, not best.pt: the learning rate has run out by then, and choosing a step by its score on
    a handful of validation cases would choose noise (nnU-Net ships its final checkpoint for the same reason).
    data: what the task read. start: the weights the run began with, None for random ones; their digest and their own
    record go into this one. The new bundle is as safe as the one it was made from, which was trusted or not trained.
    """
    require_trust(audit(pipeline.bundle), pipeline.trusted)
    inference = read_inference(pipeline)
    packed = as_single(inference) | ({"network_def": config.network} if config.network else {})
    # the members of an ensemble shared the mirror images out; one network sees them all again
    mirrored = any(inference.get(MIRRORED, ()))
    weights = torch.load(run / LAST_WEIGHTS, map_location="cpu", weights_only=True)
    return write_folder(
        pipeline,
        run,
        _record(config, state, run, data, start),
        lambda path: save(weights, path),
        change=(lambda document: with_flips(document, True)) if mirrored else dict,
        inference=packed if packed != inference else None,
        why=f"medimg train of {pipeline.name}",
    )


def _record(config: TrainConfig, state: State, run: Path, data: Path, start: Path | None) -> dict[str, Any]:
    """What made the weights, for the model card."""
    return {
        "config_sha256": config.digest,
        "seed": config.seed,
        "start_sha256": files.sha256_of_file(start) if start else None,
        "start": record_of_weights(start) if start else None,
        "steps": state.step,
        "task": config.task,
        "data": data_facts(data),
        "cases": state.task.cases,
        "hours": round(state.seconds / 3600, 3),
        "precision": config.precision,
        "parameters": sum(parameter.numel() for parameter in state.network.parameters()),
        "validation": _last_metrics(run),
        "medimg": medimg.__version__,
        "torch": torch.__version__,
        "machine": platform.machine(),
    }


def _last_metrics(run: Path) -> dict[str, float | None]:
    """Step and validation metrics of the last validation in the log; None for what was no number."""
    nothing: dict[str, Any] = {}
    last = next((entry for entry in reversed(read_log(run)) if "val_score" in entry), nothing)
    metrics = {name: value for name, value in last.items() if name.startswith("val_") or name == "step"}
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}
