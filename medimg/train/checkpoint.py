"""The state of a run and its files: a checkpoint to go on from, the best and the last averaged weights."""

from __future__ import annotations

import math
import pickle
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from medimg import files
from medimg.errors import TrainingError
from medimg.train.config import TrainConfig
from medimg.train.task import Task

CHECKPOINT = "checkpoint.pt"
BEST_WEIGHTS = "best.pt"
LAST_WEIGHTS = "last.pt"


@dataclass
class State:
    """All that a resumed run needs to go on as if it had never stopped.

    average: the exponential mean of the weights. waited: validations since the best score.
    """

    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    task: Task
    step: int = 0
    best: float = -math.inf
    waited: int = 0
    seconds: float = 0.0


def averaged(network: nn.Module) -> nn.Module:
    """A copy that follows the network without gradients."""
    average = deepcopy(network)
    for parameter in average.parameters():
        parameter.requires_grad_(False)
    return average.eval()


def save(document: Any, path: Path) -> None:
    """Write atomically: a full disk or a kill leaves the file of before. Raises OutputError."""
    with files.atomic_path(path) as temporary:
        torch.save(document, temporary)


def save_checkpoint(config: TrainConfig, state: State, folder: Path) -> None:
    """Write folder/checkpoint.pt."""
    document = {
        "config": config.digest,
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "task": state.task.state_dict(),
        "step": state.step,
        "best": state.best,
        "waited": state.waited,
        "seconds": state.seconds,
    }
    save(document, folder / CHECKPOINT)


def resume(config: TrainConfig, state: State, folder: Path, device: torch.device) -> None:
    """Take up folder/checkpoint.pt if it is there. Raises TrainingError when it belongs to another run."""
    path = folder / CHECKPOINT
    if not path.exists():
        return
    try:
        document = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise TrainingError(f"{path} is damaged ({error}); remove it to begin again") from error
    if document["config"] != config.digest:
        raise TrainingError(f"{path} was made with another configuration or fold; choose another -o folder")
    try:
        state.network.load_state_dict(document["network"])
        state.average.load_state_dict(document["average"])
        state.optimiser.load_state_dict(document["optimiser"])
    except (RuntimeError, ValueError) as error:
        raise TrainingError(f"{path} belongs to another network; choose another -o folder") from error
    state.task.load_state_dict(document["task"])
    state.step, state.best, state.waited = document["step"], document["best"], document["waited"]
    state.seconds = document["seconds"]
