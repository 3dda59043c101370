"""The zoo's lung_nodule_ct_detection (random weights): medimg infer --bundle beside MONAI's RetinaNetDetector.

    python benchmarks/lung_bundle.py               # 512 x 512 x 208, the peer on 256 x 256 x 96; about 20 minutes
    python benchmarks/lung_bundle.py --peer-whole  # the peer on the whole scan too (it took over 400 s a window)
    python benchmarks/lung_bundle.py --quick       # small, to see that it works

The peer is a whole process of MONAI's own detector with the bundle's configuration, not `monai.bundle run`: that needs
torchvision and a script of the download (benchmarks/bundle_peers.py). Where it runs on a part of the scan only, its
time is scaled by the voxels of the windows that the bundle would run over the scan; the ratio by the scan's own voxels,
which leaves their overlap out and so favours it, stands in brackets.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import tempfile
from pathlib import Path

import bundle_peers as peers
import zoo
from bundle_table import Runs, take_turns
from ceiling import network_share
from timing import machine

from medimg.inference.plan import Windows, plan_windows, triple

SHAPE, SPACING, WINDOW = (512, 512, 208), (0.703125, 0.703125, 1.25), (512, 512, 192)
PART = (256, 256, 96)
OVERLAP = 0.25
"""Of the bundle's windows."""


def main() -> None:
    """Print the table."""
    given = arguments()
    shape, part, window = (SHAPE, PART, WINDOW)
    if given.quick:
        shape, part, window = (96, 96, 48), (64, 64, 32), (64, 64, 32)
    elif given.peer_whole:
        part = shape
    print(machine(peers.PACKAGES), flush=True)
    with tempfile.TemporaryDirectory(prefix="medimg-benchmark-", dir=given.folder) as made:
        folder = Path(made)
        spacing = SPACING if not given.quick else (3.75, 3.75, 5.4)
        scan = peers.chest(folder / "chest.nii.gz", shape, spacing)
        small = peers.chest(folder / "part.nii.gz", part, SPACING)
        bundle = zoo.lung_bundle(folder, window)
        infer = ["infer", "--bundle", bundle, "--trust", "--volume"]
        runs = take_turns(
            {
                "MONAI's detector": lambda output: peers.monai_detector(bundle, small, output),
                "medimg on the same part": lambda output: peers.medimg(*infer, small, "-o", output),
            },
            folder,
            given.repeats,
        )
        peer, same = runs.values()
        scale, by_voxels = searched(shape, window) / searched(part, window), math.prod(shape) / math.prod(part)
        print(
            f"\nscan {told(shape)}, peer on {told(part)}, its time scaled x {scale:.1f} by the voxels of its windows "
            f"({by_voxels:.1f} by the scan's)\n\n{HEAD}"
        )
        print(line("MONAI's detector, the part", peer, peer.median))
        print(line("medimg, the part", same, peer.median, peers.matched_boxes(same.output, peer.output)), flush=True)
        chosen = {"medimg --fast": ["--fast"], "medimg, the bundle's own window": []}
        if importlib.util.find_spec("openvino"):
            chosen["medimg --fast --engine openvino"] = ["--fast", "--engine", "openvino"]
        for name, options in chosen.items():
            if options or given.own_window or given.quick:
                command = [*infer, scan, *options, "-o"]
                whole = take_turns({name: lambda output, c=command: peers.medimg(*c, output)}, folder, given.repeats)
                run = whole[name]
                less = f"{peer.median * by_voxels / run.median:.1f} x by voxels"
                print(line(f"{name}, whole scan", run, peer.median * scale, less, "25 x, 2.5 GiB"), flush=True)
        print("\n" + network_share(bundle, 1, (192, 192, 80) if not given.quick else window, given.repeats))


HEAD = "| what | median (fastest) | faster | peak memory | agreement | bar |\n|---|---|---|---|---|---|"


def line(name: str, run: Runs, peer_seconds: float, agreement: str = "", bar: str = "") -> str:
    """One line of the table."""
    return (
        f"| {name} | {run.median:.1f} s ({min(run.seconds):.1f}) | {peer_seconds / run.median:.1f} x | "
        f"{run.memory:.2f} GiB | {agreement} | {bar} |"
    )


def searched(shape: tuple[int, int, int], window: tuple[int, int, int]) -> int:
    """Voxels that the bundle's windows hold, overlap and all; an image smaller than one goes through as it is."""
    size = tuple(min(pair) for pair in zip(shape, window, strict=True))
    plan = plan_windows(shape, Windows(size=triple(size), overlap=(OVERLAP,) * 3), None)
    return len(plan.chosen) * math.prod(plan.size)


def told(shape: tuple[int, int, int]) -> str:
    """A shape in words."""
    return " x ".join(map(str, shape))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="small scans and windows")
    parser.add_argument("--peer-whole", action="store_true", help="the peer on the whole scan")
    parser.add_argument("--own-window", action="store_true", help="medimg without --fast too: 9 GiB, minutes")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each (3)")
    parser.add_argument("--folder", type=Path, default=None, help="where temporary files are made")
    return parser.parse_args()


if __name__ == "__main__":
    main()
