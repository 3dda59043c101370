"""The loop: the same weights by seed, whether or not it was stopped on the way."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from medimg.errors import OutputError, TrainingError
from medimg.train import fit as fit_module
from medimg.train.checkpoint import save
from medimg.train.config import TrainConfig, read_config
from medimg.train.fit import fit, learning_rate
from medimg.train.journal import read_log

CPU = torch.device("cpu")


class Doubling:
    """Learn to double a random image: deterministic by (seed, step), with a state that `refresh` changes."""

    def __init__(self, seed: int, poison_at: int | None = None, training=("one", "two")) -> None:
        self.seed, self.poison_at, self.offset = seed, poison_at, 0
        self.cases = {"training": list(training), "validation": ["three"]}

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
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert log[-1]["loss"] < log[0]["loss"] / 2
    assert state.best == max(entry["val_score"] for entry in log if "val_score" in entry)


def test_a_run_stopped_on_the_way_ends_with_the_same_weights(tmp_path, monkeypatch):
    whole = fit(config(), network(), Doubling(3), tmp_path / "whole", device=CPU)

    class KilledError(Exception):
        pass

    def kill_at_seven(config, state, *others, step=fit_module._train_step):
        if state.step == 7:
            raise KilledError
        return step(config, state, *others)

    monkeypatch.setattr(fit_module, "_train_step", kill_at_seven)
    with pytest.raises(KilledError):
        fit(config(), network(), Doubling(3), tmp_path / "cut", device=CPU)
    monkeypatch.undo()
    resumed = fit(config(), network(), Doubling(3), tmp_path / "cut", device=CPU)
    for name, value in whole.average.state_dict().items():
        assert torch.equal(value, resumed.average.state_dict()[name]), name
    steps = [entry["step"] for entry in read_log(tmp_path / "cut")]
    assert steps == list(range(1, 13))  # what was logged after the checkpoint is not there twice


def test_a_line_the_kill_cut_short_is_left_out_of_the_log(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert read_log(tmp_path) == [{"step": 1, "loss": 2.0}]


def test_several_batches_a_step_average_gradients_and_batchnorm(tmp_path):
    both = fit(config(batches_per_step=2, steps=1, warmup=0), network(), Doubling(3), tmp_path, device=CPU)
    single = network()
    means = []
    for index in (0, 1):
        fresh = network().train()
        batch = Doubling(3).batch(index)
        loss = (fresh(batch["image"]) - batch["target"]).pow(2).mean() / 2
        loss.backward()
        means.append(fresh[1].running_mean)
        for mine, theirs in zip(single.parameters(), fresh.parameters(), strict=True):
            mine.grad = theirs.grad if mine.grad is None else mine.grad + theirs.grad
    nn.utils.clip_grad_norm_(single.parameters(), 5.0)
    for mine, theirs in zip(single.parameters(), both.network.parameters(), strict=True):
        assert torch.allclose(mine.grad, theirs.grad, atol=1e-6)
    assert torch.allclose(both.network[1].running_mean, sum(means) / 2, atol=1e-6)


def test_a_run_without_progress_stops_early_and_says_where(tmp_path):
    scores = iter([2.0, 1.0, 1.0])
    task = Doubling(3)
    task.validate = lambda _network: {"score": next(scores)}
    state = fit(config(steps=100, validate_every=3, patience=2), network(), task, tmp_path, device=CPU)
    assert (state.step, state.best, state.waited) == (9, 2.0, 2)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 9
    assert (tmp_path / "last.pt").exists()


def test_curves_are_drawn(tmp_path):
    fit(config(), network(), Doubling(3), tmp_path, device=CPU)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_tensorboard_events_follow_the_log(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    fit(config(), network(), Doubling(3), tmp_path, device=CPU)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    losses = [event.value for event in events.Scalars("loss")]
    assert losses == pytest.approx([entry["loss"] for entry in read_log(tmp_path)])
    assert [event.step for event in events.Scalars("validation/score")] == [6, 12]


FULL = """
import resource, signal, sys
from pathlib import Path
import torch
from medimg.errors import OutputError
from medimg.train.checkpoint import save
path = Path(sys.argv[1])
save({"weights": torch.ones(10)}, path)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save({"weights": torch.zeros(2_000_000)}, path)
except OutputError as error:
    print(error)
"""


def test_a_file_the_system_refuses_to_write_on_keeps_the_one_before(tmp_path):
    """A real limit, in a process of its own: torch raises what no test would make up (`basic_ios::clear`)."""
    path = tmp_path / "checkpoint.pt"
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == f"cannot write {path}: File too large; free space or choose another folder with -o\n"
    assert torch.load(path, weights_only=True)["weights"].tolist() == [1.0] * 10
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")
def test_a_full_disk_is_told_as_the_system_says_it(tmp_path, monkeypatch):
    """Every byte goes to /dev/full, a disk without space."""
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, *mode: opened(Path("/dev/full") if "wb" in mode else path, *mode))
    with pytest.raises(OutputError, match="No space left on device"):
        save({"weights": torch.zeros(2_000_000)}, tmp_path / "checkpoint.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_checkpoint_is_told(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"PK\3\4 but not for long")
    with pytest.raises(TrainingError, match="is damaged"):
        fit(config(), network(), Doubling(3), tmp_path, device=CPU)


@pytest.mark.parametrize("schedule", ["cosine", "poly"])
def test_schedules_end_at_zero(schedule):
    assert learning_rate(config(steps=100, schedule=schedule), 100) == pytest.approx(0.0)


def test_another_optimiser_can_be_named(tmp_path):
    sgd = {"_target_": "torch.optim.SGD", "momentum": 0.9, "nesterov": True}
    state = fit(config(optimiser=sgd), network(), Doubling(3), tmp_path, device=CPU)
    assert isinstance(state.optimiser, torch.optim.SGD)
    assert state.optimiser.param_groups[0]["nesterov"]
    with pytest.raises(TrainingError, match="cannot make the optimiser"):
        fit(config(optimiser={"_target_": "torch.optim.Nothing"}), network(), Doubling(3), tmp_path, device=CPU)


def test_a_loss_that_is_not_finite_stops_with_the_step_and_keeps_the_checkpoint(tmp_path):
    with pytest.raises(TrainingError, match="at step 8"):
        fit(config(), network(), Doubling(3, poison_at=8), tmp_path, device=CPU)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 5


@pytest.mark.parametrize("step", [8, 11])
def test_a_gradient_that_is_not_finite_stops_before_it_is_stepped_with_and_keeps_what_was_good(tmp_path, step):
    class Rooted(Doubling):
        def loss(self, output, batch):
            told = super().loss(output, batch)["loss"]
            return {"loss": told + (output * 0).abs().sqrt().sum() if self.seen == step else told}

        def batch(self, index):
            self.seen = index
            return super().batch(index)

    with pytest.raises(TrainingError, match=rf"norm of the gradient is nan at step {step}.*checkpoint of step \d+ is"):
        fit(config(checkpoint_every=1), network(), Rooted(3), tmp_path, device=CPU)
    document = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert document["step"] == step
    assert all(bool(value.isfinite().all()) for value in document["average"].values())
    assert not (tmp_path / "last.pt").exists()


def test_statistics_that_overflow_are_never_saved(tmp_path):
    """BatchNorm's running variance of huge activations is infinite where loss and gradient still are finite."""

    class Huge(Doubling):
        def batch(self, index):
            batch = super().batch(index)
            return {**batch, "image": batch["image"] * (1e30 if index == 7 else 1)}

    with pytest.raises(TrainingError, match="running_var of the network is not finite after step 8"):
        fit(config(checkpoint_every=1, refresh_every=0), network(), Huge(3), tmp_path, device=CPU)
    document = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert document["step"] == 7
    assert all(bool(value.isfinite().all()) for value in document["network"].values())


def test_a_checkpoint_with_weights_that_are_not_finite_is_not_gone_on_from(tmp_path):
    fit(config(), network(), Doubling(3), tmp_path, device=CPU)
    document = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    document["average"]["0.weight"][0] = float("nan")
    torch.save(document, tmp_path / "checkpoint.pt")
    with pytest.raises(TrainingError, match=r"0\.weight is not finite; remove it"):
        fit(config(), network(), Doubling(3), tmp_path, device=CPU)


@pytest.mark.parametrize("metrics", [{"score": float("nan")}, {"score": float("inf")}, {"dice": 0.5}])
def test_a_score_that_is_no_number_stops_the_run(tmp_path, metrics):
    task = Doubling(3)
    task.validate = lambda _network: metrics
    with pytest.raises(TrainingError, match=r"validation score is (nan|inf) at step 6.*checkpoint of step 5 is kept"):
        fit(config(), network(), task, tmp_path, device=CPU)
    assert not (tmp_path / "best.pt").exists()
    assert not (tmp_path / "last.pt").exists()


def test_a_checkpoint_of_other_cases_or_another_start_is_refused(tmp_path):
    fit(config(), network(), Doubling(3), tmp_path, device=CPU, start="a" * 64)
    with pytest.raises(TrainingError, match="was trained or validated on other cases"):
        fit(config(), network(), Doubling(3, training=("one",)), tmp_path, device=CPU, start="a" * 64)
    with pytest.raises(TrainingError, match="began with other weights"):
        fit(config(), network(), Doubling(3), tmp_path, device=CPU)


def test_a_checkpoint_from_before_cases_were_kept_in_it_is_gone_on_from(tmp_path):
    fit(config(), network(), Doubling(3), tmp_path, device=CPU)
    document = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    torch.save({name: value for name, value in document.items() if name not in ("cases", "start")}, tmp_path / "old.pt")
    (tmp_path / "old.pt").replace(tmp_path / "checkpoint.pt")
    assert fit(config(), network(), Doubling(3), tmp_path, device=CPU, start="b").step == 12


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (lambda path: torch.save(network().state_dict(), path), "is no checkpoint of medimg train"),
        (lambda path: torch.save(torch.zeros(3), path), "is no checkpoint of medimg train"),
        (lambda path: path.touch(), "is damaged, or no checkpoint"),
        (lambda path: path.write_bytes(b"hello world, no checkpoint " * 40), "is damaged, or no checkpoint"),
        (lambda path: path.write_bytes(pickle.dumps(Doubling, protocol=2)), "is damaged, or no checkpoint"),
        (lambda path: path.mkdir(), "is damaged, or no checkpoint"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_told_in_one_line(tmp_path, written, words):
    written(tmp_path / "checkpoint.pt")
    with pytest.raises(TrainingError, match=words) as caught:
        fit(config(), network(), Doubling(3), tmp_path, device=CPU)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    fit(config(), network(), Doubling(3), tmp_path, device=CPU)
    with pytest.raises(TrainingError, match="another network"):
        fit(config(), nn.Conv3d(1, 1, 1), Doubling(3), tmp_path, device=CPU)


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path):
    fit(config(digest="a"), network(), Doubling(3), tmp_path, device=CPU)
    with pytest.raises(TrainingError, match="another configuration"):
        fit(config(digest="b"), network(), Doubling(3), tmp_path, device=CPU)


def test_the_learning_rate_is_held_before_it_falls():
    options = config(steps=100, warmup=10, hold=40, lr=1.0)
    rates = [learning_rate(options, step) for step in range(101)]
    assert rates[10:51] == [1.0] * 41
    assert all(a > b for a, b in pairwise(rates[50:]))
    assert rates[-1] == pytest.approx(0, abs=1e-9)


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
        ("task: {a: 1}\nsteps: 5", "task has no _target_"),
        ("task: 3\nsteps: 5", "task has no _target_"),
        ("task: {_target_: 3}\nsteps: 5", "task has no _target_"),
        ("task: {_target_: x}\nsteps: 5\nnetwork: unet", "network has no _target_"),
        ("task: {_target_: x}\nsteps: 5\noptimiser:", "optimiser has no _target_"),
        ("task: {_target_: x}\nsteps: many", "steps is 'many'; it must be a whole number of at least 1"),
        ("task: {_target_: x}\nsteps: 5\nlr: 3e-3", "lr is '3e-3', no number; write it like 0.001"),
        ("task: {_target_: x}\nsteps: 5\nlr: -1", "lr is -1; it must be 0 or more"),
        ("task: {_target_: x}\nsteps: 5\nlr: .nan", "lr is nan"),
        ("task: {_target_: x}\nsteps: 5\nclip: 0", "clip is 0; it must be above 0"),
        ("task: {_target_: x}\nsteps: 5\nema: 1", "ema is 1; it must be from 0 to below 1"),
        ("task: {_target_: x}\nsteps: 5\nwarmup: -5", "warmup is -5"),
        ("task: {_target_: x}\nsteps: 5\nvalidate_every: 2.5", "validate_every is 2.5"),
        ("task: {_target_: x}\nsteps: 5\nthreads: true", "threads is True"),
        ("task: {_target_: x}\nsteps: 5\nseed:", "seed is None"),
        ("task: {_target_: x}\nsteps: 5\nschedule: never", "choose one of cosine"),
        ("task: {_target_: x}\nsteps: 5\nbatches_per_step: 0", "at least 1"),
        ("[1]", "not a mapping"),
        ("a: [", "cannot read"),
    ],
)
def test_a_bad_configuration_is_told(tmp_path, text, message):
    (tmp_path / "train.yaml").write_text(text)
    with pytest.raises(TrainingError, match=message):
        read_config(tmp_path / "train.yaml")
