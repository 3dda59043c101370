"""The state of a run and its files: a checkpoint to go on from, the best and the last averaged weights."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
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

KEYS = frozenset({"config", "network", "average", "optimiser", "task", "step", "best", "waited", "seconds"})
"""Of every checkpoint; those of old runs name neither their cases nor their start."""

UNREADABLE = (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError, LookupError, TypeError)
"""What torch.load raises of files that torch did not write."""


@dataclass
class State:
    """All that a resumed run needs to go on as if it had never stopped.

    average: the exponential mean of the weights. start: digest of the weights it began with, None for random ones.
    waited: validations since the best score.
    """

    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    task: Task
    start: str | None = None
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
    with files.atomic_path(path) as temporary, temporary.open("wb") as stream:
        try:
            torch.save(document, stream)
        except RuntimeError as error:
            # torch's archive complains of its own position when the system refused the bytes before
            refused = error.__context__
            raise refused if isinstance(refused, OSError) else OSError(f"torch cannot save it ({error})") from error


def save_checkpoint(config: TrainConfig, state: State, folder: Path) -> None:
    """Write folder/checkpoint.pt."""
    document = {
        "config": config.digest,
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "task": state.task.state_dict(),
        "cases": state.task.cases,
        "start": state.start,
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
    document = _read(path, device)
    another = "choose another -o folder"
    if document["config"] != config.digest:
        raise TrainingError(f"{path} was made with another configuration or fold; {another}")
    if document.get("cases", state.task.cases) != state.task.cases:
        raise TrainingError(f"{path} was trained or validated on other cases; {another}, or bring back its --data")
    if document.get("start", state.start) != state.start:
        raise TrainingError(f"{path} began with other weights; {another}, or give the --start it had")
    try:
        state.network.load_state_dict(document["network"])
        state.average.load_state_dict(document["average"])
        state.optimiser.load_state_dict(document["optimiser"])
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise TrainingError(f"{path} belongs to another network; {another}") from error
    if (name := _not_finite(state)) is not None:
        raise TrainingError(f"{path}: {name} is not finite; remove it to begin again")
    state.task.load_state_dict(document["task"])
    state.step, state.best, state.waited = document["step"], document["best"], document["waited"]
    state.seconds = document["seconds"]


def require_finite(state: State, folder: Path) -> None:
    """Raise TrainingError when a weight or statistic, of the network or of its average, is NaN or infinite."""
    if (name := _not_finite(state)) is not None:
        told = f"{name} of the network is not finite after step {state.step}"
        raise TrainingError(f"{told}; lower lr or check the data ({kept(folder)})")


def kept(folder: Path) -> str:
    """What a run that stops leaves to go on from, in words."""
    path = folder / CHECKPOINT
    try:
        return f"the checkpoint of step {_read(path, torch.device('cpu'))['step']} is kept"
    except TrainingError:
        return "no checkpoint was written yet"


def _read(path: Path, device: torch.device) -> Mapping[str, Any]:
    """The checkpoint at `path`. Raises TrainingError for what is none."""
    try:
        document = torch.load(path, map_location=device, weights_only=True)
    except UNREADABLE as error:
        raise TrainingError(f"{path} is damaged, or no checkpoint; remove it to begin again") from error
    if not isinstance(document, dict) or not set(document) >= KEYS:
        raise TrainingError(f"{path} is no checkpoint of medimg train; choose another -o folder, or remove it")
    return document


def _not_finite(state: State) -> str | None:
    """Name of the first weight or statistic that is not; None where all are."""
    for network in (state.network, state.average):
        for name, value in network.state_dict().items():
            if value.is_floating_point() and not bool(value.isfinite().all()):
                return str(name)
    return None
