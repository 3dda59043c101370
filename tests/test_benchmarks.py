"""The benchmarks run; how fast they are is not asked here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
