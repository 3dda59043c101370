"""medimg infer with its own pipelines, from start to files on disk, beside what `import torch, monai` alone takes.

    python benchmarks/whole_process.py             # a chest CT of 512 x 512 x 133 and a brain of 240 x 240 x 155
    python benchmarks/whole_process.py --quick     # small ones, to see that it works
    python benchmarks/whole_process.py --chest FOLDER --brain FOLDER   # real scans

The scans are phantoms unless named.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import bundle_peers as peers
from bundle_table import Command, take_turns
from timing import machine


def main() -> None:
    """Print the table."""
    given = arguments()
    print(machine(peers.PACKAGES), flush=True)
    with tempfile.TemporaryDirectory(prefix="medimg-benchmark-", dir=given.folder) as made:
        folder = Path(made)
        chest_shape, spacing = ((512, 512, 133), (0.7, 0.7, 2.5))
        brain_shape = (240, 240, 155)
        if given.quick:
            chest_shape, spacing, brain_shape = (128, 128, 60), (2.8, 2.8, 5.0), (60, 60, 40)
        chest = given.chest or peers.chest(folder / "chest.nii.gz", chest_shape, spacing)
        if not given.brain:
            peers.brats_case(folder / "case", brain_shape)
        brain = given.brain or folder / "case"

        def ours(pipeline: str, scan: Path) -> Command:
            return lambda output: peers.medimg("infer", "--pipeline", pipeline, "--volume", scan, "-o", output)

        runs = take_turns(
            {
                "import torch, monai": lambda _: [sys.executable, "-c", "import torch, monai"],
                "lung_nodule": ours("lung_nodule", chest),
                "lung_nodule_classical": ours("lung_nodule_classical", chest),
                "brain_tumour": ours("brain_tumour", brain),
            },
            folder,
            given.repeats,
        )
        peer = runs["import torch, monai"]
        bars = {"lung_nodule": "at most 3 x", "brain_tumour": "at most 2 x"}
        print("\n| what | median (fastest) | times the import | peak memory | bar |\n|---|---|---|---|---|")
        for name, run in runs.items():
            print(
                f"| {name} | {run.median:.2f} s ({min(run.seconds):.2f}) | {run.median / peer.median:.2f} x | "
                f"{run.memory:.2f} GiB | {bars.get(name, '')} |"
            )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="small phantoms")
    parser.add_argument("--chest", type=Path, help="a chest CT in place of the phantom")
    parser.add_argument("--brain", type=Path, help="a case folder of four contrasts in place of the phantom")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each (5)")
    parser.add_argument("--folder", type=Path, default=None, help="where temporary files are made")
    return parser.parse_args()


if __name__ == "__main__":
    main()
