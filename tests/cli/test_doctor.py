"""`medimg doctor`: what this machine can do."""

from __future__ import annotations

import json
import os

import imagecodecs
import monai
import pydicom
import torch
from click.testing import CliRunner

from medimg.cli import cli, doctor
from medimg.pipeline import find_pipelines


def examined():
    result = CliRunner().invoke(cli, ["doctor", "--json"])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_versions_device_and_codecs_are_those_of_this_machine():
    found = examined()
    assert found["packages"]["torch"] == torch.__version__
    assert found["packages"]["monai"] == monai.__version__
    assert found["packages"]["pydicom"] == pydicom.__version__
    assert found["compute"]["cores"] <= os.cpu_count()
    assert bool(found["compute"]["cuda"]) == torch.cuda.is_available()
    assert found["codecs"]["JPEG lossless, first order"] == imagecodecs.jpeg8_version()
    assert found["codecs"]["JPEG 2000"] == imagecodecs.jpeg2k_version()
    assert found["codecs"]["uncompressed"] == "medimg"
    assert None not in found["codecs"].values()


def test_the_shipped_weights_fit_their_networks():
    found = examined()["pipelines"]
    assert {name: state["problem"] for name, state in found.items()} == dict.fromkeys(found)
    assert set(found) == {pipeline.name for pipeline in find_pipelines()}


def test_a_person_reads_one_line_for_each_thing():
    result = CliRunner().invoke(cli, ["doctor"])
    assert result.exit_code == 0, result.stderr
    starts = ["medimg ", "packages: ", "device: ", "bf16 on the CPU: ", "cores: ", "DICOM codecs:", "pipelines:"]
    lines = result.stdout.splitlines()
    assert [start for start in starts if not any(line.startswith(start) for line in lines)] == []


def test_a_pipeline_that_cannot_run_is_named_with_its_problem(monkeypatch, tmp_path):
    (tmp_path / "pipeline.yaml").write_text(
        "{schema: medimg.pipeline/1, name: bare, version: 1, title: Bare, task: detection, licence: MIT,"
        " inputs: [{role: ct, modality: CT}], stages: [infer: {}]}"
    )
    from medimg import pipeline

    bare = pipeline.load_pipeline(str(tmp_path))
    monkeypatch.setattr(pipeline, "find_pipelines", lambda: [bare])
    result = CliRunner().invoke(cli, ["doctor"])
    assert result.exit_code == 0
    assert "is no MONAI bundle: it has no configs/inference.json" in result.stdout


def test_a_package_that_is_not_installed_has_no_version():
    assert doctor.version_of("no-such-package") is None
    assert doctor.version_of("click")


def test_memory_is_unknown_where_the_system_does_not_say(monkeypatch):
    monkeypatch.setattr(os, "sysconf_names", {}, raising=False)
    assert doctor.memory_gib() is None
