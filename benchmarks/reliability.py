"""How far medimg batch can be relied on, and how well it uses the machine; prints a table for docs/batch.md.

python benchmarks/reliability.py kills         # 100 times kill -9 at a random moment, each resumed
python benchmarks/reliability.py mixed         # 1,000 cases, one in ten bad
python benchmarks/reliability.py soak          # is memory flat over many cases?
python benchmarks/reliability.py throughput    # beside one process a case, on 50 chest CTs
python benchmarks/reliability.py journal       # what the journal costs at 100,000 rows
python benchmarks/reliability.py NAME --quick  # a little of it, to see that it works
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
from batch_exports import bad_cases, chests, good_cases, small_pipeline
from timing import MIB, machine

from medimg.batch.exports import Export
from medimg.batch.journal import Journal
from medimg.batch.options import Options
from medimg.batch.rows import DONE, FAILED, CaseRow, Input, Result, Scan
from medimg.batch.run import Batch
from medimg.batch.summary import write_summary
from medimg.report.read import read_report

CORES = len(os.sched_getaffinity(0))

WARM_UP = 0.2
"""Share of a soak before memory is looked at: imports, networks, the allocator's first blocks."""

SAMPLE_SECONDS = 0.2
"""How often the threads of a batch are counted that run, or would if a processor were free."""

FILES = 130
"""Files of a series in the journal's benchmark."""


def kills(folder: Path, count: int, cases: int = 6) -> None:
    """Batches killed at random moments until `count` kills are reached, each called again until it ends."""
    pipeline, chance = small_pipeline(folder / "pipeline"), random.Random(1)
    export = folder / "export"
    good_cases(export, cases)
    began = time.monotonic()
    expected = _answers(_batch(export, folder / "reference", pipeline))
    whole = time.monotonic() - began
    done = batches = redone = interrupted = 0
    while done < count:
        output = folder / f"out{batches}"
        batches += 1
        before: dict[str, int] = {}
        while True:
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            process = subprocess.Popen(_command(export, output, pipeline), **quiet)
            if done < count and not _ends_within(process, chance.uniform(0, whole)):
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                done += 1
                interrupted += _state(output, "running")
                _require(_sound(output), f"the journal of {output} is broken")
            elif process.wait() != 0:
                raise SystemExit(f"batch {batches} ended with {process.returncode}")
            now = _done(output)
            redone += sum(now.get(case) != written for case, written in before.items())
            before = now
            if process.returncode == 0:
                break
        _require(_answers(output) == expected, f"{output} has other answers than a run that nobody killed")
        _require(len(before) == cases, f"{output}: {len(before)} of {cases} cases are done")
    _row("kill -9 at random moments", f"{done} in {batches} batches of {cases} cases, {interrupted} cases were at work")
    _row("cases done, valid, as in a run nobody killed", f"{batches * cases} of {batches * cases}")
    _row("cases that were done and were done again", str(redone))
    _row("journals broken", "0")


def mixed(folder: Path, count: int) -> None:
    """Good and bad cases together; every one of them must be where it belongs."""
    pipeline, export = small_pipeline(folder / "pipeline"), folder / "export"
    bad = bad_cases(export, count // 10)
    good = good_cases(export, count - len(bad))
    began = time.monotonic()
    output = _batch(export, folder / "out", pipeline, expected=(0, 3))
    seconds = time.monotonic() - began
    summary = _summary(output)
    done = sum(entry["state"] == DONE for entry in summary["cases"])
    named = [entry["path"] for entry in summary["cases"] if entry["state"] == FAILED]
    named += [entry["path"] for entry in summary["skipped"]]
    named += [f"{entry['place']}/{entry['description']}" for entry in summary["not_wanted"]]
    missing = [path for path in bad if not any(path.name.partition(".")[0] in entry for entry in named)]
    _row("good cases done", f"{done} of {len(good)}")
    _row("bad cases named with their reason", f"{len(bad) - len(missing)} of {len(bad)}")
    _row("time", f"{seconds:.0f} s, {1000 * seconds / count:.0f} ms a case on {CORES} workers")
    _require(done == len(good) and not missing, f"not accounted for: {missing or 'good cases'}")


def soak(folder: Path, count: int, pipeline: str = "lung_nodule") -> None:
    """Memory of the driver and of one worker after each case."""
    export = folder / "export"
    good_cases(export, count)
    sizes: list[tuple[float, float]] = []

    def listen(event: dict[str, Any]) -> None:
        if event["event"] == "case":
            sizes.append((_resident(os.getpid()), sum(_resident(child.pid) for child in active_children())))

    with Batch(Export((export,)), folder / "out", Options((pipeline,), workers=1), listen) as batch:
        batch.plan()
        batch.run()
    kept = np.array(sizes[int(WARM_UP * len(sizes)) :])
    for name, values in zip(("driver", "worker"), kept.T, strict=True):
        slope = np.polyfit(np.arange(len(values)), values, 1)[0] if len(values) > 2 else 0.0
        told = f"{slope:+.3f} MiB a case ({values[0]:.0f} -> {values[-1]:.0f} MiB)"
        _row(f"{name} over {len(values)} cases of {pipeline}", told)


def throughput(folder: Path, count: int, peers: int = 10, workers: int = 0, size: int = 512) -> None:
    """One batch over CT series, and `medimg infer` on some of them, one process after the other: half of these before
    the batch and half after it, so that a machine that grows busier or quieter favours neither."""
    series = chests(folder / "export", count, slices=120 if size == 512 else 40, size=size)
    before, after = series[: (peers + 1) // 2], series[(peers + 1) // 2 : peers]
    alone = [_infer_alone(path, folder) for path in before]
    used, busy, began = _cpu_seconds(), _busy(), time.monotonic()
    command = _command(folder / "export", folder / "out", Path("lung_nodule"), ["--workers", str(workers)])
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wanted = []
        while not _ends_within(process, SAMPLE_SECONDS):
            wanted.append(min(CORES, _runnable(process.pid)) / CORES)
    _require(process.returncode == 0, f"medimg batch ended with {process.returncode}")
    wall = time.monotonic() - began
    ours, all_of_it = (_cpu_seconds() - used) / wall / CORES, _busy(busy)
    findings = [entry["findings"] for entry in _summary(folder / "out")["cases"]]
    alone += [_infer_alone(path, folder) for path in after]
    one_each = float(np.mean(alone))
    spread = f"{min(alone):.1f} to {max(alone):.1f} s" if len(alone) > 1 else "one"
    _row("one process a case", f"{one_each:.2f} s a case ({len(alone)} cases, {spread}), {3600 / one_each:.0f} cases/h")
    what = f"{count} cases of {min(findings)} to {max(findings)} findings, {workers or CORES} workers"
    told = f"{wall / count:.2f} s a case ({what}, start and summary included), {3600 * count / wall:.0f} cases/h"
    _row("batch", told)
    _row("ratio", f"{one_each * count / wall:.2f} x")
    _row("processors busy", f"{100 * ours:.0f} % with the batch, {100 * all_of_it:.0f} % with all that ran")
    _row("processors it had work for, on a shared machine too", f"{100 * np.mean(wanted or [0]):.0f} %")


def journal(folder: Path, count: int) -> None:
    """A journal of `count` cases of FILES files: filled, worked through, summed up."""
    folder.mkdir(exist_ok=True)
    taken: dict[str, tuple[float, float]] = {}

    def clock(name: str, work: Callable[[], None]) -> None:
        began = time.perf_counter(), time.process_time()
        work()
        ended = time.perf_counter(), time.process_time()
        taken[name] = (1000 * (ended[0] - began[0]) / count, 1000 * (ended[1] - began[1]) / count)
        _row(f"journal: {name}", "{:.2f} ms a case, {:.2f} ms of a processor".format(*taken[name]))

    book = Journal(folder / "journal.sqlite")
    clock("found", lambda: _fill(book, count))
    clock("listed", lambda: _list(book, count))
    clock("worked", lambda: [_work(book, name) for name in book.to_do(1)] and None)
    clock("summed up", lambda: write_summary(book, folder))
    book.close()
    size = (folder / "journal.sqlite").stat().st_size
    _row(
        f"journal: all of it, at {count:,} rows",
        "{:.2f} ms a case, {:.2f} ms of a processor".format(*map(sum, zip(*taken.values(), strict=True))),
    )
    _row("journal: disk", f"{size / count:.0f} bytes a case")
    _row("peak memory of the process", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def _files(number: int) -> tuple[Path, ...]:
    return tuple(Path(f"/data/export/study{number:07d}/series1/IM{k:06d}.dcm") for k in range(FILES))


def _fill(book: Journal, count: int) -> None:
    for number in range(count):
        study = f"2.25.{number}"
        names = {"folder": f"/data/export/study{number:07d}/series1", "key": f"{study}/1", "kind": "series"}
        said = {"modality": "CT", "description": "chest", "signature": "0" * 64}
        scan = Scan(**names, **said, files=_files(number), study_uid=study, series_uid=f"{study}.1")
        with book.transaction():
            book.put_folder(scan.folder, scan.signature, 1, [scan], [])


def _list(book: Journal, count: int) -> None:
    with book.listing(1) as found:
        for number, (scan,) in enumerate(book.groups()):
            inputs = (Input("ct", scan.kind, scan.series_uid, scan.files),)
            named = {"id": f"case{number:07d}", "pipeline": "p", "pipeline_sha256": "0" * 64, "description": "chest"}
            found([CaseRow(**named, study_uid=scan.study_uid, inputs=inputs, signature=scan.signature)], [])


def _work(book: Journal, name: str) -> None:
    """What a run asks and says of one case."""
    book.case(name)
    book.begin(name)
    book.done_with(name, "0" * 64)
    book.done_with(name, "0" * 64)
    book.finish(name, Result(DONE, seconds=1.0, peak_memory_mib=1.0, input_sha256=name, findings=1))


def _command(export: Path, output: Path, pipeline: Path, more: Sequence[str] = ()) -> list[str]:
    medimg = [sys.executable, "-W", "ignore", "-m", "medimg", "batch", str(export), "-o", str(output)]
    return [*medimg, "--pipeline", str(pipeline), "--quiet", *more]


def _batch(
    export: Path, output: Path, pipeline: Path, expected: Sequence[int] = (0,), more: Sequence[str] = ()
) -> Path:
    ended = subprocess.run(_command(export, output, pipeline, more), capture_output=True, text=True, check=False)
    _require(ended.returncode in expected, f"medimg batch ended with {ended.returncode}: {ended.stderr[-500:]}")
    return output


def _summary(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    return found


def _answers(output: Path) -> dict[str, Any]:
    """The findings of every case, from reports that are read and checked; without when they were made."""
    reports = {path.parent.name: read_report(path.parent) for path in output.glob("*/report.json")}
    return {case: [finding.to_dict() for finding in report.findings] for case, report in reports.items()}


def _done(output: Path) -> dict[str, int]:
    """When the report of each case that the journal calls done was written."""
    rows = _ask(output, "SELECT id FROM cases WHERE state = 'done'")
    return {case: (output / case / "report.json").stat().st_mtime_ns for (case,) in rows}


def _state(output: Path, state: str) -> int:
    return len(_ask(output, f"SELECT id FROM cases WHERE state = '{state}'"))


def _sound(output: Path) -> bool:
    return _ask(output, "PRAGMA integrity_check") in ([], [("ok",)])


def _ask(output: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of the journal; none where it was not made yet."""
    if not (output / "journal.sqlite").is_file():
        return []
    found = sqlite3.connect(output / "journal.sqlite")
    try:
        tables = found.execute("SELECT name FROM sqlite_master WHERE name = 'cases'").fetchall()
        return found.execute(query).fetchall() if tables else []
    finally:
        found.close()


def _ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _resident(process: int | None) -> float:
    """MiB."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / MIB


def _infer_alone(series: Path, folder: Path) -> float:
    """Seconds of `medimg infer` on it, from start to end of the process."""
    command = [sys.executable, "-W", "ignore", "-m", "medimg", "infer", "--pipeline", "lung_nodule", "--quiet"]
    began = time.monotonic()
    subprocess.run(
        [*command, "--volume", series, "-o", folder / f"alone-{series.name}"], check=True, capture_output=True
    )
    return time.monotonic() - began


def _runnable(process: int) -> int:
    """Threads of the process and of all below it that run or wait for a processor (proc(5), state R)."""
    count, pending = 0, [process]
    while pending:
        folder = Path(f"/proc/{pending.pop()}/task")
        for thread in folder.glob("*"):
            with contextlib.suppress(OSError):  # it has ended since
                state = (thread / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
                count += state == "R"
                pending += map(int, (thread / "children").read_text(encoding="ascii").split())
    return count


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _busy(since: tuple[float, float] | None = None) -> Any:
    """(busy, all) seconds of the machine's processors; or the share that was busy since then (proc(5), /proc/stat)."""
    ticks = [int(word) for word in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    now = (sum(ticks) - ticks[3] - ticks[4], sum(ticks))
    return now if since is None else (now[0] - since[0]) / (now[1] - since[1])


def _require(held: bool, otherwise: str) -> None:
    if not held:
        raise SystemExit(otherwise)


def _row(name: str, value: str) -> None:
    print(f"| {name} | {value} |", flush=True)


RUNS: dict[str, tuple[Callable[..., None], dict[str, int], dict[str, int]]] = {
    "kills": (kills, {"count": 100}, {"count": 2, "cases": 3}),
    "mixed": (mixed, {"count": 1000}, {"count": 20}),
    "soak": (soak, {"count": 400}, {"count": 3}),
    "throughput": (throughput, {"count": 50}, {"count": 2, "peers": 1, "size": 128}),
    "journal": (journal, {"count": 100_000}, {"count": 50}),
}
"""Name -> what runs, its size, and a quick one's."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("name", choices=RUNS)
    parser.add_argument("--quick", action="store_true", help="a little of it")
    parser.add_argument("--count", type=int, help="cases, or kills, in place of the usual number")
    parser.add_argument("--workers", type=int, help="throughput: workers of the batch (one a processor)")
    parser.add_argument("--peers", type=int, help="throughput: cases that a process of their own does too (10)")
    parser.add_argument("--folder", type=Path, help="where temporary files are made")
    given = parser.parse_args()
    run, whole, quick = RUNS[given.name]
    options = {**(quick if given.quick else whole)}
    options |= {name: value for name in ("count", "workers", "peers") if (value := getattr(given, name)) is not None}
    print(machine(("medimg", "torch", "numpy")), flush=True)
    print("\n| what | measured |\n|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="medimg-benchmark-", dir=given.folder) as made:
        run(Path(made), **options)


if __name__ == "__main__":
    main()
