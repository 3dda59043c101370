"""What a batch will take: by its own cases where some are done, else by cases of the benchmarks."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from medimg.batch.journal import Journal
from medimg.batch.rows import DONE
from medimg.pipeline import Pipeline

SAMPLE = 20
"""Done cases whose folders are measured."""

BENCHMARK = {"detection": (13.0, 17 << 20), "segmentation": (13.0, 17 << 20)}
"""Task -> seconds on one processor and bytes of a case, of the pipelines that come with medimg (docs/batch.md)."""


@dataclass(frozen=True)
class Estimate:
    """seconds, bytes: None where nothing is known. measured: by done cases of this batch. free: bytes of the disk."""

    seconds: float | None
    bytes: int | None
    measured: bool
    free: int


def estimate(
    journal: Journal, output: Path, cases: Mapping[str, int], pipelines: Sequence[Pipeline], workers: int
) -> Estimate:
    """Seconds that `workers` need for `cases` (pipeline -> how many are to be done), and the bytes they will write."""
    seconds, size, measured = 0.0, 0, True
    known = True
    tasks = {pipeline.name: pipeline.task for pipeline in pipelines}
    for name, count in cases.items():
        mean, bytes_each = journal.mean_seconds(name), _mean_bytes(journal, output, name)
        if mean is None or bytes_each is None:
            measured = False
            rough = BENCHMARK.get(tasks.get(name, ""))
            known = known and rough is not None
            mean, bytes_each = rough or (0.0, 0)
        seconds += mean * count / workers
        size += bytes_each * count
    free = shutil.disk_usage(output).free
    return Estimate(seconds if known else None, size if known else None, measured, free)


def _mean_bytes(journal: Journal, output: Path, pipeline: str) -> int | None:
    """Of the folders of a few done cases; None where there are none on this machine."""
    done = (output / case.id for case in journal.cases(DONE) if case.pipeline == pipeline)
    sizes = [
        sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        for folder in islice(done, SAMPLE)
        if folder.is_dir()
    ]
    return sum(sizes) // len(sizes) if sizes else None
