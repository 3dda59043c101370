"""`medimg train`: a run becomes a pipeline folder that `medimg infer` takes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import toy
from click.testing import CliRunner

from medimg.cli import cli

CONFIG = """
task: {_target_: toy.BrightnessTask}
steps: 200
lr: 0.05
seed: 7
precision: fp32
validate_every: 50
"""
AFFINE = np.array([[-1.0, 0, 0, 20], [0, 1.0, 0, -20], [0, 0, 1.25, 5], [0, 0, 0, 1]])


@pytest.fixture
def train(tmp_path):
    toy.detector(tmp_path / "pipeline")
    (tmp_path / "pipeline" / "train.yaml").write_text(CONFIG)

    def run(*options):
        arguments = ["train", "--pipeline", str(tmp_path / "pipeline"), "--data", str(tmp_path)]
        return CliRunner().invoke(cli, [*arguments, "-o", str(tmp_path / "run"), *options], prog_name="medimg")

    return run


def test_a_run_is_a_pipeline_that_infer_takes(tmp_path, train):
    result = train()
    assert result.exit_code == 0, result.output
    assert "step 200/200" in result.stdout
    record = json.loads((tmp_path / "run" / "bundle" / "docs" / "training.json").read_text())
    assert (record["seed"], record["steps"], record["validation"]["step"]) == (7, 200, 200)
    weights = torch.load(tmp_path / "run" / "bundle" / "models" / "model.pt", weights_only=True)
    assert torch.allclose(weights["bias"], torch.tensor([0.0, toy.LOG_DIAMETER]), atol=0.2)
    toy.chest_crop(tmp_path / "ct.nii.gz", AFFINE, (0.0, 0.0, 25.0))
    arguments = ["--volume", str(tmp_path / "ct.nii.gz"), "--pipeline", str(tmp_path / "run" / "bundle")]
    inferred = CliRunner().invoke(cli, ["infer", *arguments, "-o", str(tmp_path / "out")], prog_name="medimg")
    assert inferred.exit_code == 0, inferred.output


def test_called_again_a_finished_run_gives_the_same_weights(tmp_path, train):
    train()
    first = (tmp_path / "run" / "last.pt").read_bytes()
    assert train().exit_code == 0
    again = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    before = tmp_path / "before.pt"
    before.write_bytes(first)
    assert all(torch.equal(again[name], value) for name, value in torch.load(before, weights_only=True).items())


def test_a_configuration_that_is_wrong_is_one_line(tmp_path, train):
    (tmp_path / "bad.yaml").write_text("steps: 1")
    result = train("--config", str(tmp_path / "bad.yaml"))
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [f"medimg: error: {tmp_path / 'bad.yaml'}: task not given"]


def test_a_pipeline_without_a_training_configuration_says_so(tmp_path, train):
    (tmp_path / "pipeline" / "train.yaml").unlink()
    result = train()
    assert result.exit_code == 1
    assert "cannot read the training configuration" in result.stderr
