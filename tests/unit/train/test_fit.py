"""The loop: the same weights by seed, whether or not it was stopped on the way."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from medimg.errors import TrainingError
from medimg.train import fit as fit_module
from medimg.train.config import TrainConfig, read_config
from medimg.train.fit import fit, learning_rate

CPU = torch.device("cpu")


class Doubling:
    """Learn to double a random image: deterministic by (seed, step), with a state that `refresh` changes."""

    def __init__(self, seed: int, poison_at: int | None = None) -> None:
        self.seed, self.poison_at, self.offset = seed, poison_at, 0

    def batch(self, step):
        generator = torch.Generator().manual_seed(self.seed + step + self.offset)
        image = torch.randn(2, 1, 8, 8, 8, generator=generator)
        if step == self.poison_at:
            image *= float("nan")
        return {"image": image, "target": 2 * image}

    def loss(self, output, batch):
        return {"loss": (output - batch["target"]).pow(2).mean()}

    def validate(self, network):
        batch = self.batch(10_000)
        return {"score": -float(self.loss(network(batch["image"]), batch)["loss"])}

    def refresh(self, network, step):
        self.offset = 1000 * step

    def state_dict(self):
        return {"offset": self.offset}

    def load_state_dict(self, state):
        self.offset = state["offset"]


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.Conv3d(4, 1, 1))


def config(**changes):
    options = {"task": {"_target_": "x"}, "steps": 12, "seed": 3, "warmup": 2, "precision": "fp32"}
    return TrainConfig(**{**options, "validate_every": 6, "refresh_every": 4, "checkpoint_every": 5, **changes})


def test_training_lowers_the_loss(tmp_path):
    state = fit(config(steps=60, lr=0.02), network(), Doubling(3), tmp_path, device=CPU)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert log[-1]["loss"] < log[0]["loss"] / 2
    assert state.best == max(entry["val_score"] for entry in log if "val_score" in entry)


def test_a_run_stopped_on_the_way_ends_with_the_same_weights(tmp_path, monkeypatch):
    whole = fit(config(), network(), Doubling(3), tmp_path / "whole", device=CPU)

    class KilledError(Exception):
        pass

    def kill_at_seven(config, state, device, step=fit_module._train_step):
        if state.step == 7:
            raise KilledError
        return step(config, state, device)

    monkeypatch.setattr(fit_module, "_train_step", kill_at_seven)
    with pytest.raises(KilledError):
        fit(config(), network(), Doubling(3), tmp_path / "cut", device=CPU)
    monkeypatch.undo()
    resumed = fit(config(), network(), Doubling(3), tmp_path / "cut", device=CPU)
    for name, value in whole.average.state_dict().items():
        assert torch.equal(value, resumed.average.state_dict()[name]), name


def test_a_loss_that_is_not_finite_stops_with_the_step_and_keeps_the_checkpoint(tmp_path):
    with pytest.raises(TrainingError, match="at step 8"):
        fit(config(), network(), Doubling(3, poison_at=8), tmp_path, device=CPU)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 5


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    fit(config(), network(), Doubling(3), tmp_path, device=CPU)
    with pytest.raises(TrainingError, match="another network"):
        fit(config(), nn.Conv3d(1, 1, 1), Doubling(3), tmp_path, device=CPU)


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path):
    fit(config(digest="a"), network(), Doubling(3), tmp_path, device=CPU)
    with pytest.raises(TrainingError, match="another configuration"):
        fit(config(digest="b"), network(), Doubling(3), tmp_path, device=CPU)


def test_the_learning_rate_rises_then_falls_to_zero():
    options = config(steps=100, warmup=10, lr=1.0)
    rates = [learning_rate(options, step) for step in range(101)]
    assert max(rates) == rates[10] == 1.0
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: 5", "task not given"),
        ("task: {_target_: x}\nsteps: 5\nsped: 1", "unknown options sped"),
        ("task: {_target_: x}\nsteps: 0", "at least 1"),
        ("task: {a: 1}\nsteps: 5", "_target_"),
        ("[1]", "not a mapping"),
        ("a: [", "cannot read"),
    ],
)
def test_a_bad_configuration_is_told(tmp_path, text, message):
    (tmp_path / "train.yaml").write_text(text)
    with pytest.raises(TrainingError, match=message):
        read_config(tmp_path / "train.yaml")
