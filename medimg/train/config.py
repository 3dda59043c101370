"""The training configuration: one YAML file, validated when it is read."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from medimg.errors import TrainingError

PRECISIONS = ("fp32", "bf16")
SCHEDULES = ("cosine", "poly", "constant")
STARTS = ("fresh", "bundle")
ADAMW = {"_target_": "torch.optim.AdamW"}

LEAST = {
    **dict.fromkeys(("steps", "batches_per_step"), 1),
    **dict.fromkeys(("seed", "warmup", "hold", "threads", "patience"), 0),
    **dict.fromkeys(("validate_every", "refresh_every", "checkpoint_every"), 0),
}
"""Options that are whole numbers, and the least each may be."""

NUMBERS: dict[str, tuple[Callable[[float], bool], str]] = {
    "lr": (lambda value: value >= 0, "0 or more"),
    "weight_decay": (lambda value: value >= 0, "0 or more"),
    "clip": (lambda value: value > 0, "above 0"),
    "ema": (lambda value: 0 <= value < 1, "from 0 to below 1"),
}
"""Options that are numbers, and what each may be."""


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained. `task` and `optimiser` are MONAI components (`_target_` and its options).

    network: replaces the bundle's `network_def`. start: fresh weights, or those of the pipeline's bundle. steps:
    optimiser steps. batches_per_step: batches whose gradients are averaged in one step; torchrun's processes share
    them out, so that their number does not change the result. lr: rises linearly over `warmup` steps, stays for
    `hold` steps, then follows `schedule`. clip: gradient norm limit. ema: decay of the averaged weights per step.
    patience: validations without a better score before the run stops. *_every: in steps. 0 is never for `patience`
    and `*_every`.
    """

    task: dict[str, Any]
    steps: int
    network: dict[str, Any] | None = None
    optimiser: dict[str, Any] = field(default_factory=lambda: dict(ADAMW))
    schedule: str = "cosine"
    seed: int = 0
    batches_per_step: int = 1
    lr: float = 3e-3
    weight_decay: float = 0.01
    warmup: int = 100
    hold: int = 0
    start: str = "fresh"
    clip: float = 5.0
    ema: float = 0.998
    precision: str = "bf16"
    threads: int = 0
    patience: int = 0
    validate_every: int = 500
    refresh_every: int = 0
    checkpoint_every: int = 250
    digest: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise TrainingError(f"train config: {name} is {value!r}; it must be a whole number of at least {least}")
        for name, (fits, told) in NUMBERS.items():
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                # YAML 1.1 reads an exponent only after a decimal point
                raise TrainingError(f"train config: {name} is {value!r}, no number; write it like 0.001 or 1.0e-3")
            if not math.isfinite(value) or not fits(value):
                raise TrainingError(f"train config: {name} is {value}; it must be {told}")
        for name, known in (("precision", PRECISIONS), ("schedule", SCHEDULES), ("start", STARTS)):
            if getattr(self, name) not in known:
                raise TrainingError(f"train config: {name} {getattr(self, name)!r}; choose one of {', '.join(known)}")
        for name in ("task", "optimiser", "network"):
            component = getattr(self, name)
            if component is None and name == "network":
                continue
            if not isinstance(component, dict) or not isinstance(component.get("_target_"), str):
                raise TrainingError(f"train config: {name} has no _target_; name its class, and its options beside it")

    def with_task(self, **options: Any) -> TrainConfig:
        """The configuration with other options of the task; its digest tells it from this one."""
        told = f"{self.digest} {sorted(options.items())}"
        task = {**self.task, **options}
        return replace(self, task=task, digest=hashlib.sha256(told.encode()).hexdigest())


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
