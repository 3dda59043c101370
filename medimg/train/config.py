"""The training configuration: one YAML file, validated when it is read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from medimg.errors import TrainingError

PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained. `task` is a MONAI component (`_target_` and its options).

    steps: optimiser steps; lr rises linearly over `warmup` steps and falls by a half cosine to 0.
    clip: gradient norm limit. ema: decay of the averaged weights per step. *_every: in steps, 0 is never.
    """

    task: dict[str, Any]
    steps: int
    seed: int = 0
    lr: float = 3e-3
    weight_decay: float = 0.01
    warmup: int = 100
    clip: float = 5.0
    ema: float = 0.998
    precision: str = "bf16"
    threads: int = 0
    validate_every: int = 500
    refresh_every: int = 0
    checkpoint_every: int = 250
    digest: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise TrainingError(f"train config: steps is {self.steps}; it must be at least 1")
        if self.precision not in PRECISIONS:
            raise TrainingError(f"train config: precision {self.precision!r}; choose one of {', '.join(PRECISIONS)}")
        if "_target_" not in self.task:
            raise TrainingError("train config: task has no _target_; name the task's class")


def read_config(path: Path) -> TrainConfig:
    """Read and validate a training YAML. Raises TrainingError."""
    try:
        text = path.read_text(encoding="utf-8")
        document = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TrainingError(f"cannot read the training configuration {path}: {error}") from error
    if not isinstance(document, dict):
        raise TrainingError(f"{path} is not a mapping of options; see docs/train.md")
    known = {entry.name for entry in fields(TrainConfig)} - {"digest"}
    if unknown := sorted(set(document) - known):
        raise TrainingError(f"{path}: unknown options {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    if missing := sorted({"task", "steps"} - set(document)):
        raise TrainingError(f"{path}: {', '.join(missing)} not given")
    return TrainConfig(**document, digest=hashlib.sha256(text.encode()).hexdigest())
