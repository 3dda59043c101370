"""`medimg train`: a run becomes a pipeline folder that `medimg infer` takes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from click.testing import CliRunner

from medimg.bundle import load_bundle
from medimg.cli import cli
from medimg.errors import UntrustedBundleError

CONFIG = """
task: {_target_: toy.BrightnessTask}
steps: 200
lr: 0.05
seed: 7
precision: fp32
validate_every: 50
"""
AFFINE = np.array([[-1.0, 0, 0, 20], [0, 1.0, 0, -20], [0, 0, 1.25, 5], [0, 0, 0, 1]])


SLOW_CONFIG = """
task: {_target_: toy.BrightnessTask, seconds: 0.02}
network: {_target_: toy.small_network}
steps: 60
seed: 7
warmup: 5
precision: fp32
batches_per_step: 2
validate_every: 20
refresh_every: 25
checkpoint_every: 5
"""


@pytest.fixture
def train(tmp_path):
    toy.detector(tmp_path / "pipeline")
    (tmp_path / "pipeline" / "train.yaml").write_text(CONFIG)

    def run(*options):
        arguments = ["train", "--trust", "--pipeline", str(tmp_path / "pipeline"), "--data", str(tmp_path)]
        return CliRunner().invoke(cli, [*arguments, "-o", str(tmp_path / "run"), *options], prog_name="medimg")

    return run


def test_a_run_is_a_pipeline_that_infer_takes(tmp_path, train):
    result = train()
    assert result.exit_code == 0, result.output
    assert "step 200/200" in result.stdout
    record = json.loads((tmp_path / "run" / "bundle" / "docs" / "training.json").read_text(encoding="utf-8"))
    assert (record["seed"], record["steps"], record["validation"]["step"]) == (7, 200, 200)
    weights = torch.load(tmp_path / "run" / "bundle" / "models" / "model.pt", weights_only=True)
    assert torch.allclose(weights["bias"], torch.tensor([0.0, toy.LOG_DIAMETER]), atol=0.2)
    toy.chest_crop(tmp_path / "ct.nii.gz", AFFINE, (0.0, 0.0, 25.0))
    arguments = ["--volume", str(tmp_path / "ct.nii.gz"), "--pipeline", str(tmp_path / "run" / "bundle")]
    inferred = CliRunner().invoke(cli, ["infer", *arguments, "-o", str(tmp_path / "out")], prog_name="medimg")
    assert inferred.exit_code == 0, inferred.output


def test_a_run_runs_without_asking_on_the_machine_that_trained_it_only(tmp_path, train, monkeypatch):
    config = f"network: {{_target_: toy.small_network}}\n{CONFIG}".replace("steps: 200", "steps: 20")
    (tmp_path / "pipeline" / "train.yaml").write_text(config)
    assert train().exit_code == 0
    bundle = tmp_path / "run" / "bundle"
    load_bundle(bundle)
    monkeypatch.setenv("MEDIMG_HOME", str(tmp_path / "another machine"))
    with pytest.raises(UntrustedBundleError, match=r"network_def: toy\.small_network"):
        load_bundle(bundle)
    load_bundle(bundle, trusted=True)


def test_code_that_lies_beside_a_pipeline_does_not_train_unasked(tmp_path, train):
    arguments = [
        "train",
        "--pipeline",
        str(tmp_path / "pipeline"),
        "--data",
        str(tmp_path),
        "-o",
        str(tmp_path / "run"),
    ]
    refused = CliRunner().invoke(cli, arguments, prog_name="medimg")
    assert refused.exit_code == 1
    assert "names the code that trains" in refused.stderr


def test_a_run_can_begin_with_the_weights_of_another(tmp_path, train):
    train()
    weights = tmp_path / "run" / "bundle" / "models" / "model.pt"
    start = tmp_path / "start.pt"
    start.write_bytes(weights.read_bytes())
    first = json.loads((tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()[0])
    shutil.rmtree(tmp_path / "run")
    result = train("--start", str(start))
    assert result.exit_code == 0, result.output
    again = json.loads((tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert again["loss"] < 0.1 * first["loss"]
    record = json.loads((tmp_path / "run" / "bundle" / "docs" / "training.json").read_text(encoding="utf-8"))
    assert record["start_sha256"] == hashlib.sha256(start.read_bytes()).hexdigest()


def test_weights_of_another_network_are_refused(tmp_path, train):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "start.pt")
    result = train("--start", str(tmp_path / "start.pt"))
    assert result.exit_code == 1
    assert "does not hold the weights of this bundle's network" in result.stderr


def test_called_again_a_finished_run_gives_the_same_weights(tmp_path, train):
    train()
    first = (tmp_path / "run" / "last.pt").read_bytes()
    assert train().exit_code == 0
    again = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    before = tmp_path / "before.pt"
    before.write_bytes(first)
    assert all(torch.equal(again[name], value) for name, value in torch.load(before, weights_only=True).items())


@pytest.fixture
def train_in_processes(tmp_path):
    """`medimg train` in processes of its own: run(name, how many) waits, start(name) does not."""
    toy.detector(tmp_path / "pipeline")
    (tmp_path / "pipeline" / "train.yaml").write_text(SLOW_CONFIG)
    environment = {**os.environ, "PYTHONPATH": str(Path(toy.__file__).parent), "OMP_NUM_THREADS": "1"}

    def start(name, processes=1):
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        command = [sys.executable, *(launcher if processes > 1 else ()), "-m", "medimg", "train", "--device", "cpu"]
        arguments = ["--trust", "--pipeline", tmp_path / "pipeline", "--data", tmp_path, "-o", tmp_path / name]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([*command, *map(str, arguments)], env=environment, **pipes)

    def run(name, processes=1):
        with start(name, processes) as process:
            output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, output + errors
        return torch.load(tmp_path / name / "last.pt", weights_only=True)

    run.start = start
    return run


def test_killed_and_called_again_it_ends_with_the_weights_of_an_unbroken_run(tmp_path, train_in_processes):
    whole = train_in_processes("whole")
    with train_in_processes.start("cut") as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "cut" / "checkpoint.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
    assert not (tmp_path / "cut" / "last.pt").exists()
    resumed = train_in_processes("cut")
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_interrupted_it_says_what_stays_and_how_to_go_on(tmp_path, train_in_processes):
    with train_in_processes.start("cut") as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "cut" / "checkpoint.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    step = torch.load(tmp_path / "cut" / "checkpoint.pt", weights_only=True)["step"]
    assert said.splitlines()[-1] == (
        f"medimg: error: interrupted; the checkpoint of step {step} is kept; call medimg train again with the same -o"
    )


def test_two_processes_train_to_the_weights_of_one(train_in_processes):
    one, two = train_in_processes("one"), train_in_processes("two", processes=2)
    for name, value in one.items():
        assert torch.allclose(value, two[name], rtol=1e-4, atol=1e-6), name


def test_a_network_of_the_configuration_is_packed_with_its_weights(tmp_path, train):
    (tmp_path / "pipeline" / "train.yaml").write_text(
        CONFIG
        + "network: {_target_: torch.nn.Conv3d, in_channels: 1, out_channels: 2, kernel_size: 2, stride: 2, bias: true}"
    )
    assert train().exit_code == 0
    document = json.loads((tmp_path / "run" / "bundle" / "configs" / "inference.json").read_text(encoding="utf-8"))
    assert document["network_def"]["bias"] is True


@pytest.mark.parametrize("fold", ["5/5", "1", "-1/3", "0/1"])
def test_a_fold_that_is_none_is_a_usage_error(train, fold):
    result = train("--fold", fold)
    assert result.exit_code == 2
    assert "0/5" in result.stderr


def test_a_task_without_folds_says_so(train):
    result = train("--fold", "0/5")
    assert result.exit_code == 1
    assert "fold" in result.stderr


def test_training_can_go_on_from_the_weights_of_the_bundle(tmp_path, train):
    config = tmp_path / "pipeline" / "train.yaml"
    config.write_text(CONFIG.replace("lr: 0.05", "lr: 0.0").replace("steps: 200", "steps: 2") + "start: bundle\n")
    assert train().exit_code == 0
    weights = tmp_path / "pipeline" / "bundle" / "models" / "model.pt"
    before = torch.load(weights, weights_only=True)
    after = torch.load(tmp_path / "run" / "bundle" / "models" / "model.pt", weights_only=True)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    record = json.loads((tmp_path / "run" / "bundle" / "docs" / "training.json").read_text(encoding="utf-8"))
    assert record["start_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()


def test_runs_become_an_ensemble_that_infer_and_train_take(tmp_path, train):
    for number in range(2):
        toy.detector(tmp_path / f"run-{number}", flips=True)
    arguments = ["ensemble", *(str(tmp_path / f"run-{number}") for number in range(2)), "-o", str(tmp_path / "both")]
    packed = CliRunner().invoke(cli, arguments, prog_name="medimg")
    assert packed.exit_code == 0, packed.output
    assert packed.stdout.startswith("ensemble of 2 networks, 0.0 MB of weights; bundle in")
    toy.chest_crop(tmp_path / "ct.nii.gz", AFFINE, (0.0, 0.0, 25.0))
    reports = []
    for name in ("run-0", "both"):
        arguments = ["infer", "--volume", str(tmp_path / "ct.nii.gz"), "--pipeline", str(tmp_path / name)]
        assert CliRunner().invoke(cli, [*arguments, "-o", str(tmp_path / f"{name}-out")]).exit_code == 0
        reports.append(json.loads((tmp_path / f"{name}-out" / "report.json").read_text(encoding="utf-8")))
    # twins: the mean of both on two mirror images is what either gives on all four
    (one,), (two,) = (report["findings"] for report in reports)
    assert two["probability"] == pytest.approx(one["probability"], abs=1e-3)
    assert two["center_lps_mm"] == pytest.approx(one["center_lps_mm"], abs=0.05)
    (tmp_path / "both" / "train.yaml").write_text(CONFIG + "start: bundle\n")
    result = train("--pipeline", str(tmp_path / "both"))
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "run" / "bundle" / "configs" / "inference.json").read_text(encoding="utf-8"))
    assert document["network_def"]["_target_"] == "torch.nn.Conv3d"
    assert "flips: true" in (tmp_path / "run" / "pipeline.yaml").read_text(encoding="utf-8")


def test_an_ensemble_of_one_run_is_a_usage_error(tmp_path):
    toy.detector(tmp_path / "run")
    result = CliRunner().invoke(cli, ["ensemble", str(tmp_path / "run"), "-o", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "needs two runs or more" in result.stderr


def test_a_configuration_that_is_wrong_is_one_line(tmp_path, train):
    (tmp_path / "bad.yaml").write_text("steps: 1")
    result = train("--config", str(tmp_path / "bad.yaml"))
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [f"medimg: error: {tmp_path / 'bad.yaml'}: task not given"]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("toy.NothingTask", "cannot build the task toy.NothingTask: Cannot locate class or function path"),
        ("nowhere.at.all", "cannot build the task nowhere.at.all"),
        ("builtins.dict", "builtins.dict is no task, it has no cases, batch, loss"),
        ("toy.small_network", "task toy.small_network does not take its options"),
    ],
)
def test_a_task_that_is_none_is_one_line(tmp_path, train, target, words):
    (tmp_path / "pipeline" / "train.yaml").write_text(CONFIG.replace("toy.BrightnessTask", target))
    result = train()
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert words in line


def test_a_run_on_other_data_is_not_gone_on_with(tmp_path, train, monkeypatch):
    assert train().exit_code == 0
    record = (tmp_path / "run" / "bundle" / "docs" / "training.json").read_bytes()
    task = toy.BrightnessTask
    monkeypatch.setattr(toy, "BrightnessTask", lambda **options: _of_others(task(**options)))
    result = train()
    assert result.exit_code == 1
    assert "was trained or validated on other cases" in result.stderr
    assert (tmp_path / "run" / "bundle" / "docs" / "training.json").read_bytes() == record


def _of_others(task):
    task.cases = {"training": ["four"], "validation": ["three"]}
    return task


def test_a_pipeline_without_a_training_configuration_says_so(tmp_path, train):
    (tmp_path / "pipeline" / "train.yaml").unlink()
    result = train()
    assert result.exit_code == 1
    assert "cannot read the training configuration" in result.stderr
