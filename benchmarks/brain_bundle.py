"""The zoo's brats_mri_segmentation (random weights): medimg infer --bundle beside python -m monai.bundle run.

    python benchmarks/brain_bundle.py              # 240 x 240 x 155; about ten minutes on two cores
    python benchmarks/brain_bundle.py --quick      # a small head and window, to see that it works

Whole processes from start to files on disk, taking turns, same files, same weights. On a CUDA machine both use the GPU
(the peer with the bundle's own amp): the same command. Files are made in a temporary folder and removed again.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import tempfile
from pathlib import Path

import bundle_peers as peers
import zoo
from bundle_table import HEAD, Command, Runs, row, take_turns
from ceiling import network_share
from timing import machine, run_process

SHAPE, WINDOW = (240, 240, 155), (240, 240, 160)

BATCHES = (2, 6)
"""Cases of a short and of a long batch: their difference is what further cases cost."""


def main() -> None:
    """Print the table."""
    given = arguments()
    shape, window = ((60, 60, 40), (64, 64, 48)) if given.quick else (SHAPE, WINDOW)
    print(machine(peers.PACKAGES), flush=True)
    with tempfile.TemporaryDirectory(prefix="medimg-benchmark-", dir=given.folder) as made:
        folder = Path(made)
        files = peers.brats_case(folder / "case", shape)
        bundle = peers.runnable(zoo.brats_bundle(folder, window), [files])
        runs = take_turns(commands(bundle, folder / "case"), folder, given.repeats)
        peer = runs["monai.bundle run"]
        print(f"\n{'x'.join(map(str, shape))}, window {'x'.join(map(str, window))}, {given.repeats} turns\n\n{HEAD}")
        print(row("python -m monai.bundle run", peer, peer, "", ""))
        for name, run in runs.items():
            if run is not peer:
                print(row(name, run, peer, agreement(run, peer), "2.2 x, goal 4; 0.7 of the memory"), flush=True)
        print(further_case(bundle, files, shape, folder, peer, given.repeats), flush=True)
        print(network_share(bundle, 4, window, given.repeats))


def commands(bundle: Path, case: Path) -> dict[str, Command]:
    """The contestants, the peer first."""
    common = ["infer", "--bundle", bundle, "--trust", "--volume", case, "-o"]

    def ours(*options: str) -> Command:
        return lambda output: peers.medimg(*common, output, *options)

    made: dict[str, Command] = {
        "monai.bundle run": lambda output: peers.monai_bundle_run(bundle, output),
        "medimg": ours(),
        "medimg --precision fp32": ours("--precision", "fp32"),
        "medimg --fast": ours("--fast"),
    }
    if importlib.util.find_spec("openvino"):
        made["medimg --engine openvino"] = ours("--engine", "openvino")
    return made


def agreement(run: Runs, peer: Runs) -> str:
    """Dice of every label with the peer's."""
    scores = peers.dice(peers.labels(run.output), peers.labels(peer.output))
    return "Dice " + ", ".join(f"{value}: {score:.4f}" for value, score in scores.items())


def further_case(
    bundle: Path, files: list[Path], shape: tuple[int, int, int], folder: Path, peer: Runs, repeats: int
) -> str:
    """What one more case costs: `medimg batch` of six less that of two; of the peer, two cases less one."""
    exports = [export(folder / f"export {count}", count, shape) for count in BATCHES]
    ours: dict[str, list[float]] = {}
    theirs: list[float] = []
    engines = ["torch", *(["openvino"] if importlib.util.find_spec("openvino") else [])]
    for turn in range(max(1, repeats // 2)):
        for engine in engines:
            short, long = (batch(bundle, cases, folder / f"{engine} {turn} {cases.name}", engine) for cases in exports)
            ours.setdefault(engine, []).append((long - short) / (BATCHES[1] - BATCHES[0]))
        peers.runnable(bundle, [files, files])
        theirs.append(run_process(peers.monai_bundle_run(bundle, folder / f"two {turn}")).seconds - peer.median)
        peers.runnable(bundle, [files])
    usual = statistics.median(theirs)
    medians = {engine: statistics.median(values) for engine, values in ours.items()}
    told = ", ".join(f"{engine} {seconds:.2f} s ({usual / seconds:.2f} x)" for engine, seconds in medians.items())
    return f"\neach further case: monai.bundle run {usual:.2f} s; medimg batch {told}; bar 4 x, goal 6"


def export(folder: Path, count: int, shape: tuple[int, int, int]) -> Path:
    """A folder of that many patients."""
    for number in range(count):
        peers.brats_case(folder / str(number), shape, seed=number + 1)
    return folder


def batch(bundle: Path, cases: Path, output: Path, engine: str) -> float:
    """Seconds of a whole batch."""
    command = peers.medimg("batch", cases, "-o", output, "--pipeline", bundle, "--trust", "--engine", engine)
    return run_process(command).seconds


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="a small head and window")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each (5)")
    parser.add_argument("--folder", type=Path, default=None, help="where temporary files are made")
    return parser.parse_args()


if __name__ == "__main__":
    main()
