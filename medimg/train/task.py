"""What a pipeline brings to training; `medimg.train.fit` brings everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from monai.bundle import ConfigParser
from torch import Tensor, nn

from medimg.errors import MedimgError, TrainingError

OFFERED = ("cases", "batch", "loss", "validate", "refresh", "state_dict", "load_state_dict")
"""What a task must have."""


class Task(Protocol):
    """Patches, loss and validation of one pipeline.

    Built with `data` (path) and `seed` (int) among its options, and with `fold` ("k/n") when `--fold` is given.

    cases: use ("training", "validation", ...) -> names of the cases, for the record of the run.
    """

    cases: dict[str, list[str]]

    def batch(self, index: int) -> dict[str, Tensor]:
        """Training batch: "image" (B, C, *S) float32 and targets; a pure function of (seed, index, refreshed state).

        The index counts batches from 0; it is the step where a step has one batch.
        """
        ...

    def loss(self, output: Tensor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Scalars; the one named "loss" is minimised, the others are logged."""
        ...

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Metrics of `network` (averaged weights, eval mode) on held-out cases; "score": higher is better."""
        ...

    def refresh(self, network: nn.Module, step: int) -> None:
        """Renew what depends on the network, such as mined hard negatives. Called every `refresh_every` steps."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Refreshed state as tensors and plain values, for the checkpoint."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state saved by `state_dict`."""
        ...


def make_task(component: dict[str, Any], data: Path, seed: int) -> Task:
    """The task of a training configuration on `data`.

    Raises TrainingError when there is no such class, it takes other options or is no task, and what the task raises.
    """
    name = component["_target_"]
    try:
        made = ConfigParser({"task": {**component, "data": str(data), "seed": seed}}).get_parsed_content("task")
    except (ImportError, ValueError, LookupError) as error:
        raise TrainingError(f"train config: cannot build the task {name}: {' '.join(str(error).split())}") from error
    except RuntimeError as error:
        # MONAI wraps what the task itself raised
        if isinstance(error.__cause__, MedimgError):
            raise error.__cause__ from error
        if isinstance(error.__cause__, TypeError):
            raise TrainingError(f"task {name} does not take its options: {error.__cause__}") from error
        raise
    if missing := [part for part in OFFERED if not hasattr(made, part)]:
        raise TrainingError(f"train config: {name} is no task, it has no {', '.join(missing)}; see docs/train.md")
    task: Task = made
    return task
