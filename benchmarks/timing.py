"""Taking turns with the peers, and what a process took: seconds and memory."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20

RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in one unit of ru_maxrss: it is bytes on macOS, KiB elsewhere (getrusage(2))."""


LAUNCHER = """
import os, sys, time
start = time.perf_counter()
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], "w") as told:
    print(time.perf_counter() - start, usage.ru_maxrss, file=told)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""A small process between this one and the measured one: a child's ru_maxrss begins at its parent's size."""


@dataclass(frozen=True)
class Timing:
    """Seconds of several runs."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle run."""
        return statistics.median(self.seconds)

    @property
    def fastest(self) -> float:
        """The run that was disturbed least."""
        return min(self.seconds)


def alternate(runs: dict[str, Callable[[], float]], repeats: int) -> dict[str, Timing]:
    """Run each in turn, `repeats` times after one turn that warms the caches; each returns its seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            took = run()
            if turn:
                seconds[name].append(took)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def clocked(work: Callable[[], object]) -> Callable[[], float]:
    """`work` as something that returns its seconds; what it returned is freed outside of them."""

    def run() -> float:
        gc.collect()
        start = time.perf_counter()
        result = work()
        took = time.perf_counter() - start
        del result
        return took

    return run


@dataclass(frozen=True)
class Process:
    """What a whole process took. peak: largest resident memory, in bytes."""

    seconds: float
    peak: int
    output: str


def run_process(command: Sequence[str | Path]) -> Process:
    """Run a command, its program given by its path, to its end. Raises RuntimeError with its output when it fails."""
    # as an installed program runs: without compiling its modules each time
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.NamedTemporaryFile("r") as told:
        launcher = [sys.executable, "-S", "-c", LAUNCHER, told.name, *map(str, command)]
        done = subprocess.run(launcher, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            message = f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            raise RuntimeError(message)
        seconds, peak = told.read().split()
    return Process(float(seconds), int(peak) * RSS_UNIT, done.stdout)


def into_folder(command: Callable[[Path], Sequence[str | Path]], parent: Path) -> Callable[[], float]:
    """A process that writes into an empty folder each time."""

    def run() -> float:
        with tempfile.TemporaryDirectory(dir=parent) as folder:
            return run_process(command(Path(folder))).seconds

    return run


def machine(packages: Sequence[str]) -> str:
    """The processor, its cores, how busy it is, and the versions of what was measured."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    versions = [f"Python {platform.python_version()}"]
    for name in packages:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"no {name}")
    pigz = "pigz" if shutil.which("pigz") else "no pigz"
    return f"{model}, {os.cpu_count()} cores, load {load} at the start\n{', '.join(versions)}, {pigz}"
