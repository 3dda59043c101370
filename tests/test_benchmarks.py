"""The benchmarks run; how fast they are is not asked here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from medimg.phantoms.brain import brain
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


def write_heads(folder: Path, count: int) -> Path:
    """Small analytic brains, one a patient, as BraTS lays them out."""
    for number in range(count):
        drawn = brain(seed=number, shape=(60, 60, 40))
        for role, array in drawn.contrasts.items():
            write_nifti(folder / f"P{number}" / f"P{number}-{role}.nii.gz", array, drawn.affine_ras)
        write_nifti(folder / f"P{number}" / f"P{number}-seg.nii.gz", drawn.labels, drawn.affine_ras)
    return folder


def pretend_run(folder: Path, bundle: Path, fold: str) -> Path:
    """What medimg train leaves, with the shipped weights."""
    (folder / "bundle" / "docs").mkdir(parents=True)
    for part in ("configs", "models"):
        (folder / "bundle" / part).symlink_to(bundle / part)
    record = {"seed": 1, "task": {"fold": fold}}
    (folder / "bundle" / "docs" / "training.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def test_folds_are_pooled_into_one_table_and_other_settings_run_no_network(repository: Path, tmp_path: Path):
    data = write_heads(tmp_path / "data", 2)
    bundle = repository / "pipelines" / "brain_tumour" / "bundle"
    runs = [pretend_run(tmp_path / f"run{number}", bundle, f"{number}/2") for number in range(2)]
    arguments = [*runs, "--data", data, "-o", tmp_path / "scores"]
    table = run_python(repository, "cross_validation.py", *arguments)
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| P")]
    assert [row[0] for row in rows] == ["| P0", "| P1"]
    assert {row[1] for row in rows} == {"0/2", "1/2"}
    written = json.loads((tmp_path / "scores" / "scores.json").read_text(encoding="utf-8"))
    truth = read_label_map(data / "P0" / "P0-seg.nii.gz")
    drawn = read_label_map(tmp_path / "scores" / "predictions" / "P0_seg.nii.gz")
    whole = 2 * ((truth.array > 0) & (drawn.array > 0)).sum() / ((truth.array > 0).sum() + (drawn.array > 0).sum())
    assert next(row["dice"]["WT"] for row in written["cases"] if row["case"] == "P0") == whole
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "scores" / "outputs").iterdir()}
    assert len(kept) == 2
    tried = run_python(repository, "cross_validation.py", *arguments, "--try", "{threshold: {WT: 0.99}}")
    assert "{'threshold': {'WT': 0.99}}" in tried
    assert "chosen for each fold on the others" in tried
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_scored_nodules_are_tabulated_by_threshold_and_size(repository: Path, tmp_path: Path):
    def row(case: str, kind: str, found: float | None, alarms: list[float], **more: object) -> dict[str, object]:
        same = {"diameter_mm": 8.0, "texture": 5, "diameter_error": 0.1, "left_out": [], "seconds": 1.0}
        return {"case": case, "kind": kind, "found": found, "alarms": alarms, **same, **more}

    rows = [row(f"c{number}", "crop", 0.1 * number, []) for number in range(1, 10)]
    rows += [row("scan", "scan", None, [0.85, 0.2], fold=fold) for fold in ("0/2", "1/2")]
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    told = run_python(repository, "nodule_detection.py", "--rows", tmp_path / "rows.json", "--refit")
    assert "mean of 2 models" in told
    assert "0.778 at 1" in told
    assert "6-10 mm: " in told
