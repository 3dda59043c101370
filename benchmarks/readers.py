"""How fast medimg reads DICOM, and in how much memory, beside other readers on the same files.

    python benchmarks/readers.py                    # 512 x 512 x 300, 10,000 files to list; about five minutes
    python benchmarks/readers.py --quick            # smaller and fewer, to see that it works
    python benchmarks/readers.py --many 100000      # only: list a tree of 100,000 files

Every row takes turns with its peer, after one turn that fills the caches. Ratios are of medians, fastest runs beside
them. A peer that is not installed is said to be missing. Files are made in a temporary folder and removed again.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import peers
import phantom
from timing import MIB, Timing, alternate, clocked, into_folder, machine, run_process

READ_SCRIPT = """
import os, sys, time
if len(sys.argv) > 2:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[2])])
from pathlib import Path
from medimg.dicom.discover import discover
from medimg.dicom.series import read_series
start = time.perf_counter()
results = [read_series(series) for series in discover(Path(sys.argv[1])).series]
assert [len(result.volumes) for result in results] == [1], results
print("seconds", time.perf_counter() - start)
"""
"""One series into memory, on so many cores when told; it says how long it took after its imports."""

CONVERT_SCRIPT = """
import sys, time
from pathlib import Path
import isal.igzip_threaded, nibabel
from medimg.stages.preprocess import preprocess_folder
start = time.perf_counter()
preprocess_folder(Path(sys.argv[1]), Path(sys.argv[2]))
print("seconds", time.perf_counter() - start)
"""
"""What `medimg preprocess` does; it says how long it took after its imports."""

LIST_SCRIPT = """
import sys, time
from pathlib import Path
from medimg.dicom.discover import discover
start = time.perf_counter()
found = discover(Path(sys.argv[1]))
print("files", sum(len(series.frames) for series in found.series), "series", len(found.series))
print("seconds", time.perf_counter() - start)
"""


@dataclass(frozen=True)
class Row:
    """One line of the table. value: peer's time over medimg's for speed, the part of a limit for the others."""

    what: str
    ours: str
    peer: str
    value: float | None
    bar: str
    met: bool | None

    def cells(self) -> tuple[str, ...]:
        """The row in words."""
        value = "" if self.value is None else f"{self.value:.2f}"
        verdict = {True: "yes", False: "NO", None: "not measured"}[self.met]
        return (self.what, self.ours, self.peer, value, self.bar, verdict)


COLUMNS = ("what", "medimg", "peer", "ratio", "bar", "met")


@dataclass(frozen=True)
class Setup:
    """What is measured. shape: columns, rows, slices."""

    folder: Path
    shape: tuple[int, int, int]
    files: int
    slices_2000: int
    repeats: int
    monai_python: Path

    @property
    def volume_bytes(self) -> int:
        """Bytes of the volume as int16."""
        columns, rows, slices = self.shape
        return columns * rows * slices * 2

    @property
    def series(self) -> Path:
        """Where the series lies."""
        return self.folder / "series"


def rows(setup: Setup) -> Iterator[Row]:
    """Every row, measured when it is asked for."""
    columns, lines, slices = setup.shape
    drawn = phantom.chest_slices(lines, columns)
    paths = phantom.write_series(setup.series, drawn, slices)
    yield to_array(setup, sorted(paths))
    yield from to_nifti(setup)
    yield memory(setup, "peak memory to .nii.gz", lambda: run_in_folder(setup).peak)
    yield memory(setup, "peak memory to an array", lambda: run_process([*python(READ_SCRIPT), setup.series]).peak)
    yield jpeg_2000(setup, drawn)
    yield listing(setup)


def to_array(setup: Setup, paths: list[Path]) -> Row:
    """In this process: a folder to an array, against the loop over its files."""
    from medimg.dicom.discover import discover
    from medimg.dicom.series import read_series

    def ours() -> object:
        (series,) = discover(setup.series).series
        return read_series(series)

    runs = {"medimg": clocked(ours), "pydicom": clocked(lambda: peers.pydicom_volume(paths))}
    times = alternate(runs, setup.repeats)
    part = times["medimg"].median / times["pydicom"].median
    bar = "at most 1.30 of the time"
    return Row("to an array", told(times["medimg"]), f"pydicom loop {told(times['pydicom'])}", part, bar, part <= 1.3)


def to_nifti(setup: Setup) -> Iterator[Row]:
    """Whole processes: a folder to .nii.gz."""
    what = "to .nii.gz"
    runs = {"medimg": into_folder(functools.partial(peers.medimg, setup.series), setup.folder)}
    options = {"dcm2niix -z i -1": ["-z", "i", "-1"], "dcm2niix -z y": ["-z", "y"]}
    bars = {"dcm2niix -z i -1": 1.5, "dcm2niix -z y": 3.0}
    try:
        peers.dcm2niix([], setup.series, setup.folder)
    except ImportError:
        yield from (Row(what, "", f"{name}: not installed", None, faster(bar), None) for name, bar in bars.items())
    else:
        for name, flags in options.items():
            runs[name] = into_folder(functools.partial(peers.dcm2niix, flags, setup.series), setup.folder)
    times = alternate(runs, setup.repeats)
    yield from (against(what, times["medimg"], name, times[name], bars[name]) for name in runs if name != "medimg")
    yield from to_nifti_by_monai(setup)


def to_nifti_by_monai(setup: Setup) -> Iterator[Row]:
    """Both as whole processes, and both after their imports; MONAI is too slow to repeat it as often."""
    names = ("MONAI ITKReader + SaveImage, int16", "the same, both after their imports")
    try:
        run_process([setup.monai_python, "-c", "import monai, itk"])
    except RuntimeError:
        yield from (Row("to .nii.gz", "", f"{name}: no MONAI with itk", None, faster(10), None) for name in names)
        return
    inside: dict[str, list[float]] = {"medimg": [], "MONAI": []}

    def run(name: str, command: Callable[[Path], list[str | Path]]) -> float:
        with tempfile.TemporaryDirectory(dir=setup.folder) as folder:
            process = run_process(command(Path(folder)))
        inside[name].append(peers.seconds_said(process.output))
        return process.seconds

    ours = functools.partial(run, "medimg", lambda folder: [*python(CONVERT_SCRIPT), setup.series, folder])
    theirs = functools.partial(run, "MONAI", lambda folder: peers.monai(setup.monai_python, setup.series, folder))
    whole = alternate({"medimg": ours, "MONAI": theirs}, max(1, setup.repeats // 2))
    after = {name: Timing(tuple(seconds[1:])) for name, seconds in inside.items()}  # the first turn warmed up
    for name, times in zip(names, (whole, after), strict=True):
        yield against("to .nii.gz", times["medimg"], name, times["MONAI"], 10)


def jpeg_2000(setup: Setup, drawn: phantom.Slices) -> Row:
    """One core against two; compressed frames are decoded by one process a core."""
    what, bar = "JPEG 2000 to an array, two cores", faster(1.6)
    folder = setup.folder / "jpeg2000"
    count = setup.slices_2000
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        return Row(what, "", "no two cores to choose from", None, bar, None)
    if not phantom.write_jpeg_2000(folder, drawn, count):
        return Row(what, "", "imagecodecs is not installed", None, bar, None)

    def on(cores: int) -> Callable[[], float]:
        command = [*python(READ_SCRIPT), folder, str(cores)]
        return lambda: peers.seconds_said(run_process(command).output)

    times = alternate({"two": on(2), "one": on(1)}, setup.repeats)
    return against(f"{what}, {count} slices", times["two"], "one core", times["one"], 1.6)


def listing(setup: Setup) -> Row:
    """In this process: every header of a tree."""
    from medimg.dicom.discover import discover

    tree = setup.folder / "tree"
    phantom.write_many(tree, setup.files)
    paths = [path for path in sorted(tree.rglob("*")) if path.is_file()]
    runs = {
        "medimg": clocked(lambda: discover(tree)),
        "pydicom": clocked(lambda: peers.pydicom_listing(paths)),
    }
    times = alternate(runs, max(1, setup.repeats // 2))
    return against(f"list {setup.files:,} files", times["medimg"], "pydicom header loop", times["pydicom"], 2.0)


def memory(setup: Setup, what: str, peak: Callable[[], int]) -> Row:
    """The largest resident memory of a whole process, as a multiple of the volume."""
    used = max(peak() for _ in range(3))
    part = used / setup.volume_bytes
    return Row(
        what, f"{used / MIB:.0f} MiB", f"volume {setup.volume_bytes / MIB:.0f} MiB", part, "at most 1.60", part <= 1.6
    )


def many(folder: Path, count: int) -> str:
    """List one tree of `count` files; in words."""
    phantom.write_many(folder / "tree", count)
    process = run_process([*python(LIST_SCRIPT), folder / "tree"])
    lines = dict(line.split(" ", 1) for line in process.output.splitlines())
    seconds = float(lines["seconds"])
    return (
        f"{lines['files']}, listed in {seconds:.1f} s ({seconds / count * 1e6:.0f} us a file), "
        f"{process.peak / MIB:.0f} MiB at most"
    )


def against(what: str, ours: Timing, name: str, theirs: Timing, bar: float) -> Row:
    """A row whose ratio is the peer's median over medimg's."""
    ratio = theirs.median / ours.median
    return Row(what, told(ours), f"{name} {told(theirs)}", ratio, faster(bar), ratio >= bar)


def faster(bar: float) -> str:
    """A bar in words."""
    return f"{bar:g} x faster"


def told(timing: Timing) -> str:
    """Median and fastest run."""
    return f"{timing.median:.2f} s ({timing.fastest:.2f})"


def python(script: str) -> list[str]:
    """This Python with a script."""
    return [sys.executable, "-c", script]


def run_in_folder(setup: Setup) -> object:
    """`medimg preprocess` once."""
    with tempfile.TemporaryDirectory(dir=setup.folder) as folder:
        return run_process(peers.medimg(setup.series, Path(folder)))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, two repeats")
    parser.add_argument("--size", default=None, metavar="COLUMNSxROWSxSLICES", help="of the series (512x512x300)")
    parser.add_argument("--files", type=int, default=None, help="files to list (10,000)")
    parser.add_argument("--repeats", type=int, default=None, help="of each measurement (7)")
    parser.add_argument("--many", type=int, default=None, metavar="FILES", help="only list a tree of so many files")
    parser.add_argument("--folder", type=Path, default=None, help="where temporary files are made")
    parser.add_argument(
        "--monai-python", type=Path, default=Path(sys.executable), help="a Python that has monai and itk (this one)"
    )
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    given = arguments()
    columns, lines, slices = map(int, (given.size or ("512x512x30" if given.quick else "512x512x300")).split("x"))
    print(machine(peers.PACKAGES), flush=True)
    with tempfile.TemporaryDirectory(prefix="medimg-benchmark-", dir=given.folder) as folder:
        if given.many:
            print(many(Path(folder), given.many))
            return
        setup = Setup(
            folder=Path(folder),
            shape=(columns, lines, slices),
            files=given.files or (1000 if given.quick else 10_000),
            slices_2000=min(slices, 100),
            repeats=given.repeats or (2 if given.quick else 7),
            monai_python=given.monai_python,
        )
        print(f"{columns} x {lines} x {slices} int16; seconds: median of {setup.repeats} runs (fastest)\n")
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
        for row in rows(setup):
            print(f"| {' | '.join(row.cells())} |", flush=True)


if __name__ == "__main__":
    main()
