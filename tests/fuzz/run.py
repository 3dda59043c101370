"""Mutation fuzzing of every reader: damaged scans in, and nothing but volumes and reasons may come out.

    make fuzz       # python tests/fuzz/run.py --count 12000 --seed 1

Each case is a folder with one healthy CT series and one scan of which a file or more were damaged; it goes through
`medimg preprocess`'s own function, with some or none of its repairs asked for, in a child process that has a limit of
memory and of time. What must hold:

* no exception but medimg's own, no crash, no hang, memory under the limit;
* every file is accounted for: in a volume, in a rejection, excluded or skipped;
* the healthy series comes out as it was, voxel by voxel;
* every volume that was written can be read again and is finite, on the grid its manifest names.

A case is a function of (seed, number) alone: `--only NUMBER` repeats one.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import nibabel as nib
import numpy as np

ADDRESS_SPACE = 6 << 30
"""A child may map this much: Python, its libraries and medimg's own caps together stay well below."""

RESIDENT_MIB = 1500
"""What a child may really use in a case: medimg's largest cap is 512 MiB inflated, held at most twice."""

CASE_SECONDS = 30.0
"""Longer for a few kilobytes is a hang."""

HEALTHY_SEED = 99
"""Of the undamaged series in every case."""


@dataclass
class Outcome:
    """What a run found. failures: case number -> what went wrong."""

    cases: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)
    slowest: float = 0.0
    peak_mib: float = 0.0


def fuzz(count: int, seed: int, first: int = 0) -> Outcome:
    """Run cases first .. first + count - 1 in child processes, one after the other; a dead child is replaced."""
    outcome = Outcome()
    number, end = first, first + count
    while number < end:
        for entry in _child(seed, number, end):
            number = int(entry["case"]) + 1
            _record(entry, outcome)
    return outcome


def _record(entry: dict[str, Any], outcome: Outcome) -> None:
    outcome.cases += 1
    outcome.slowest = max(outcome.slowest, entry.get("seconds", 0.0))
    outcome.peak_mib = max(outcome.peak_mib, entry.get("peak_mib", 0.0))
    if entry.get("failure"):
        outcome.failures[entry["case"]] = f"{entry['kind']}: {entry['failure']}"
    outcome.verdicts.update(entry.get("verdicts", ()))


def _child(seed: int, first: int, end: int) -> Iterator[dict[str, Any]]:
    """Results of one child, until it is done, dies, or takes too long over a case."""
    command = [sys.executable, "-X", "faulthandler", __file__, "--child", f"--seed={seed}"]
    command += [f"--first={first}", f"--count={end - first}"]
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True) as child,
    ):
        lines: Queue[str | None] = Queue()
        reader = threading.Thread(target=_forward, args=(child.stdout, lines), daemon=True)
        reader.start()
        number, kind = first, "?"
        while number < end:
            try:
                line = lines.get(timeout=CASE_SECONDS)
            except Empty:
                child.kill()
                yield {"case": number, "kind": kind, "failure": f"took more than {CASE_SECONDS:.0f} s"}
                break
            if line is None:
                child.wait()
                complaints.seek(0)
                said = " ".join(complaints.read().split())[-600:]
                yield {"case": number, "kind": kind, "failure": f"the process ended with {child.returncode}: {said}"}
                break
            entry = json.loads(line)
            kind = entry["kind"]
            if "seconds" in entry:
                yield entry
                number = entry["case"] + 1
        child.kill()
        reader.join()


def _forward(stream: Any, lines: Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def run_cases(seed: int, first: int, count: int) -> None:
    """The child: one line of JSON when a case begins and one when it has ended."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    for number in range(first, first + count):
        rng = np.random.default_rng((seed, number))
        kind = _kind_of(number)
        print(json.dumps({"case": number, "kind": kind}), flush=True)
        began = time.perf_counter()
        _forget_peak_memory()
        with tempfile.TemporaryDirectory(prefix="medimg-fuzz-") as folder:
            failure, verdicts = _run_case(kind, rng, Path(folder))
        peak_mib = _peak_memory_mib()
        if failure is None and peak_mib > RESIDENT_MIB:
            failure = f"{peak_mib:.0f} MiB resident"
        entry = {"case": number, "kind": kind, "failure": failure, "verdicts": verdicts}
        print(json.dumps({**entry, "seconds": time.perf_counter() - began, "peak_mib": peak_mib}), flush=True)


def _forget_peak_memory() -> None:
    """proc(5): writing 5 sets the peak back to what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def _peak_memory_mib() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1024  # type: ignore[index]


def _kind_of(number: int) -> str:
    from fuzz.seeds import KINDS

    return list(KINDS)[number % len(KINDS)]


def _run_case(kind: str, rng: np.random.Generator, folder: Path) -> tuple[str | None, list[str]]:
    from fuzz.mutate import mutate
    from fuzz.seeds import KINDS, classic
    from medimg.dicom.options import ReadOptions
    from medimg.errors import MedimgError
    from medimg.stages.preprocess import preprocess_folder

    root, output = folder / "in", folder / "out"
    classic(root / "healthy", HEALTHY_SEED)
    targets = KINDS[kind](root / "damaged")
    for path in rng.choice(np.array(targets, dtype=object), size=int(rng.integers(1, len(targets) + 1)), replace=False):
        path.write_bytes(mutate(path.read_bytes(), rng))
    options = ReadOptions(*map(bool, rng.integers(0, 2, 3)))
    try:
        preprocess_folder(root, output, options=options)
        return _broken_promise(root, output), _verdicts(output)
    except MedimgError as error:
        return f"the whole run stopped: {error}", []
    except Exception as error:  # what this program looks for
        return f"{type(error).__name__}: {error}", []


def _verdicts(output: Path) -> list[str]:
    document = json.loads((output / "manifest.json").read_text(encoding="utf-8"))
    return [entry["reason"] or entry["status"] for entry in document["series"]] + [
        entry["reason"] for entry in document["skipped"]
    ]


def _broken_promise(root: Path, output: Path) -> str | None:
    """What the output says that is not so; None when all of it holds."""
    document = json.loads((output / "manifest.json").read_text(encoding="utf-8"))
    named = {entry["path"] for entry in document["skipped"]}
    healthy = False
    for series in document["series"]:
        named |= {*series["files"], *series["unused"]} | {entry["path"] for entry in series["excluded"]}
        if (series["status"] == "rejected") != (series["reason"] is not None):
            return f"status {series['status']} with reason {series['reason']}"
        for volume in series["volumes"]:
            sidecar = json.loads((output / volume["path"].replace(".nii.gz", ".json")).read_text(encoding="utf-8"))
            named |= set(sidecar["source"]["files"])
            image = nib.load(output / volume["path"])
            array = np.asarray(image.dataobj)
            if list(array.shape) != volume["shape"] or not np.allclose(image.affine, volume["affine_ras"], atol=1e-3):
                return f"{volume['path']} is not on the grid its manifest names"
            if not math.isfinite(float(array.sum(dtype=np.float64))):
                return f"{volume['path']} holds voxels that are not finite"
            healthy |= _is_healthy(array, image.affine)
    if not healthy:
        return "the healthy series beside the damaged one is lost or changed"
    # a damaged zip's members have no names left: the zip itself stands for them
    lost = [path for path in _files(root) if not any(name == path or name.startswith(f"{path}/") for name in named)]
    return f"{lost} is nowhere in the manifest" if lost else None


def _is_healthy(array: np.ndarray, affine: np.ndarray) -> bool:
    from fuzz.seeds import AFFINE_RAS, truth_hu

    truth = truth_hu()
    if array.shape != truth.shape:
        return False
    axes = np.sign(np.diag(affine[:3, :3])) == np.sign(np.diag(AFFINE_RAS[:3, :3]))
    flipped = truth[tuple(slice(None, None, 1 if same else -1) for same in axes)]
    return bool(np.array_equal(flipped, array))


def _files(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]


def main() -> int:
    """The command line; exit code 1 when any case failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", type=int)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_cases(options.seed, options.first, options.count)
        return 0
    first, count = (options.first, options.count) if options.only is None else (options.only, 1)
    began = time.perf_counter()
    outcome = fuzz(count, options.seed, first)
    seconds = time.perf_counter() - began
    print(f"{outcome.cases} damaged scans, seed {options.seed}: {len(outcome.failures)} failures, {seconds:.0f} s,")
    print(f"slowest case {outcome.slowest:.2f} s, peak memory {outcome.peak_mib:.0f} MiB. What became of the series:")
    for verdict, times in outcome.verdicts.most_common():
        print(f"  {times:6d} {verdict}")
    for number, failure in list(outcome.failures.items())[:400]:
        print(f"FAILED case {number}: {failure}")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(main())
