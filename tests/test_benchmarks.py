"""The benchmarks run; how fast they are is not asked here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import toy

from medimg.bundles import trust
from medimg.volumes import read_label_map, write_nifti

ROWS = ("to an array", "to .nii.gz", "peak memory to .nii.gz", "JPEG 2000 to an array, two cores", "list 40 files")


def run(repository: Path, folder: Path, *arguments: str) -> str:
    script = repository / "benchmarks" / "readers.py"
    command = [sys.executable, str(script), "--folder", str(folder), *arguments]
    # a Python without MONAI: its import alone takes longer than all the rest
    command += ["--monai-python", "no-python"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_reading_benchmark_measures_every_row(repository: Path, tmp_path: Path):
    table = run(repository, tmp_path, "--quick", "--size", "32x32x8", "--files", "40", "--repeats", "1")
    lines = [line for line in table.splitlines() if line.startswith("|")]
    assert all(any(line.startswith(f"| {row}") for line in lines) for row in ROWS)
    assert all(line.count("|") == 7 for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_the_benchmark_of_many_files_says_how_many_it_found(repository: Path, tmp_path: Path):
    assert "600 series 3, listed in" in run(repository, tmp_path, "--many", "600")


def run_python(repository: Path, script: str, *arguments: object) -> str:
    command = [sys.executable, "-W", "ignore", str(repository / "benchmarks" / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


BRIGHT = {"t1c": (4,), "t1n": (1, 4), "t2w": (), "t2f": (1, 2, 4)}
"""Labels that are bright on each contrast: enhancing tumour, core and all of it."""


def write_head(folder: Path) -> None:
    """A ball of brain with a tumour in shells, as BraTS lays a case out."""
    i, j, k = np.indices((32, 32, 32))
    radius = np.sqrt((i - 13) ** 2 + (j - 17) ** 2 + (k - 15) ** 2)
    labels = np.select([radius < 3, radius < 6, radius < 9], [1, 4, 2], 0).astype(np.uint8)
    inside = (i - 15) ** 2 + (j - 15) ** 2 + (k - 15) ** 2 < 15**2
    for role, bright in BRIGHT.items():
        # a contrast agent shows on T1 with it only: far brighter there than anything on T1 without
        image = (100 + (4900 if role == "t1c" else 900) * np.isin(labels, bright)) * inside
        write_nifti(folder / f"{folder.name}-{role}.nii.gz", image.astype(np.int16), np.eye(4))
    write_nifti(folder / f"{folder.name}-seg.nii.gz", labels, np.eye(4))


def pretend_run(folder: Path, fold: str) -> Path:
    """What medimg train leaves, with a network that sees core on T1, all of it on FLAIR, enhancement on T1c."""
    for part in ("configs", "models", "docs"):
        (folder / "bundle" / part).mkdir(parents=True)
    conv = {"_target_": "torch.nn.Conv3d", "in_channels": 4, "out_channels": 3, "kernel_size": 1}
    config = json.dumps({**toy.BUNDLE, "network_def": conv})
    (folder / "bundle" / "configs" / "inference.json").write_text(config, encoding="utf-8")
    network = torch.nn.Conv3d(4, 3, 1)
    with torch.no_grad():
        seen = torch.tensor([[0.0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]])
        network.weight.copy_(seen.reshape(3, 4, 1, 1, 1) / 20)
        network.bias.fill_(-25.0)
    torch.save(network.state_dict(), folder / "bundle" / "models" / "model.pt")
    record = {"seed": 1, "task": {"fold": fold}}
    (folder / "bundle" / "docs" / "training.json").write_text(json.dumps(record), encoding="utf-8")
    trust.record(folder / "bundle", "a toy")
    return folder


def test_folds_are_pooled_into_one_table_and_other_settings_run_no_network(repository: Path, tmp_path: Path):
    for name in ("P0", "P1"):
        write_head(tmp_path / "data" / name)
    runs = [pretend_run(tmp_path / f"run{number}", f"{number}/2") for number in range(2)]
    arguments = [*runs, "--data", tmp_path / "data", "-o", tmp_path / "scores"]
    table = run_python(repository, "cross_validation.py", *arguments)
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| P")]
    assert [row[0] for row in rows] == ["| P0", "| P1"]
    assert {row[1] for row in rows} == {"0/2", "1/2"}
    assert all(row[2:4] == ["1.00", "1.00"] for row in rows)
    assert "ET where there is some (2 cases)" in table
    truth = read_label_map(tmp_path / "data" / "P0" / "P0-seg.nii.gz").array
    drawn = read_label_map(tmp_path / "scores" / "predictions" / "P0_seg.nii.gz").array
    np.testing.assert_array_equal(np.where(truth == 4, 3, truth), drawn)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "scores" / "outputs").iterdir()}
    assert len(kept) == 2
    tried = run_python(repository, "cross_validation.py", *arguments, "--try", "{min_volume_mm3: {ET: 9999}}")
    assert "ET 0.000 (0.000)" in tried
    assert "chosen for each fold on the others" in tried
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_scored_nodules_are_tabulated_by_threshold_and_size(repository: Path, tmp_path: Path):
    def row(case: str, kind: str, found: float | None, alarms: list[float], **more: object) -> dict[str, object]:
        same = {"diameter_mm": 8.0, "texture": 5, "diameter_error": 0.1, "left_out": [], "seconds": 1.0}
        return {"case": case, "kind": kind, "found": found, "alarms": alarms, **same, **more}

    rows = [row(f"c{number}", "crop", 0.1 * number, []) for number in range(1, 10)]
    rows += [row("scan", "scan", None, [0.85, 0.2], fold=fold) for fold in ("0/2", "1/2")]
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    told = run_python(repository, "nodule_detection.py", "--rows", tmp_path / "rows.json")
    assert "mean of 2 models" in told
    assert "0.778 at 1" in told
    assert "6-10 mm: " in told


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("kills", "| cases that were done and were done again | 0 |"),
        ("mixed", "| bad cases named with their reason | 2 of 2 |"),
        ("journal", "| journal: all of it, at 50 rows | "),
        pytest.param("soak", "| worker over ", marks=pytest.mark.slow),
        pytest.param("throughput", "| ratio | ", marks=pytest.mark.slow),
    ],
)
def test_the_reliability_of_a_batch_is_measured(repository: Path, tmp_path: Path, name: str, row: str):
    told = run_python(repository, "reliability.py", name, "--quick", "--folder", tmp_path)
    assert row in told
    assert list(tmp_path.iterdir()) == []


def test_the_model_of_a_million_studies_says_what_gives_out_first(repository: Path):
    told = run_python(repository, "batch_scale.py", "--studies", 1000)
    rows = [line.split(" | ") for line in told.splitlines() if line.startswith("| 1 ")]
    assert len(rows) == 2
    assert all(row[-1] == "computing |" for row in rows)
    starved = run_python(repository, "batch_scale.py", "--storage-gb-s", 0.01)
    assert all(line.endswith("| storage |") for line in starved.splitlines() if line.startswith("| 1,000 "))
