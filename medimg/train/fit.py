"""The training loop: deterministic batches by step, EMA, bf16, checkpoints, exact resume.

for step: batch -> loss -> clipped AdamW step -> EMA; every so often: refresh, validate, checkpoint
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
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
LOG = "log.jsonl"

Log = Callable[[dict[str, Any]], None]


@dataclass
class State:
    """All that a resumed run needs to go on as if it had never stopped."""

    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    task: Task
    step: int = 0
    best: float = -math.inf
    seconds: float = 0.0


def fit(
    config: TrainConfig,
    network: nn.Module,
    task: Task,
    folder: Path,
    *,
    device: torch.device,
    log: Log | None = None,
) -> State:
    """Train `network` on `task` and leave best.pt, last.pt (EMA weights), checkpoint.pt and log.jsonl in `folder`.

    A checkpoint in `folder` is taken up at exactly its step. Raises TrainingError on a loss that is not finite
    (the last checkpoint stays) and on a checkpoint of another network or configuration.
    """
    torch.manual_seed(config.seed)
    network.to(device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    state = State(network, _averaged(network), _optimiser(config, network), task)
    folder.mkdir(parents=True, exist_ok=True)
    _resume(config, state, folder, device)
    began = time.monotonic() - state.seconds
    while state.step < config.steps:
        if _due(config.refresh_every, state.step):
            task.refresh(state.average, state.step)
        entry = _train_step(config, state, device)
        state.step += 1
        state.seconds = time.monotonic() - began
        last = state.step == config.steps
        if last or _due(config.validate_every, state.step):
            entry |= _validate(state, folder)
        if last or _due(config.checkpoint_every, state.step):
            _save_checkpoint(config, state, folder)
        _write_log(entry | {"step": state.step, "seconds": round(state.seconds, 1)}, folder, log)
    _save(state.average.state_dict(), folder / LAST_WEIGHTS)
    return state


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then half a cosine to zero (Loshchilov and Hutter, SGDR, 2017, without restarts)."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * progress))


def _train_step(config: TrainConfig, state: State, device: torch.device) -> dict[str, Any]:
    batch = {name: value.to(device) for name, value in state.task.batch(state.step).items()}
    rate = learning_rate(config, state.step)
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    state.network.train()
    image = batch["image"].contiguous(memory_format=torch.channels_last_3d)
    with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        output = state.network(image)
    losses = state.task.loss(output.float(), batch)
    values = {name: float(value.detach()) for name, value in losses.items()}
    if not math.isfinite(values["loss"]):
        raise TrainingError(
            f"the loss is {values['loss']} at step {state.step}; lower lr or check the data (checkpoint kept)"
        )
    state.optimiser.zero_grad(set_to_none=True)
    losses["loss"].backward()
    nn.utils.clip_grad_norm_(state.network.parameters(), config.clip)
    state.optimiser.step()
    _follow(state.average, state.network, min(config.ema, (1 + state.step) / (10 + state.step)))
    return values | {"lr": rate}


def _validate(state: State, folder: Path) -> dict[str, Any]:
    state.average.eval()
    with torch.no_grad():
        metrics = state.task.validate(state.average)
    if metrics["score"] >= state.best:
        state.best = metrics["score"]
        _save(state.average.state_dict(), folder / BEST_WEIGHTS)
    return {f"val_{name}": value for name, value in metrics.items()}


def _averaged(network: nn.Module) -> nn.Module:
    average = deepcopy(network)
    for parameter in average.parameters():
        parameter.requires_grad_(False)
    return average.eval()


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """average <- decay * average + (1 - decay) * network, BatchNorm statistics included."""
    theirs = network.state_dict()
    for name, value in average.state_dict().items():
        if value.dtype.is_floating_point:
            value.lerp_(theirs[name], 1 - decay)
        else:
            value.copy_(theirs[name])


def _optimiser(config: TrainConfig, network: nn.Module) -> torch.optim.Optimizer:
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.lr)


def _due(every: int, step: int) -> bool:
    return every > 0 and step > 0 and step % every == 0


def _save(document: Any, path: Path) -> None:
    with files.atomic_path(path) as temporary:
        torch.save(document, temporary)


def _save_checkpoint(config: TrainConfig, state: State, folder: Path) -> None:
    document = {
        "config": config.digest,
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "task": state.task.state_dict(),
        "step": state.step,
        "best": state.best,
        "seconds": state.seconds,
    }
    _save(document, folder / CHECKPOINT)


def _resume(config: TrainConfig, state: State, folder: Path, device: torch.device) -> None:
    path = folder / CHECKPOINT
    if not path.exists():
        return
    document = torch.load(path, map_location=device, weights_only=True)
    if document["config"] != config.digest:
        raise TrainingError(f"{path} was made with another configuration; choose another -o folder")
    try:
        state.network.load_state_dict(document["network"])
        state.average.load_state_dict(document["average"])
    except RuntimeError as error:
        raise TrainingError(f"{path} belongs to another network; choose another -o folder") from error
    state.optimiser.load_state_dict(document["optimiser"])
    state.task.load_state_dict(document["task"])
    state.step, state.best, state.seconds = document["step"], document["best"], document["seconds"]


def _write_log(entry: dict[str, Any], folder: Path, log: Log | None) -> None:
    with (folder / LOG).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(entry) + os.linesep)
    if log is not None:
        log(entry)
