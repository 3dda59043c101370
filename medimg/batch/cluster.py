"""Workers of a Ray cluster: the same processes as on one machine, each held by an actor somewhere.

An actor (`Host`) has a pool of one, so that a case that takes its process down is told from a node that is gone: in
the first the actor lives and says what happened, as it would on one machine; with the second the actor is gone too.
The journal stays with the driver, which hands out one case a worker and is asked before a case is searched whether
its twin is done.
"""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import medimg
from medimg.batch.catalogue import Readers
from medimg.batch.options import Cluster
from medimg.batch.place import Place
from medimg.batch.pool import TICK_SECONDS, Event, Pool
from medimg.batch.rows import FAILED
from medimg.batch.work import Outcome, Task, Trouble
from medimg.errors import MedimgError, NetworkError, Reason, UsageError

GROW_SECONDS = 5.0
"""How often the cluster is asked whether there is room for more workers: nodes come back, and autoscalers add some."""

PATIENCE_SECONDS = 300.0
"""How long a batch waits while the cluster gives it no worker: longer than starting a machine of a cloud takes."""


class Host:
    """One worker on a node. Its methods are called by the driver, one at a time."""

    def __init__(self, time_limit: float) -> None:
        self._pool = Pool(1, time_limit)

    def check(self, probe: str | None, version: str) -> str:
        """The node's name. Raises UsageError when it has another medimg, or cannot see the results' folder."""
        node = socket.gethostname()
        if medimg.__version__ != version:
            raise UsageError(f"node {node} has medimg {medimg.__version__}, the driver {version}; install the same")
        if probe is not None and not Path(probe).is_file():
            folder = Path(probe).parent
            raise UsageError(f"node {node} does not see {folder}; put -o on a shared folder, or name a --results URL")
        return node

    def give(self, task: Task) -> str | Outcome:
        """Begin a case: the digest of its scans, or what became of it already."""
        self._pool.give(task)
        return self._said()

    def answer(self, twin: str | None) -> str | Outcome:
        """Go on with the case after its digest."""
        self._pool.answer(self._pool.tasks[0], twin)
        return self._said()

    def _said(self) -> str | Outcome:
        while True:
            for _, said in self._pool.events():
                return said


@dataclass
class Seat:
    """A worker as the driver has it: its actor, what it was asked last, and the case it is at.

    There can be thousands: whatever is done for each case must not look at all of them.
    """

    actor: Any
    asked: Any
    node: str | None = None
    task: Task | None = None


@dataclass
class RayPool:
    """Workers on a cluster, as many as it has room for, or `most`. Use it as a context.

    Raises UsageError when there is no Ray or no cluster, or its nodes cannot do this batch; NetworkError when it gives
    no worker.
    """

    cluster: Cluster
    place: Place
    most: int = 0
    time_limit: float = 0.0
    seats: list[Seat] = field(default_factory=list)
    _idle: list[Seat] = field(default_factory=list)
    _at: dict[str, Seat] = field(default_factory=dict)

    def __enter__(self) -> RayPool:
        with ExitStack() as stack:
            self._ray = stack.enter_context(connected(self.cluster.address))
            self._probe = None if self.place.is_store else stack.enter_context(_probe(Path(self.place.root)))
            self.place.clean()
            self._grown = self._alive = -float("inf")
            self._grow()
            self._alive = time.monotonic()
            stack.callback(self._dismiss)
            self._stack: AbstractContextManager[Any] = stack.pop_all()
        return self

    def __exit__(self, *details: Any) -> None:
        self._stack.__exit__(*details)

    @property
    def tasks(self) -> list[Task]:
        """What the workers are at."""
        return [seat.task for seat in self.seats if seat.task is not None]

    @property
    def has_room(self) -> bool:
        """Whether a worker has nothing to do."""
        return bool(self._idle)

    def give(self, task: Task) -> None:
        """Hand a case to a worker that has none."""
        seat = self._at[task.case.id] = self._idle.pop()
        seat.task, seat.asked = task, seat.actor.give.remote(task)

    def answer(self, task: Task, twin: str | None) -> None:
        """To the digest of a case: the id of a done case of the same content, or None."""
        seat = self._at[task.case.id]
        seat.asked = seat.actor.answer.remote(twin)

    def events(self) -> Iterator[Event]:
        """What the workers have to say by now, after waiting a little when it is nothing; cases whose node is lost."""
        self._grow()
        asked = {seat.asked: seat for seat in self.seats if seat.asked is not None}
        if not asked:
            time.sleep(TICK_SECONDS)
        elif self._ray.wait(list(asked), num_returns=1, timeout=TICK_SECONDS)[0]:
            # and all others that have something to say as well
            for reference in self._ray.wait(list(asked), num_returns=len(asked), timeout=0)[0]:
                yield from self._heard(asked[reference])

    def _heard(self, seat: Seat) -> Iterator[Event]:
        task = seat.task
        try:
            said = self._ray.get(seat.asked)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, MedimgError):
                raise error.cause from error
            said = Outcome(FAILED, str(Reason.CRASHED), " ".join(str(error.cause).split()))
        except self._ray.exceptions.RayError as error:
            self.seats.remove(seat)
            self._ray.kill(seat.actor)
            if task is not None:
                del self._at[task.case.id]
                message = f"node {seat.node} was lost ({type(error).__name__})"
                yield task, Outcome(FAILED, str(Reason.NODE_LOST), message, trouble=Trouble.NODE)
            return
        seat.asked = None
        if task is None:
            seat.node = said
            self._idle.append(seat)
            return
        if isinstance(said, Outcome):
            seat.task = None
            del self._at[task.case.id]
            self._idle.append(seat)
        yield task, said

    def _grow(self) -> None:
        """Start workers where there is room. Raises NetworkError when there has been none for long."""
        now = time.monotonic()
        self._alive = now if any(seat.node for seat in self.seats) else self._alive
        if now - self._grown < GROW_SECONDS:
            return
        self._grown = now
        if now - self._alive > PATIENCE_SECONDS and self._alive > 0:
            raise NetworkError(f"the cluster has given no worker for {PATIENCE_SECONDS:.0f} s; call the batch again")
        room = self._room()
        for _ in range(len(self.seats), min(room, self.most or room)):
            actor = self._ray.remote(Host).options(**self._claims).remote(self.time_limit)
            self.seats.append(Seat(actor, actor.check.remote(self._probe, medimg.__version__)))

    @property
    def _claims(self) -> dict[str, Any]:
        """No restarts by Ray: the driver starts a worker where there is room."""
        claims = {"num_cpus": self.cluster.cpus_per_worker, "num_gpus": self.cluster.gpus_per_worker}
        return {**claims, "max_restarts": 0, "scheduling_strategy": "SPREAD"}

    def _room(self) -> int:
        """Workers that fit the nodes that are alive."""
        there = self._ray.cluster_resources()
        room = int(there.get("CPU", 0) // self.cluster.cpus_per_worker)
        if self.cluster.gpus_per_worker:
            room = min(room, int(there.get("GPU", 0) / self.cluster.gpus_per_worker))
        return room

    def _dismiss(self) -> None:
        for seat in self.seats:
            self._ray.kill(seat.actor)
        self.place.clean()
        for known in (self.seats, self._idle, self._at):
            known.clear()


@contextmanager
def reading_nodes(cluster: Cluster) -> Iterator[Readers]:
    """The processors of the cluster as readers of headers: one machine would be at it for days where there are
    millions of studies (docs/batch.md)."""
    with connected(cluster.address) as ray:
        yield Readers(int(ray.cluster_resources().get("CPU", 0)), lambda: _Tasks(ray))


class _Tasks(Executor):
    """Functions as tasks of Ray, which does one again when its node is lost."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._remote: dict[Any, Any] = {}

    def submit(self, function: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        """As any executor."""
        if function not in self._remote:
            self._remote[function] = self._ray.remote(num_cpus=1, scheduling_strategy="SPREAD")(function)
        future: Future[Any] = self._remote[function].remote(*args, **named).future()
        return future


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """The module ray, connected to the cluster; as it was afterwards. Raises UsageError when there is none."""
    try:
        import ray
    except ImportError as error:
        raise UsageError("a cluster needs Ray: pip install 'medimg[cluster]'") from error
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        told = " ".join(str(error).split())[:200]
        raise UsageError(f"no Ray cluster at {address}: {told}; start one, or name another with --address") from error
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _probe(folder: Path) -> Iterator[str]:
    """A file in the folder, by which a node can tell that it sees the same one."""
    path = folder / f".medimg-probe-{uuid.uuid4().hex}"
    path.touch()
    try:
        yield str(path)
    finally:
        path.unlink(missing_ok=True)
