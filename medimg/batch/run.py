"""A batch: find what there is, decide who wants it, do what is not done, and say what became of everything."""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medimg import files
from medimg.batch.catalogue import catalogue
from medimg.batch.exports import Export
from medimg.batch.journal import DUPLICATE, FAILED, CaseRow, Journal, Scan
from medimg.batch.lock import exclusive
from medimg.batch.pool import Pool
from medimg.batch.route import route
from medimg.batch.summary import write_summary
from medimg.batch.work import Outcome, Task
from medimg.bundles.as_pipeline import named_pipeline, require_trusted
from medimg.errors import OutputError, Reason, UsageError
from medimg.inference.options import Engine
from medimg.pipeline import Pipeline, find_pipelines
from medimg.progress import Progress, silent

JOURNAL_FILE = "journal.sqlite"
LOCK_FILE = ".medimg-batch.lock"

WORTH_ANOTHER_TRY = {str(reason) for reason in (Reason.CRASHED, Reason.TIMED_OUT, Reason.OUT_OF_MEMORY)}
"""Failures that may be the moment's: tried again in the same run. A broken scan stays broken until the next call."""

PAUSE_SECONDS = (5, 15, 30, 60, 120)
"""Waits for a disk that takes nothing, or a network drive that is away, before the batch stops."""

Listener = Callable[[dict[str, Any]], None]
"""Told of every event: {"event": "planned" | "case" | "pause" | "done", ...}."""


@dataclass(frozen=True)
class Options:
    """How a batch runs.

    pipelines: names or paths; empty takes every installed one that may be chosen automatically. workers: processes; 0
    is one a processor. attempts: how often a case is tried at most. time_limit: seconds a case may take, 0 for none.
    part: (k from 0, n): this run's share of the studies. quiet: seconds for which a scan's files must not have changed.
    trusted: the bundles of `pipelines` may be executed, whatever is in them (--trust).
    """

    pipelines: tuple[str, ...] = ()
    workers: int = 0
    attempts: int = 3
    time_limit: float = 0.0
    engine: Engine = field(default_factory=Engine)
    part: tuple[int, int] = (0, 1)
    quiet: float = 0.0
    trusted: bool = False

    @property
    def suffix(self) -> str:
        """What tells the files of one part from another's."""
        return "" if self.part[1] == 1 else f"-{self.part[0]}-of-{self.part[1]}"

    @property
    def processes(self) -> int:
        """Workers to start."""
        return self.workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else self.workers or 1


@dataclass(frozen=True)
class Plan:
    """What a run would do. counts: cases in each state; to_do: ids; unwanted: scans that no pipeline takes."""

    counts: dict[str, int]
    by_pipeline: dict[str, int]
    to_do: tuple[str, ...]
    unwanted: int
    skipped: int
    seconds: float | None


class Batch:
    """A batch on the folder `output`; use it as a context: it holds the folder against others."""

    def __init__(self, export: Export, output: Path, options: Options, listener: Listener = lambda _: None) -> None:
        self.export, self.output, self.options, self.tell = export, files.output_folder(output), options, listener
        self.pipelines = _pipelines(options.pipelines, options.trusted)
        self._names = dict(zip((p.name for p in self.pipelines), options.pipelines, strict=False))

    def __enter__(self) -> Batch:
        self._lock = exclusive(self.output / f"{LOCK_FILE}{self.options.suffix}")
        self._lock.__enter__()
        self.journal = Journal(self.output / JOURNAL_FILE.replace(".", f"{self.options.suffix}.", 1))
        return self

    def __exit__(self, *details: Any) -> None:
        self.journal.close()
        self._lock.__exit__(*details)

    def plan(self, progress: Progress = silent) -> Plan:
        """Find the scans (again) and bring the journal's list of cases up to date."""
        run = int(self.journal.recall("run") or 0) + 1
        self.journal.remember("run", str(run))
        processes = self.options.processes
        catalogue(self.export.roots, self.output, self.journal, run, processes, progress)
        cases: list[CaseRow] = []
        unwanted: list[tuple[str, str, str, str, str]] = []
        for group in self.journal.groups():
            if mine := [scan for scan in group if self._wanted(scan)]:
                routed = route(mine, self.pipelines)
                cases += routed.cases
                unwanted += routed.unwanted
        self.journal.list_cases(cases, run)
        self.journal.put_unwanted(unwanted)
        return self._planned(len(unwanted))

    def run(self) -> dict[str, int]:
        """Do every case that is to be done; write the summary; the count of cases in each state.

        Raises OutputError when the disk takes nothing for long: what was done is kept, and the next call goes on.
        """
        engine = self.options.engine
        if engine.threads == 0:
            share = max(1, (os.cpu_count() or 1) // self.options.processes)
            engine = replace(engine, threads=share)
        queue = deque(self.journal.to_do(self.options.attempts))
        self.tell({"event": "begin", "cases": len(queue), "workers": self.options.processes})
        patience = deque(PAUSE_SECONDS)
        try:
            with Pool(min(self.options.processes, max(1, len(queue))), self.options.time_limit) as pool:
                try:
                    while queue or pool.busy:
                        while queue and pool.has_room:
                            self._give(pool, queue.popleft(), engine)
                        for task, outcome in pool.outcomes(self._asked):
                            if outcome.trouble:
                                self.journal.put_back(task.case.id)
                                queue.append(task.case.id)
                                self._pause(outcome, patience)
                            else:
                                patience = deque(PAUSE_SECONDS)
                                self._settle(task, outcome, queue)
                finally:
                    for worker in pool.busy:
                        if worker.task is not None:
                            self.journal.put_back(worker.task.case.id)
        finally:
            write_summary(self.journal, self.output, self.options.suffix)
        counts = self.journal.counts()
        self.tell({"event": "done", **counts})
        return counts

    def _wanted(self, scan: Scan) -> bool:
        """Asked for, of this part, and at rest."""
        number, count = self.options.part
        group = scan.study_uid or scan.folder
        share = int(hashlib.sha256(group.encode("utf-8", "surrogateescape")).hexdigest()[:8], 16) % count
        chosen = not self.export.series or scan.series_uid in self.export.series
        return chosen and share == number and _at_rest(scan, self.options.quiet)

    def _planned(self, unwanted: int) -> Plan:
        to_do = tuple(self.journal.to_do(self.options.attempts))
        by_pipeline: dict[str, int] = {}
        seconds: float | None = 0.0
        for identifier in to_do:
            case = self.journal.case(identifier)
            assert case is not None
            by_pipeline[case.pipeline] = by_pipeline.get(case.pipeline, 0) + 1
        for name, count in by_pipeline.items():
            mean = self.journal.mean_seconds(name)
            seconds = None if mean is None or seconds is None else seconds + mean * count / self.options.processes
        skipped = sum(1 for _ in self.journal.skipped_files())
        return Plan(self.journal.counts(), by_pipeline, to_do, unwanted, skipped, seconds)

    def _give(self, pool: Pool, identifier: str, engine: Engine) -> None:
        case = self.journal.case(identifier)
        assert case is not None
        self.journal.begin(identifier)
        pipeline = self._names.get(case.pipeline, case.pipeline)
        pool.give(Task(case, pipeline, self.output / identifier, engine, self.options.trusted))

    def _asked(self, task: Task, digest: str) -> str | None:
        """A done case of the same content; the digest is noted so that a second copy need not be read twice."""
        return self.journal.done_with(digest, task.case.pipeline_sha256)

    def _settle(self, task: Task, outcome: Outcome, queue: deque[str]) -> None:
        case = task.case
        state, known = outcome.state, outcome.known
        twin = self.journal.done_with(outcome.input_sha256 or "", case.pipeline_sha256)
        if state == "done" and twin not in (None, case.id):
            # two copies were searched at the same time; the first that was done counts
            state, known = DUPLICATE, {**known, "duplicate_of": twin, "message": f"the same scan as {twin}"}
        self.journal.finish(case.id, state, **known)
        attempts = case.attempts + 1
        again = state == FAILED and outcome.reason in WORTH_ANOTHER_TRY and attempts < self.options.attempts
        if again:
            queue.append(case.id)
        self.tell({"event": "case", "id": case.id, "pipeline": case.pipeline, "state": state, "again": again, **known})

    def _pause(self, outcome: Outcome, patience: deque[int]) -> None:
        if not patience:
            raise OutputError(f"{outcome.message}; the batch stops, call it again to go on")
        seconds = patience.popleft()
        self.tell({"event": "pause", "seconds": seconds, "message": outcome.message})
        time.sleep(seconds)


def _at_rest(scan: Scan, quiet: float) -> bool:
    if not quiet:
        return True
    try:
        newest = max(path.stat().st_mtime for path in scan.files)
    except OSError:
        return True  # a member of an archive; or gone, which reading will tell
    return time.time() - newest >= quiet


def _pipelines(names: Sequence[str], trusted: bool) -> list[Pipeline]:
    chosen = [named_pipeline(name, trusted=trusted) for name in names] or [p for p in find_pipelines() if p.automatic]
    for pipeline in chosen:
        require_trusted(pipeline)
    known = [pipeline.name for pipeline in chosen]
    if twice := sorted({name for name in known if known.count(name) > 1}):
        raise UsageError(f"pipeline {', '.join(twice)} is named twice")
    if not chosen:
        raise UsageError("no pipeline is installed; name one with --pipeline")
    return chosen
