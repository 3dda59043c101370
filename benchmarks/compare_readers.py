"""Run every case of the conformance catalogue through medimg and the readers in use; print and write the table.

    make compare-readers
    python benchmarks/compare_readers.py --readers medimg,dcm2niix --cases gantry --page /tmp/readers.md

Each reader works in the environment of --peers (`make compare-readers` makes it), each case in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import platform
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests"), str(HERE.parent)]

from compare.judge import Output, Verdict, judge, lines_of  # noqa: E402
from compare.page import Row, counts, page  # noqa: E402
from compare.peers import READERS  # noqa: E402
from compare.worker import MEMORY_BYTES, SECONDS  # noqa: E402
from conformance.cases import CASES, Case  # noqa: E402
from conformance.cases.phantom import Phantom  # noqa: E402

BASELINE = "sound"
"""The case whose messages say nothing about the others."""

SQUARE_MM = (1.5, 1.5)
"""Pixels are square where a case says nothing else: a reader that swaps rows and columns is told so in one case."""

NOTES = [
    "dcm2niix takes the private scale of Philips MR on purpose (`-p n` asks it for the public one).",
    "Enhanced images of the catalogue have their functional groups, and no dimension index beside them.",
    "MONAI Deploy runs without CUDA and without the nvImageCodec decoder, which no case needs.",
]
"""What is to be known beside the table."""

LAST_LINES = 3
"""Of what a reader that does not start has printed."""


class Worker:
    """One reader's process."""

    def __init__(self, name: str, python: Path) -> None:
        environment = {
            **os.environ,
            "COMPARE_BIN": str(Path(sys.executable).parent),
            "PYTHONPATH": f"{HERE}:{HERE.parent}",
        }
        # one thread each: the readers share the machine, and no case is large
        environment |= {"OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
        command = [python, "-m", "compare.worker", name]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        if not self._process.stdout or not self._process.stdout.readline():
            assert self._process.stderr
            said = self._process.stderr.read().strip().splitlines()[-LAST_LINES:]
            raise RuntimeError(f"{name} does not start: {' / '.join(said)}")

    def read(self, folder: Path, output: Path) -> Output:
        """What the reader makes of one folder."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps({"folder": str(folder), "output": str(output)}), file=self._process.stdin, flush=True)
        status = json.loads(self._process.stdout.readline())["status"]
        said, error, volumes = output / "said.txt", output / "error.txt", output / "volumes.pickle"
        text = said.read_text(errors="replace") if said.exists() else ""
        if status != "ended":
            return Output(status, [], lines_of(text), raised=False)
        return Output(status, pickle.loads(volumes.read_bytes()), lines_of(text), raised=error.exists())

    def end(self) -> None:
        """Let the process go."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", default=",".join(READERS), help="names, comma-separated")
    parser.add_argument(
        "--cases", default="", help="only cases with one of these in their theme or name, comma-separated"
    )
    parser.add_argument("--peers", type=Path, default=Path(sys.executable), help="the Python that has the peers")
    parser.add_argument("--page", type=Path, help="write the table there")
    parser.add_argument("--keep", type=Path, help="keep the cases' files and what came out in this folder")
    options = parser.parse_args()
    words = options.cases.split(",")
    cases = [case for case in CASES if any(word in f"{case.theme} {case.name}" for word in words)]
    workers, notes = _start(options.readers.split(","), options.peers)
    if not workers:
        sys.exit(f"no reader starts; the page stays as it is: {notes[0]}")
    with tempfile.TemporaryDirectory(prefix="compare-readers-") as scratch:
        root = options.keep or Path(scratch)
        usual = {name: _usual(worker, root / "baseline" / name) for name, worker in workers.items()}
        rows = [_row(number, len(cases), case, workers, usual, root) for number, case in enumerate(cases, start=1)]
    for worker in workers.values():
        worker.end()
    versions = {name: _version(READERS[name][0], options.peers) for name in workers}
    print(counts(rows, versions))
    if options.page:
        about = {"command": "make compare-readers", "date": date.today().isoformat(), "machine": _machine()}
        about |= {"seconds": SECONDS, "memory": MEMORY_BYTES >> 30}
        options.page.write_text(page(rows, versions, notes, about), encoding="utf-8")


def _start(names: list[str], python: Path) -> tuple[dict[str, Worker], list[str]]:
    """The readers that start, and a note about each that does not."""
    workers: dict[str, Worker] = {}
    notes = list(NOTES)
    for name in names:
        try:
            workers[name] = Worker(name, python)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            notes.append(f"Not run: {error}.")
    return workers, notes


def _usual(worker: Worker, folder: Path) -> frozenset[str]:
    """What the reader prints for a sound series."""
    scan = Phantom(folder / "in", spacing=SQUARE_MM)
    scan.folder.mkdir(parents=True)
    next(case for case in CASES if case.name == BASELINE).write(scan)
    return worker.read(scan.folder, folder / "out").lines


def _row(
    number: int, total: int, case: Case, workers: dict[str, Worker], usual: dict[str, frozenset[str]], root: Path
) -> Row:
    scan = Phantom(root / case.name / "in", spacing=SQUARE_MM)
    scan.folder.mkdir(parents=True)
    expected = case.write(scan)
    verdicts: dict[str, Verdict] = {}
    for name, worker in workers.items():
        output = worker.read(scan.folder, root / case.name / name)
        verdicts[name] = judge(expected, output, usual[name], scan)
    words = ", ".join(f"{name} {verdict.kind}" for name, verdict in verdicts.items())
    print(f"{number}/{total} {case.name}: {words}", file=sys.stderr, flush=True)
    return case, bool(expected.volumes), verdicts


def _version(package: str, python: Path) -> str:
    script = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "?"


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
