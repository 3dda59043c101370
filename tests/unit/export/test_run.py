"""Exports: each format says what torch says; what cannot be written is told."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import toy
from click.testing import CliRunner

from medimg.bundle import load_bundle
from medimg.cli import cli
from medimg.errors import PipelineError, UsageError
from medimg.export import formats
from medimg.export.run import export_pipeline
from medimg.export.traced import Exported
from medimg.inference.footprint import Flattened
from medimg.pipeline import load_pipeline


def require(name):
    if packages := formats.missing(name):
        pytest.skip(f"{', '.join(packages)} not installed: pip install 'medimg[{name}]'")


@pytest.fixture
def detector(tmp_path):
    return load_pipeline(str(toy.detector(tmp_path / "detector")))


@pytest.mark.parametrize("name", ["torchscript", "onnx", "openvino"])
def test_a_format_says_what_torch_says(tmp_path, detector, name):
    require(name)
    outcome = export_pipeline(detector, tmp_path / "out", [name], (16, 16, 16))
    assert outcome.written[name].is_file()
    assert outcome.differences[name] <= 1e-4
    document = json.loads((tmp_path / "out" / "export.json").read_text())
    assert document["input_shape"] == [1, 1, 16, 16, 16]
    assert document["pipeline"]["sha256"] == detector.sha256


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", ["lung_nodule", "brain_tumour"])
@pytest.mark.parametrize("name", ["torchscript", "onnx", "openvino"])
def test_the_shipped_networks_survive_every_format(tmp_path, pipeline, name):
    require(name)
    outcome = export_pipeline(load_pipeline(pipeline), tmp_path / "out", [name], (32, 32, 32))
    assert 0 <= outcome.differences[name] <= 1e-4


def test_the_exported_bundle_is_the_bundle_and_runs_without_asking(tmp_path):
    outcome = export_pipeline(load_pipeline("lung_nodule"), tmp_path / "out", ["bundle"], (32, 32, 32))
    names = {path.relative_to(outcome.written["bundle"]).as_posix() for path in outcome.written["bundle"].rglob("*")}
    assert {"configs/inference.json", "models/model.pt", "docs/README.md"} <= names
    load_bundle(outcome.written["bundle"])


def test_the_deployment_note_says_what_goes_in_and_out(tmp_path, detector):
    export_pipeline(detector, tmp_path / "out", ["torchscript"], (16, 16, 16))
    note = (tmp_path / "out" / "DEPLOY.md").read_text()
    for words in ("1 x 1 x 16 x 16 x 16", "Spacingd(pixdim=[1.0, 1.0, 1.0]", "model.ts", "0 ct (CT)", "medical device"):
        assert words in note


def test_an_export_that_differs_from_torch_is_not_kept(detector):
    network = torch.nn.Conv3d(1, 1, 1)
    exported = Exported(Flattened(network), 1, (4, 4, 4))
    with pytest.raises(PipelineError, match="differs from torch"):
        exported.largest_difference("ONNX", lambda image: [exported.answer()[0] * np.float32(1.01)])
    with pytest.raises(PipelineError, match="other shapes"):
        exported.largest_difference("ONNX", lambda image: [])


def test_a_format_that_is_not_installed_is_skipped_and_told(tmp_path, detector, monkeypatch):
    monkeypatch.setitem(formats.NEEDS, "onnx", ("no_such_package",))
    outcome = export_pipeline(detector, tmp_path / "out", ["onnx"], (16, 16, 16))
    assert outcome.skipped == {"onnx": "no_such_package not installed: pip install 'medimg[onnx]'"}
    assert not outcome.written


def test_an_interruption_is_told_as_one_and_leaves_nothing(tmp_path, detector, monkeypatch):
    def interrupted(*_):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise RuntimeError("Failed to export the model") from error

    monkeypatch.setitem(formats.WRITERS, "onnx", interrupted)
    arguments = ["bundle", "export", str(detector.folder), "-o", str(tmp_path / "out"), "--window", "16,16,16"]
    formats_asked = ["--format", "bundle", "--format", "torchscript", "--format", "onnx"]
    result = CliRunner().invoke(cli, [*arguments, *formats_asked], prog_name="medimg")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "medimg: error: interrupted; nothing half-written was kept"
    assert list((tmp_path / "out").iterdir()) == []


def test_a_pipeline_without_a_network_has_nothing_to_export(tmp_path):
    with pytest.raises(UsageError, match="no network to export"):
        export_pipeline(load_pipeline("lung_nodule_classical"), tmp_path / "out")


def test_the_command_says_what_it_wrote(tmp_path, detector):
    arguments = ["bundle", "export", str(detector.folder), "-o", str(tmp_path / "out"), "--window", "16,16,16"]
    result = CliRunner().invoke(cli, [*arguments, "--format", "torchscript"], prog_name="medimg")
    assert result.exit_code == 0, result.stderr
    assert "differs from torch by" in result.stdout
    assert "DEPLOY.md" in result.stdout
    assert CliRunner().invoke(cli, [*arguments, "--window", "16"], prog_name="medimg").exit_code == 2
