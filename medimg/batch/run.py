"""A batch: find what there is, decide who wants it, do what is not done, and say what became of everything."""

from __future__ import annotations

import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medimg import files
from medimg.batch.catalogue import Readers, catalogue, on_disk, processes
from medimg.batch.estimate import Estimate, estimate
from medimg.batch.exports import Export
from medimg.batch.journal import Journal
from medimg.batch.lock import exclusive
from medimg.batch.options import Options
from medimg.batch.place import Place, opened_store
from medimg.batch.pool import Pool, Workers
from medimg.batch.route import route
from medimg.batch.rows import DONE, DUPLICATE, FAILED, Scan
from medimg.batch.summary import write_summary
from medimg.batch.work import Outcome, Task, Trouble
from medimg.bundles.as_pipeline import named_pipeline, require_trusted
from medimg.errors import OutputError, Reason, UsageError
from medimg.pipeline import Pipeline, find_pipelines
from medimg.progress import Progress, silent

JOURNAL_FILE = "journal.sqlite"
LOCK_FILE = ".medimg-batch.lock"

WORTH_ANOTHER_TRY = {str(reason) for reason in (Reason.CRASHED, Reason.TIMED_OUT, Reason.OUT_OF_MEMORY)}
"""Failures that may be the moment's: tried again in the same run. A broken scan stays broken until the next call."""

MOST_NODES = 5
"""Nodes of a cluster that may be lost with one case in a run, before it is the case that is to blame."""

PAUSE_SECONDS = (5, 15, 30, 60, 120)
"""Waits for a disk that takes nothing, or a network drive that is away, before the batch stops."""

Listener = Callable[[dict[str, Any]], None]
"""Told of every event: {"event": "planned" | "case" | "pause" | "done", ...}."""


@dataclass(frozen=True)
class Plan:
    """What a run would do. counts: cases in each state; to_do: ids; unwanted: scans that no pipeline takes."""

    counts: dict[str, int]
    by_pipeline: dict[str, int]
    to_do: tuple[str, ...]
    unwanted: int
    skipped: int
    estimate: Estimate


class Batch:
    """A batch on the folder `output`; use it as a context: it holds the folder against others.

    tell: told of every event; beside: called every half a second at least while cases are worked on.
    """

    def __init__(self, export: Export, output: Path, options: Options, listener: Listener = lambda _: None) -> None:
        self.export, self.output, self.options, self.tell = export, files.output_folder(output), options, listener
        self.pipelines = _pipelines(options.pipelines, options.trusted)
        self.place = Place(
            options.results or str(self.output.resolve()), staged=options.cluster is not None, part=options.suffix
        )
        if self.place.is_store:
            opened_store(self.place.root)  # a place that is none is told before anything is searched
        self.beside: Callable[[], None] = lambda: None
        self._at_work: set[str] = set()
        self._replanned = False
        self._names = dict(zip((p.name for p in self.pipelines), options.pipelines, strict=False))

    def __enter__(self) -> Batch:
        with ExitStack() as stack:
            stack.enter_context(exclusive(self.output / f"{LOCK_FILE}{self.options.suffix}"))
            self.journal = Journal(self.output / JOURNAL_FILE.replace(".", f"{self.options.suffix}.", 1))
            stack.callback(self.journal.close)
            self._held: AbstractContextManager[Any] = stack.pop_all()
        return self

    def __exit__(self, *details: Any) -> None:
        self._held.__exit__(*details)

    def plan(self, progress: Progress = silent) -> Plan:
        """Find the scans (again) and bring the journal's list of cases up to date; also while `run` is at work."""
        run = int(self.journal.recall("run") or 0) + 1
        self.journal.remember("run", str(run))
        with self._readers() as readers:
            catalogue(self.export.roots, self.output, self.journal, run, readers, progress)
        unwanted = 0
        with self.journal.listing(run, self._at_work) as found:
            for group in self.journal.groups():
                mine = [scan for scan in group if self._wanted(scan)]
                if mine and _at_rest(mine, self.options.quiet):
                    routed = route(mine, self.pipelines)
                    found(routed.cases, routed.unwanted)
                    unwanted += len(routed.unwanted)
        self._replanned = True
        return self._planned(unwanted)

    def run(self, look: Callable[[], object] | None = None) -> dict[str, int]:
        """Do every case that is to be done; write the summary; the count of cases in each state.

        look: called every half a second at least; when it calls `plan`, what that finds is done in this run too. Raises
        OutputError when the disk takes nothing for long: what was done is kept, and the next call goes on.
        """
        queue = deque(self.journal.to_do(self.options.attempts))
        self.tell({"event": "begin", "cases": len(queue), "workers": self.options.processes})
        try:
            with self._workers(len(queue) if look is None else self.options.processes) as workers:
                try:
                    self._work(workers, queue, look)
                finally:
                    self._leave(workers.tasks)
        except BaseException:
            with suppress(OutputError):  # the first thing that went wrong is told
                self.summarize()
            raise
        self.summarize()
        counts = self.journal.counts()
        self.tell({"event": "done", **counts})
        return counts

    def summarize(self) -> None:
        """Write what became of every case so far. Raises OutputError."""
        write_summary(self.journal, self.output, self.options.suffix, self.options.results)

    def _work(self, workers: Workers, queue: deque[str], look: Callable[[], object] | None) -> None:
        """Give out what is in the queue, and settle what comes back, until nothing is left."""
        patience = deque(PAUSE_SECONDS)
        lost: Counter[str] = Counter()
        while queue or workers.tasks:
            while queue and workers.has_room:
                self._give(workers, queue.popleft())
            for task, said in workers.events():
                identifier = task.case.id
                if isinstance(said, str):
                    workers.answer(task, self.journal.done_with(said, task.case.pipeline_sha256))
                    continue
                self._at_work.discard(identifier)
                if said.trouble is Trouble.DISK:
                    self._put_back(task, queue)
                    self._pause(said.message or "", patience)
                elif said.trouble is Trouble.NODE and lost[identifier] < MOST_NODES:
                    lost[identifier] += 1
                    self._put_back(task, queue)
                    self.tell({"event": "node_lost", "id": identifier, "message": said.message})
                else:
                    patience = deque(PAUSE_SECONDS)
                    self._settle(task, said, queue)
            self.beside()
            if look is not None:
                self._look(look, queue)

    def _look(self, look: Callable[[], object], queue: deque[str]) -> None:
        """Queue anew what is to be done, when that was planned anew."""
        self._replanned = False
        look()
        if self._replanned:
            queue.clear()
            queue.extend(name for name in self.journal.to_do(self.options.attempts) if name not in self._at_work)

    def _leave(self, tasks: Sequence[Task]) -> None:
        """Cases that are broken off are as if they had not been begun."""
        with suppress(OutputError):  # the next call finds them at work, and takes them up all the same
            for task in tasks:
                self.journal.put_back(task.case.id)
        self._at_work.clear()

    def patiently(self, note: Callable[[], None]) -> None:
        """Write to the journal, as soon as the disk takes it. Raises OutputError when it does not for long."""
        patience = deque(PAUSE_SECONDS)
        while True:
            try:
                return note()
            except OutputError as error:
                self._pause(str(error), patience)

    def _wanted(self, scan: Scan) -> bool:
        """Asked for, and of this part."""
        number, count = self.options.part
        group = scan.study_uid or scan.folder
        share = int(hashlib.sha256(group.encode("utf-8", "surrogateescape")).hexdigest()[:8], 16) % count
        return share == number and self.export.wants(scan)

    def _planned(self, unwanted: int) -> Plan:
        attempts = self.options.attempts
        by_pipeline = self.journal.to_do_by_pipeline(attempts)
        return Plan(
            self.journal.counts(),
            by_pipeline,
            tuple(self.journal.to_do(attempts)),
            unwanted,
            self.journal.count_skipped(),
            estimate(self.journal, self.output, by_pipeline, self.pipelines, self.options.processes),
        )

    def _readers(self) -> AbstractContextManager[Readers]:
        if self.options.cluster is None:
            return nullcontext(processes(self.options.processes))
        from medimg.batch.cluster import reading_nodes

        return reading_nodes(self.options.cluster)

    def _workers(self, cases: int) -> AbstractContextManager[Workers]:
        if self.options.cluster is None:
            return Pool(min(self.options.processes, max(1, cases)), self.options.time_limit)
        from medimg.batch.cluster import RayPool

        return RayPool(self.options.cluster, self.place, self.options.workers, self.options.time_limit)

    def _give(self, workers: Workers, identifier: str) -> None:
        case = self.journal.case(identifier)
        assert case is not None
        self.patiently(lambda: self.journal.begin(identifier))
        squeeze = case.attempts if case.reason == Reason.OUT_OF_MEMORY else 0
        pipeline = self._names.get(case.pipeline, case.pipeline)
        task = Task(case, pipeline, self.place, self.options.worker_engine, self.options.trusted, squeeze)
        self._at_work.add(identifier)
        workers.give(task)

    def _put_back(self, task: Task, queue: deque[str]) -> None:
        self.patiently(lambda: self.journal.put_back(task.case.id))
        queue.append(task.case.id)

    def _settle(self, task: Task, outcome: Outcome, queue: deque[str]) -> None:
        case = task.case
        now = self.journal.case(case.id)
        if now is not None and (now.signature, now.pipeline_sha256) != (case.signature, case.pipeline_sha256):
            queue.append(case.id)  # more of the scan came meanwhile: what was searched is not what is there
            return
        twin = self.journal.done_with(outcome.input_sha256 or "", case.pipeline_sha256)
        if outcome.state == DONE and twin not in (None, case.id):
            # two copies were searched at the same time; the first that was done counts
            outcome = replace(outcome, state=DUPLICATE, duplicate_of=twin, message=f"the same scan as {twin}")
        self.patiently(lambda: self.journal.finish(case.id, outcome))
        worth_it = outcome.state == FAILED and outcome.reason in WORTH_ANOTHER_TRY
        again = worth_it and case.attempts + 1 < self.options.attempts
        if again:
            queue.append(case.id)
        known = {name: value for name, value in vars(outcome).items() if name != "trouble"}
        self.tell({"event": "case", "id": case.id, "pipeline": case.pipeline, "again": again, **known})

    def _pause(self, message: str, patience: deque[int]) -> None:
        if not patience:
            raise OutputError(f"{message}; the batch stops, call it again to go on")
        seconds = patience.popleft()
        self.tell({"event": "pause", "seconds": seconds, "message": message})
        time.sleep(seconds)


def _at_rest(scans: Sequence[Scan], quiet: float) -> bool:
    """Whether a study has come whole: one of its contrasts may be there long before the last."""
    if not quiet:
        return True
    try:
        newest = max(files.changed_at(on_disk(path).stat()) for scan in scans for path in scan.files)
    except OSError:
        return True  # it is gone, which reading will tell
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
