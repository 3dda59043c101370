"""Workers: processes that each take whole cases, so that one reads while another computes and a third writes.

A case that takes its process down (a decoder's crash, memory that ran out, a limit of time) is lost alone; the worker
is started anew. Volumes never travel between processes: only names and outcomes do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Protocol

from medimg.batch.rows import FAILED
from medimg.batch.work import Outcome, Task, run_task
from medimg.errors import Reason

ORPHANED_SECONDS = 0.2
"""How often a worker looks whether its parent is still there."""

TICK_SECONDS = 0.5
"""How often limits of time are looked at."""

Event = tuple[Task, "str | Outcome"]
"""What a worker says of its case: the digest of its scans (it waits for `answer`), or what became of it."""


class Workers(Protocol):
    """Who works on cases: processes of this machine, or of a cluster."""

    @property
    def tasks(self) -> list[Task]:
        """What they are at."""

    @property
    def has_room(self) -> bool:
        """Whether a case can be given out."""

    def give(self, task: Task) -> None:
        """Hand out a case; only where there is room."""

    def events(self) -> Iterator[Event]:
        """What they have to say by now, after waiting a little when it is nothing."""

    def answer(self, task: Task, twin: str | None) -> None:
        """To the digest of a case: the id of a done case of the same content, or None."""


@dataclass
class Worker:
    """One process and the case it works on."""

    process: BaseProcess
    pipe: Connection
    task: Task | None = None
    began: float = 0.0


@dataclass
class Pool:
    """`size` workers on this machine. time_limit: seconds a case may take; 0 sets none. Use it as a context."""

    size: int
    time_limit: float = 0.0
    workers: list[Worker] = field(default_factory=list)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            _end(worker)
        self.workers.clear()

    @property
    def tasks(self) -> list[Task]:
        """What the workers are at."""
        return [worker.task for worker in self.workers if worker.task is not None]

    @property
    def has_room(self) -> bool:
        """Whether a case can be given out."""
        return len(self.tasks) < self.size

    def give(self, task: Task) -> None:
        """Hand a case to an idle worker; one is started when there is none."""
        worker = next((worker for worker in self.workers if worker.task is None), None)
        if worker is None:
            self.workers.append(worker := _start())
        worker.task, worker.began = task, time.monotonic()
        # a worker that died while idle shows when its outcome is awaited
        with contextlib.suppress(OSError):
            worker.pipe.send(task)

    def events(self) -> Iterator[Event]:
        """What the busy workers have to say by now, after waiting a little when it is nothing."""
        waited_for = {worker.pipe: worker for worker in self.workers if worker.task is not None}
        for ready in connection.wait(list(waited_for), TICK_SECONDS):
            worker = waited_for[ready]  # type: ignore[index]
            task = worker.task
            assert task is not None
            try:
                said: str | Outcome = worker.pipe.recv()
            except (EOFError, OSError):
                yield task, self._lost(worker, _died(worker))
                continue
            if isinstance(said, Outcome):
                worker.task = None
                if said.reason == Reason.OUT_OF_MEMORY:
                    self._lost(worker, said)  # what it still holds would count against the next case
            yield task, said
        yield from self._overdue()

    def answer(self, task: Task, twin: str | None) -> None:
        """To the digest of a case: the id of a done case of the same content, or None."""
        worker = next(worker for worker in self.workers if worker.task is task)
        with contextlib.suppress(OSError):
            worker.pipe.send(twin)

    def _overdue(self) -> Iterator[Event]:
        for worker in list(self.workers):
            if self.time_limit and worker.task is not None and time.monotonic() - worker.began > self.time_limit:
                task, message = worker.task, f"took more than {self.time_limit:g} s; see --time-limit"
                yield task, self._lost(worker, Outcome(FAILED, str(Reason.TIMED_OUT), message, self.time_limit))

    def _lost(self, worker: Worker, outcome: Outcome) -> Outcome:
        self.workers.remove(worker)
        _end(worker)
        return outcome


def _start() -> Worker:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, os.getpid()), name="medimg-batch", daemon=False)
    process.start()
    theirs.close()
    return Worker(process, ours)


def _died(worker: Worker) -> Outcome:
    """Why a worker is gone, as far as its exit code tells."""
    worker.process.join(5)
    code = worker.process.exitcode
    if code == -signal.SIGKILL:
        message = "its process was killed (signal 9): the system had no memory left, or somebody did it"
        return Outcome(FAILED, str(Reason.OUT_OF_MEMORY), message)
    how = f"signal {-code} ({signal.strsignal(-code)})" if code is not None and code < 0 else f"exit code {code}"
    return Outcome(FAILED, str(Reason.CRASHED), f"its process ended with {how}")


def _end(worker: Worker) -> None:
    worker.pipe.close()
    worker.process.kill()
    worker.process.join()


def serve(pipe: Connection, parent: int) -> None:
    """A worker's life: take a case, tell what became of it, take the next; end with the parent."""
    # Ctrl-C reaches the whole group; the parent decides what becomes of the case
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()

    def twin(digest: str) -> str | None:
        pipe.send(digest)
        answer: str | None = pipe.recv()
        return answer

    with contextlib.suppress(EOFError, OSError):
        while True:
            task: Task = pipe.recv()
            pipe.send(run_task(task, twin))


def _end_with(parent: int) -> None:
    """A parent that was killed cannot say so."""
    while os.getppid() == parent:
        time.sleep(ORPHANED_SECONDS)
    os._exit(1)
