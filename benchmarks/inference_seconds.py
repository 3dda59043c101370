"""Seconds and memory of `medimg infer` on real scans, beside what importing torch and MONAI alone takes.

    python benchmarks/inference_seconds.py --data ../shared/data --repeats 5

Each turn runs every row once, as a process of its own: the whole command, and `python -c 'import torch, monai'` as the
part that no network can save. The infer stage's seconds are those of the report. Medians, the fastest in brackets.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from timing import MIB, Process, machine, run_process

CASES = {
    "lung_nodule": ("lung/LIDC-IDRI-0001", "chest CT, 512 x 512 x 133"),
    "lung_nodule_classical": ("lung/LIDC-IDRI-0001", "chest CT, 512 x 512 x 133"),
    "brain_tumour": ("brain/BraTS2021_00006", "four-contrast brain MR, 240 x 240 x 155"),
}
"""Pipeline -> scan, and what it is."""

PACKAGES = ("medimg", "torch", "monai", "numpy")

REFERENCE = "import torch, monai"


@dataclass
class Row:
    """The runs of one command; stage: seconds of the infer stage, of those that have one."""

    runs: list[Process] = field(default_factory=list)
    stage: list[float] = field(default_factory=list)


def main() -> None:
    """Take turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--pipelines", nargs="*", default=["lung_nodule", "brain_tumour"], help="names or RUN folders")
    parser.add_argument("--repeats", type=int, default=5, help="after one turn that warms the caches")
    parser.add_argument("--threads", type=int, default=0, help="of medimg infer; 0 is torch's choice")
    options = parser.parse_args()
    told = machine(PACKAGES)
    rows: dict[str, Row] = {name: Row() for name in (*options.pipelines, REFERENCE)}
    for turn in range(options.repeats + 1):
        for name, row in rows.items():
            done, stage = run(name, options)
            if turn:
                row.runs.append(done)
                row.stage += [] if stage is None else [stage]
    print(told, end="\n\n")
    print("| what | whole process | infer stage | peak memory |\n|---|---|---|---|")
    for name, row in rows.items():
        print(_line(name, row))


def run(name: str, options: argparse.Namespace) -> tuple[Process, float | None]:
    """One process, and the seconds of its infer stage."""
    if name == REFERENCE:
        return run_process([sys.executable, "-W", "ignore", "-c", REFERENCE]), None
    scan, _ = _case(name)
    with tempfile.TemporaryDirectory() as folder:
        command = [
            Path(sys.executable).with_name("medimg"),
            "infer",
            "--pipeline",
            name,
            "--volume",
            options.data / scan,
        ]
        done = run_process([*command, "--threads", str(options.threads), "-o", folder])
        report = json.loads((Path(folder) / "report.json").read_text(encoding="utf-8"))
    return done, float(report["provenance"]["seconds"]["infer"])


def _case(pipeline: str) -> tuple[str, str]:
    """The scan of a pipeline, by its name or that of the pipeline.yaml in its folder."""
    if pipeline in CASES:
        return CASES[pipeline]
    from medimg.pipeline import load_pipeline

    return CASES[load_pipeline(pipeline).name]


def _line(name: str, row: Row) -> str:
    whole = [run.seconds for run in row.runs]
    peak = max(run.peak for run in row.runs) / MIB
    told = f"`python -c '{name}'`" if name == REFERENCE else f"`medimg infer --pipeline {name}`, {_case(name)[1]}"
    stage = _median(row.stage) if row.stage else ""
    return f"| {told} | {_median(whole)} | {stage} | {peak:.0f} MiB |"


def _median(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.1f} s ({min(seconds):.1f})"


if __name__ == "__main__":
    main()
