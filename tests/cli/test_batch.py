"""medimg batch on the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from toy import chest_crop

from medimg.batch.options import Cluster, Options
from medimg.cli import cli


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """One crop of a chest."""
    (tmp_path / "export").mkdir()
    chest_crop(tmp_path / "export" / "scan.nii.gz", np.eye(4), (20.0, 22.0, 18.0))
    return tmp_path / "export"


def batch(export: Path, output: Path, *options: str):
    return CliRunner().invoke(cli, ["batch", str(export), "-o", str(output), *options])


def test_a_dry_run_says_what_it_will_take_and_runs_nothing(export, tmp_path):
    said = batch(export, tmp_path / "out", "--pipeline", "lung_nodule_classical", "--dry-run")
    assert said.exit_code == 0, said.output
    assert "lung_nodule_classical\t1" in said.output
    assert "GiB of disk, roughly, by the benchmarks" in said.output
    assert not list((tmp_path / "out").glob("*/report.json"))


def test_a_dry_run_says_why_scans_and_files_are_left_out_once_a_reason(export, tmp_path):
    for name in ("x.nii.gz", "y.nii.gz"):
        (export / name).write_text("no scan at all", encoding="utf-8")
    (export / "notes.txt").write_text("no scan", encoding="utf-8")
    said = batch(export, tmp_path / "out", "--pipeline", "lung_nodule_classical", "--dry-run")
    assert said.exit_code == 0, said.output
    assert "2 scans that no pipeline takes, 1 file without a scan\n" in said.output
    (scans,) = [line.split("\t") for line in said.output.splitlines() if str(export / "x.nii.gz") in line]
    assert scans[0] == "2"
    assert "the file is not a volume file of the kind its name says" in scans[1]
    assert f"1\tnot_dicom\t{export / 'notes.txt'}" in said.output


def test_options_of_a_cluster_go_with_a_cluster(export, tmp_path):
    said = batch(export, tmp_path / "out", "--gpus-per-worker", "0.5")
    assert said.exit_code == 2
    assert "--gpus-per-worker goes with --cluster ray" in said.output


def test_without_ray_it_says_how_to_get_it(export, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    for option in ("--cluster", "--engine"):
        said = batch(export, tmp_path / "out", option, "ray")
        assert said.exit_code == 2
        assert "pip install 'medimg[cluster]'" in said.output


def test_engine_ray_is_short_for_cluster_ray(monkeypatch, export, tmp_path):
    chosen = []
    monkeypatch.setattr("medimg.batch.options.Options", lambda *values: chosen.append(values) or Options(*values))
    monkeypatch.setitem(sys.modules, "ray", None)
    for asked in (("--engine", "ray"), ("--cluster", "ray")):
        batch(export, tmp_path / "out", *asked, "--address", "elsewhere:6379", "--cpus-per-worker", "3")
    assert chosen[0] == chosen[1]
    assert Cluster("elsewhere:6379", 3) in chosen[0]
    said = batch(export, tmp_path / "out", "--engine", "ray", "--cluster", "local")
    assert said.exit_code == 2
    assert "leave --cluster local out" in said.output
    batch(export, tmp_path / "out", "--cluster", "ray", "--engine", "openvino")
    assert chosen[2][4].backend == "openvino"
