"""How a batch runs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from medimg.cores import usable_cores
from medimg.inference.options import Engine


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster. address: as ray.init takes it; "auto" is the one this machine belongs to.

    cpus_per_worker, gpus_per_worker: what each worker claims of the cluster; parts of a GPU are shared by several.
    """

    address: str = "auto"
    cpus_per_worker: int = 1
    gpus_per_worker: float = 0.0


@dataclass(frozen=True)
class Options:
    """How a batch runs.

    pipelines: names or paths; empty takes every installed one that may be chosen automatically. workers: processes; 0
    is one a processor. attempts: how often a case is tried at most. time_limit: seconds a case may take, 0 for none.
    part: (k from 0, n): this run's share of the studies. quiet: seconds for which a study's files must not have
    changed. trusted: the bundles of `pipelines` may be executed, whatever is in them (--trust). results: where the
    folders of cases go in place of OUT, a URL of fsspec's. cluster: a Ray cluster works, not this machine's processes.
    """

    pipelines: tuple[str, ...] = ()
    workers: int = 0
    attempts: int = 3
    time_limit: float = 0.0
    engine: Engine = field(default_factory=Engine)
    part: tuple[int, int] = (0, 1)
    quiet: float = 0.0
    trusted: bool = False
    results: str | None = None
    cluster: Cluster | None = None

    @property
    def suffix(self) -> str:
        """What tells the files of one part from another's."""
        return "" if self.part[1] == 1 else f"-{self.part[0]}-of-{self.part[1]}"

    @property
    def processes(self) -> int:
        """Workers to start."""
        return self.workers or usable_cores()

    @property
    def worker_engine(self) -> Engine:
        """The engine of one worker: its share of the processors and of the memory limit, and networks kept."""
        limit = self.engine.memory_limit
        if self.cluster is not None:
            return replace(self.engine, threads=self.engine.threads or self.cluster.cpus_per_worker, keep=True)
        share = max(1, usable_cores() // self.processes)
        return replace(
            self.engine,
            threads=self.engine.threads or share,
            memory_limit=None if limit is None else limit // self.processes,
            keep=True,
        )
