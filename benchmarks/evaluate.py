"""Seconds of LUNA16's evaluation on a published detector's marks: python benchmarks/evaluate.py [--literal].

The peer is the official script: 58 s with its 1,000 bootstraps, as stated with the golden case. `--literal` also
measures the same rules here as that script goes through them: one mark at a time, every replicate by scikit-learn.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from medimg.evaluate.detection_files import Marked

OFFICIAL_SECONDS = 58.0
OFFICIAL_CPM = 0.841966
GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "data" / "lung" / "luna16" / "froc_golden"
REPLICATES = 1000


def command_seconds(golden: Path) -> tuple[float, float]:
    """Wall and processor seconds of the whole `medimg evaluate`: reading, 1,000 bootstraps, tables, plot and page."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--truth", str(golden), "--predictions", str(golden / "detections.csv"), "-o", folder]
        command = [sys.executable, "-m", "medimg", "evaluate", "--task", "detection", *arguments]
        start, used = time.perf_counter(), children_seconds()
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.perf_counter() - start, children_seconds() - used
        metrics = json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    assert metrics["cpm"]["value"] == OFFICIAL_CPM, metrics["cpm"]
    return seconds


def children_seconds() -> float:
    """Processor time of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def literal_seconds(golden: Path, replicates: int) -> tuple[float, float]:
    """Processor seconds of the rules one mark at a time, and of one bootstrap replicate."""
    from sklearn.metrics import roc_curve

    from medimg.evaluate.detection_files import read_marks, read_truth

    truth = read_truth(golden)
    marks, _ = read_marks(golden / "detections.csv", truth.scans)
    tables = [by_scan(table) for table in (truth.nodules, truth.excluded, marks)]
    start = time.process_time()
    rows = [entries(*(table.get(scan, []) for table in tables)) for scan in truth.scans]
    matching = time.process_time() - start
    rng = np.random.default_rng(0)
    start = time.process_time()
    for _ in range(replicates):
        drawn = np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))])
        seen = drawn[drawn[:, 1] > -np.inf]
        roc_curve(seen[:, 0], seen[:, 1])
    return matching, (time.process_time() - start) / replicates


Row = tuple[list[float], float]
"""Place and diameter, or place and score."""


def by_scan(marked: Marked) -> dict[str, list[Row]]:
    """Scan -> its findings."""
    found: dict[str, list[Row]] = {}
    for scan, place, value in zip(marked.scan, marked.xyz.tolist(), marked.value.tolist(), strict=True):
        found.setdefault(scan, []).append((place, value))
    return found


def entries(nodules: list[Row], excluded: list[Row], marks: list[Row]) -> np.ndarray:
    """(N, 2): 1 or 0 and the score of each nodule and false positive of a scan, -inf for a nodule missed."""
    if len(marks) > 100:
        limit = sorted((score for _, score in marks), reverse=True)[100]
        marks = [mark for mark in marks if mark[1] > limit]
    rest, rows = set(range(len(marks))), []
    for findings, counts in ((nodules, True), (excluded, False)):
        for centre, value in findings:
            diameter = 10.0 if value < 0 else value
            hit = [
                number
                for number, (place, _) in enumerate(marks)
                if sum((a - b) ** 2 for a, b in zip(place, centre, strict=True)) < (diameter / 2) ** 2
            ]
            rest -= set(hit)
            if counts:
                rows.append((1.0, max((marks[number][1] for number in hit), default=-np.inf)))
    rows += [(0.0, marks[number][1]) for number in rest]
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--golden", type=Path, default=GOLDEN, help="folder of the golden case")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--literal", action="store_true", help="measure the literal reading too")
    options = parser.parse_args()
    measured = [command_seconds(options.golden) for _ in range(options.runs)]
    wall, used = (statistics.median(column) for column in zip(*measured, strict=True))
    print(f"medimg evaluate, whole process: {wall:.2f} s, of the processor {used:.2f} s (medians of {options.runs})")
    print(f"official script, as stated: {OFFICIAL_SECONDS:.0f} s; ratio {OFFICIAL_SECONDS / wall:.0f}")
    if options.literal:
        matching, each = literal_seconds(options.golden, REPLICATES // 10)
        total = matching + REPLICATES * each
        print(f"one mark at a time, here: {matching:.1f} s of the processor, and {each:.3f} s a replicate")
        print(f"with {REPLICATES} replicates {total:.0f} s; ratio of processor time {total / used:.0f}")


if __name__ == "__main__":
    main()
