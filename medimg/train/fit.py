"""The training loop: deterministic batches by step, EMA, bf16, checkpoints, exact resume, one process or several.

for step: batches -> losses -> mean gradient -> clipped optimiser step -> EMA; every so often: refresh, validate, save
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monai.utils import instantiate
from torch import Tensor, nn

from medimg.errors import TrainingError
from medimg.train.checkpoint import (
    BEST_WEIGHTS,
    LAST_WEIGHTS,
    State,
    averaged,
    kept,
    require_finite,
    resume,
    save,
    save_checkpoint,
)
from medimg.train.config import TrainConfig
from medimg.train.journal import Journal
from medimg.train.parallel import Group
from medimg.train.statistics import Statistics
from medimg.train.task import Task

Log = Callable[[dict[str, Any]], None]

EMA_START = 10
"""The averaged weights follow faster at first: decay (1 + step) / (10 + step) until `ema` is reached."""

POLY_POWER = 0.9
"""Of the polynomial schedule (nnU-Net; Isensee et al., Nature Methods 2021)."""


def fit(
    config: TrainConfig,
    network: nn.Module,
    task: Task,
    folder: Path,
    *,
    device: torch.device,
    log: Log | None = None,
    group: Group | None = None,
    start: str | None = None,
) -> State:
    """Train `network` on `task`; leave best.pt, last.pt (EMA weights), checkpoint.pt and the journal in `folder`.

    A checkpoint in `folder` is taken up at exactly its step. start: digest of the weights that `network` begins with.
    Raises TrainingError on a loss, gradient, weight or score that is not finite (the last checkpoint stays), and on a
    checkpoint of another network, configuration, start or other cases.
    """
    group = group or Group()
    network.to(device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    state = State(network, averaged(network), _optimiser(config, network), task, start)
    folder.mkdir(parents=True, exist_ok=True)
    resume(config, state, folder, device)
    journal = Journal(folder, state.step) if group.leads else None
    began = time.monotonic() - state.seconds
    while state.step < config.steps and not _out_of_patience(config, state):
        if _due(config.refresh_every, state.step):
            group.refresh(task, state.average, state.step)
        entry = _train_step(config, state, device, group, folder)
        state.step += 1
        state.seconds = time.monotonic() - began
        last = state.step == config.steps
        if last or _due(config.validate_every, state.step):
            entry |= _validate(state, folder, group)
            last |= _out_of_patience(config, state)
        if group.leads and (last or _due(config.checkpoint_every, state.step)):
            require_finite(state, folder)
            save_checkpoint(config, state, folder)
        if journal is not None:
            entry |= {"step": state.step, "seconds": round(state.seconds, 1)}
            journal.write(entry)
            if log is not None:
                log(entry)
    if group.leads:
        save(state.average.state_dict(), folder / LAST_WEIGHTS)
    return state


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, `hold` steps as they are, then to zero: half a cosine (Loshchilov and Hutter 2017) or a power."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    falling = config.warmup + config.hold
    progress = max(0, step - falling) / max(1, config.steps - falling)
    if config.schedule == "constant":
        return config.lr
    if config.schedule == "poly":
        return float(config.lr * (1 - progress) ** POLY_POWER)
    return config.lr * 0.5 * (1 + math.cos(math.pi * progress))


def _train_step(config: TrainConfig, state: State, device: torch.device, group: Group, folder: Path) -> dict[str, Any]:
    """One optimiser step over `batches_per_step` batches; the mean of their losses."""
    rate = learning_rate(config, state.step)
    for parameters in state.optimiser.param_groups:
        parameters["lr"] = rate
    state.network.train()
    state.optimiser.zero_grad(set_to_none=True)
    statistics = Statistics(state.network)
    totals: dict[str, Tensor] = {}
    for number in group.share(config.batches_per_step):
        statistics.begin()
        losses = _backward(config, state, state.step * config.batches_per_step + number, device)
        statistics.end()
        for name, value in losses.items():
            totals[name] = totals.get(name, torch.zeros_like(value)) + value
    gradients = [parameter.grad for parameter in state.network.parameters() if parameter.grad is not None]
    group.add_up([*gradients, *totals.values(), *statistics.sums])
    for gradient in gradients:
        gradient.div_(config.batches_per_step)
    values = {name: float(total) / config.batches_per_step for name, total in totals.items()}
    # a loss can be finite where its gradient is not: the root of 0, a mean over nothing
    norm = float(nn.utils.clip_grad_norm_(state.network.parameters(), config.clip))
    for what, found in (("loss", values["loss"]), ("norm of the gradient", norm)):
        if not math.isfinite(found):
            told = f"the {what} is {found} at step {state.step}"
            raise TrainingError(f"{told}; lower lr or check the data and the loss ({kept(folder)})")
    statistics.settle(config.batches_per_step)
    state.optimiser.step()
    _follow(state.average, state.network, min(config.ema, (1 + state.step) / (EMA_START + state.step)))
    return values | {"lr": rate}


def _backward(config: TrainConfig, state: State, index: int, device: torch.device) -> dict[str, Tensor]:
    """Add the gradient of batch `index`; its losses."""
    # dropout depends on the index alone, so that a resumed run, and another process, repeats it
    torch.manual_seed(config.seed * 1_000_003 + index)
    batch = {name: value.to(device) for name, value in state.task.batch(index).items()}
    image = batch["image"].contiguous(memory_format=torch.channels_last_3d)
    with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        output = state.network(image)
    losses = state.task.loss(output.float(), batch)
    losses["loss"].backward()
    return {name: value.detach() for name, value in losses.items()}


def _validate(state: State, folder: Path, group: Group) -> dict[str, Any]:
    """Score the averaged weights in process 0, keep them when they are the best, and tell the others."""
    metrics: dict[str, float] = {}
    if group.leads:
        require_finite(state, folder)
        state.average.eval()
        with torch.no_grad():
            metrics = state.task.validate(state.average)
        score = metrics.get("score", math.nan)
        if not math.isfinite(score):
            told = f"the validation score is {score} at step {state.step}"
            raise TrainingError(f"{told}; check the cases kept for validation and the task ({kept(folder)})")
        state.waited = 0 if metrics["score"] >= state.best else state.waited + 1
        if state.waited == 0:
            state.best = metrics["score"]
            save(state.average.state_dict(), folder / BEST_WEIGHTS)
    state.best, state.waited = group.from_leader((state.best, state.waited))
    return {f"val_{name}": value for name, value in metrics.items()}


def _out_of_patience(config: TrainConfig, state: State) -> bool:
    return 0 < config.patience <= state.waited


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
    """The configured optimiser; biases and BatchNorm's scales are not decayed."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    options = {name: value for name, value in config.optimiser.items() if name != "_target_"}
    try:
        optimiser = instantiate(config.optimiser["_target_"], "default", params=groups, lr=config.lr, **options)
    except (ImportError, ModuleNotFoundError, AttributeError, TypeError, RuntimeError, ValueError) as error:
        raise TrainingError(f"train config: cannot make the optimiser {config.optimiser}: {error}") from error
    if not isinstance(optimiser, torch.optim.Optimizer):
        raise TrainingError(f"train config: optimiser {config.optimiser['_target_']} is not a torch optimiser")
    return optimiser


def _due(every: int, step: int) -> bool:
    return every > 0 and step > 0 and step % every == 0
