"""One reader over many folders: each in a child of its own, under a limit of time and one of memory.

Started with a reader's name; reads lines of JSON {"folder", "output"} from stdin and answers each with a line
{"status": "ended" | "crashed" | "hung" | "too much memory"}. The child leaves `volumes.pickle`, `said.txt` and, when
an exception ended it, `error.txt` in the output folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

from compare.peers import READERS, Reader, warm_up

SECONDS = 60.0
"""Every case is a few hundred kilobytes, or a few sparse gigabytes: it takes seconds, or does not end."""

MEMORY_BYTES = 3 << 30
"""Resident memory of the child and its children; the volumes are of 10 KB."""

POLL_SECONDS = 0.02


def main() -> None:
    """Serve until stdin ends."""
    name = sys.argv[1]
    warm_up(name)
    print(json.dumps({"status": "ready"}), flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        status = _in_a_child(READERS[name][1], Path(task["folder"]), Path(task["output"]))
        print(json.dumps({"status": status}), flush=True)


def _in_a_child(reader: Reader, folder: Path, output: Path) -> str:
    output.mkdir(parents=True)
    child = os.fork()
    if child == 0:
        os.setsid()
        _read(reader, folder, output)
        os._exit(0)
    return _watch(child)


def _watch(child: int) -> str:
    started = time.monotonic()
    verdict = "ended"
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            # its own children may have survived it
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            return verdict if status == 0 or verdict != "ended" else "crashed"
        if verdict == "ended" and time.monotonic() - started > SECONDS:
            verdict = "hung"
        if verdict == "ended" and _resident(child) > MEMORY_BYTES:
            verdict = "too much memory"
        if verdict != "ended":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def _resident(group: int) -> int:
    """Bytes of memory that the processes of a group hold."""
    total = 0
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError):
            fields = Path(entry.path, "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(fields[2]) == group:
                total += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return total


def _read(reader: Reader, folder: Path, output: Path) -> None:
    """The child: what is printed goes to said.txt, what comes out to volumes.pickle. Never returns an exception."""
    said = os.open(output / "said.txt", os.O_CREAT | os.O_WRONLY)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.dup2(said, 1)
    os.dup2(said, 2)
    warnings.simplefilter("always")
    volumes = []
    files = output / "files"
    files.mkdir()
    try:
        for name, array, affine in reader(folder, files):
            volumes.append((name, np.array(array), np.array(affine, dtype=float)))
    except BaseException:
        (output / "error.txt").write_text(traceback.format_exc())
    sys.stdout.flush()
    sys.stderr.flush()
    (output / "volumes.pickle").write_bytes(pickle.dumps(volumes))


if __name__ == "__main__":
    main()
