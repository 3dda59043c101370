"""The zoo's lung_nodule_ct_detection (random weights): medimg infer --bundle beside MONAI's RetinaNetDetector.

    python benchmarks/lung_bundle.py               # 512 x 512 x 208, the peer on 256 x 256 x 96; about 20 minutes
    python benchmarks/lung_bundle.py --peer-whole  # the peer on the whole scan too (it took over 400 s a window)
    python benchmarks/lung_bundle.py --quick       # small, to see that it works

The peer is a whole process of MONAI's own detector with the bundle's configuration, not `monai.bundle run`: that needs
torchvision and a script of the download (benchmarks/bundle_peers.py). Where it runs on a part of the scan only, its
time is scaled by voxels, which leaves its overlapping windows out and so favours it; the table says so.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import bundle_peers as peers
import zoo
from bundle_table import Runs, take_turns
from ceiling import network_share
from timing import machine

SHAPE, SPACING, WINDOW = (512, 512, 208), (0.703125, 0.703125, 1.25), (512, 512, 192)
PART = (256, 256, 96)


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
        scale = shape[0] * shape[1] * shape[2] / (part[0] * part[1] * part[2])
        print(f"\nscan {told(shape)}, peer on {told(part)}, its time scaled x {scale:.1f} by voxels\n\n{HEAD}")
        print(line("MONAI's detector, the part", peer, peer.median))
        print(line("medimg, the part", same, peer.median, peers.matched_boxes(same.output, peer.output)), flush=True)
        chosen = {"medimg --fast": ["--fast"], "medimg, the bundle's own window": []}
        for name, options in chosen.items():
            if options or given.own_window or given.quick:
                command = [*infer, scan, *options, "-o"]
                whole = take_turns({name: lambda output, c=command: peers.medimg(*c, output)}, folder, given.repeats)
                print(line(f"{name}, whole scan", whole[name], peer.median * scale, "", "25 x, 2.5 GiB"), flush=True)
        print("\n" + network_share(bundle, 1, (192, 192, 80) if not given.quick else window, given.repeats))


HEAD = "| what | median (fastest) | faster | peak memory | agreement | bar |\n|---|---|---|---|---|---|"


def line(name: str, run: Runs, peer_seconds: float, agreement: str = "", bar: str = "") -> str:
    """One line of the table."""
    return (
        f"| {name} | {run.median:.1f} s ({min(run.seconds):.1f}) | {peer_seconds / run.median:.1f} x | "
        f"{run.memory:.2f} GiB | {agreement} | {bar} |"
    )


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
