"""What a million studies cost on 1 to 1,000 nodes: a model from measured constants, and what gives out first.

    python benchmarks/batch_scale.py             # the table, from batch_constants.json
    python benchmarks/batch_scale.py --measure   # measure the driver's constants on a Ray cluster on this machine
    python benchmarks/batch_scale.py --studies 100000 --storage-gb-s 40

A case is a chest CT of 120 slices (63 MB). The table holds the largest of four times: headers read, scans computed,
bytes moved to and from the shared storage, cases handed out and noted by the driver.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

CONSTANTS = Path(__file__).with_name("batch_constants.json")

NODES = (1, 10, 100, 1000)

MS_PER_HOUR = 3_600_000


@dataclass(frozen=True)
class Constants:
    """Measured; batch_constants.json says where.

    case_seconds: of one processor for one case. header_ms: of one processor for one file. listed_ms, worked_ms,
    summed_up_ms: of the driver for the journal, a case. handed_out_ms: of the driver for Ray, a case. waiting_us: of
    the driver each time it looks, a worker. read_mb, written_mb, report_mb: of a case: the scan, all that is written,
    and what is written without pictures. journal_kb: disk, a case. driver_mib, worker_mib: memory; driver_kb: what the
    driver's grows by a case.
    """

    case_seconds: float
    header_ms: float
    listed_ms: float
    worked_ms: float
    summed_up_ms: float
    handed_out_ms: float
    waiting_us: float
    read_mb: float
    written_mb: float
    report_mb: float
    journal_kb: float
    driver_mib: float
    driver_kb: float
    worker_mib: float


@dataclass(frozen=True)
class Setting:
    """What is computed where. storage_gb_s: of the shared storage, to and from all nodes together."""

    studies: int
    files: int
    cores: int
    storage_gb_s: float


def hours(known: Constants, setting: Setting, nodes: int, *, pictures: bool, nodes_read: bool) -> dict[str, float]:
    """Hours of each of the things that go on beside one another, but for the headers, which come first."""
    workers = nodes * setting.cores
    readers = workers if nodes_read else setting.cores
    moved_mb = known.read_mb + (known.written_mb if pictures else known.report_mb)
    driver_ms = known.listed_ms + known.worked_ms + known.handed_out_ms + known.summed_up_ms
    # it looks at all workers once for each thing that one of them says; each case says two
    driver_ms += 2 * known.waiting_us * workers / 1000
    return {
        "headers": setting.studies * setting.files * known.header_ms / readers / MS_PER_HOUR,
        "computing": setting.studies * known.case_seconds / workers / 3600,
        "storage": setting.studies * moved_mb / 1000 / setting.storage_gb_s / 3600,
        "driver": setting.studies * driver_ms / MS_PER_HOUR,
    }


def table(known: Constants, setting: Setting) -> None:
    """One row a number of nodes, for everything on the driver and for what is done about it."""
    print(f"{setting.studies:,} chest CTs of {setting.files} files, nodes of {setting.cores} processors,")
    print(f"shared storage of {setting.storage_gb_s:g} GB/s\n")
    print(
        "| nodes | headers | computing | storage | driver | in all | first to give out |\n|---|---|---|---|---|---|---|"
    )
    for pictures, nodes_read in ((True, False), (False, True)):
        said = "without pictures, nodes read the headers" if nodes_read else "pictures, the driver reads the headers"
        print(f"| **{said}** | | | | | | |")
        for nodes in NODES:
            taken = hours(known, setting, nodes, pictures=pictures, nodes_read=nodes_read)
            rest = {name: value for name, value in taken.items() if name != "headers"}
            cells = " | ".join(f"{value:.1f} h" for value in taken.values())
            whole = taken["headers"] + max(rest.values())
            print(f"| {nodes:,} | {cells} | {whole:.1f} h | {max(taken, key=lambda name: taken[name])} |")
    moved = setting.studies * (known.written_mb / 1e6), setting.studies * known.report_mb / 1e6
    print(f"\nresults: {moved[0]:.1f} TB with pictures, {moved[1]:.2f} TB without")
    print(f"journal: {setting.studies * known.journal_kb / 1e6:.1f} GB on the driver's disk")
    print(f"driver's memory: {(known.driver_mib + setting.studies * known.driver_kb / 1024) / 1024:.1f} GiB")
    print(f"a node's memory: {setting.cores * known.worker_mib / 1024:.0f} GiB for {setting.cores} workers")


def measure(cases: int, seats: int = 1000) -> dict[str, float]:
    """What handing out a case costs the driver in processor time, and looking at `seats` workers."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    from medimg.batch import cluster
    from medimg.batch.options import Cluster
    from medimg.batch.place import Place
    from medimg.batch.rows import CaseRow, Input
    from medimg.batch.work import Outcome, Task
    from medimg.inference.options import Engine

    class Instant(cluster.Host):
        """A worker whose cases take no time."""

        def give(self, task: Task) -> str | Outcome:
            return task.case.id

        def answer(self, twin: str | None) -> str | Outcome:
            return Outcome("done")

    cluster.Host = Instant  # type: ignore[misc]
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
    paths = tuple(Path(f"/data/export/study1/series1/IM{k:06d}.dcm") for k in range(120))
    named = {"pipeline": "p", "pipeline_sha256": "0", "study_uid": "1", "description": "", "signature": ""}
    row = CaseRow(id="case", inputs=(Input("ct", "series", "1", paths),), **named)
    done = 0
    with tempfile.TemporaryDirectory() as made, cluster.RayPool(Cluster(), Place(made), most=1) as pool:
        while not pool.has_room:
            list(pool.events())
        began = time.process_time()
        while done < cases:
            if pool.has_room:
                pool.give(Task(row, "p", pool.place, Engine()))
            for task, said in pool.events():
                done += isinstance(said, Outcome)
                if not isinstance(said, Outcome):
                    pool.answer(task, None)
        handed_out = 1000 * (time.process_time() - began) / cases

    @ray.remote
    def wait() -> None:
        time.sleep(600)

    pending = [wait.remote() for _ in range(seats)]
    began = time.process_time()
    for _ in range(100):
        ray.wait(pending, num_returns=len(pending), timeout=0)
    waiting = 1e6 * (time.process_time() - began) / 100 / seats
    ray.shutdown()
    return {"handed_out_ms": round(handed_out, 2), "waiting_us": round(waiting, 2)}


def main() -> None:
    """Print the table, or the constants."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--measure", action="store_true", help="measure what Ray costs the driver; print it as JSON")
    parser.add_argument("--quick", action="store_true", help="with --measure: a few cases")
    parser.add_argument("--studies", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=120, help="files of a study")
    parser.add_argument("--cores", type=int, default=16, help="processors of a node")
    parser.add_argument("--storage-gb-s", type=float, default=10.0, help="of the shared storage")
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(20 if given.quick else 1000, 50 if given.quick else 1000)))
        return
    known = json.loads(CONSTANTS.read_text(encoding="utf-8"))["constants"]
    table(Constants(**known), Setting(given.studies, given.files, given.cores, given.storage_gb_s))


if __name__ == "__main__":
    main()
