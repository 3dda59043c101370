"""A bundle of 105 classes (the zoo's wholeBody_ct_segmentation, random weights) on 512 x 512 x 400 voxels, in 4 GiB.

    python benchmarks/many_classes.py              # logits of the whole scan would be 44 GB; minutes on two cores
    python benchmarks/many_classes.py --quick      # small, with MONAI's own answer beside it

The scan has the bundle's spacing, so that its grid is the network's. At full size there is no peer: monai.bundle run
would hold the 44 GB, and the softmax of them.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import bundle_peers as peers
import numpy as np
import zoo
from bundle_table import take_turns
from timing import machine

SHAPE, CLASSES, SPACING_MM = (512, 512, 400), 105, 1.5
LIMIT = "4GiB"


def main() -> None:
    """Print what it took."""
    given = arguments()
    shape, window, classes, filters = (SHAPE, (96, 96, 96), CLASSES, 32)
    if given.quick:
        shape, window, classes, filters = (80, 72, 64), (32, 32, 32), 20, 8
    print(machine(peers.PACKAGES), flush=True)
    with tempfile.TemporaryDirectory(prefix="medimg-benchmark-", dir=given.folder) as made:
        folder = Path(made)
        scan = peers.chest(folder / "body.nii.gz", shape, (SPACING_MM,) * 3)
        bundle = peers.runnable(zoo.organs_bundle(folder, window, classes, filters), [[scan]])
        infer = ["infer", "--bundle", bundle, "--trust", "--volume", scan, "-o"]
        commands = {"medimg": lambda output: peers.medimg(*infer, output, "--memory-limit", LIMIT, *given.options)}
        if given.quick:
            commands["fp32"] = lambda output: peers.medimg(*infer, output, "--precision", "fp32")
            commands["monai.bundle run"] = lambda output: peers.monai_bundle_run(bundle, output)
        runs = take_turns(commands, folder, given.repeats)
        logits = float(np.prod(shape)) * classes * 4 / 1e9
        print(f"\n{'x'.join(map(str, shape))}, {classes} classes: logits of all of it {logits:.1f} GB, limit {LIMIT}")
        for name, run in runs.items():
            told = ""
            if "monai.bundle run" in runs and name != "monai.bundle run":
                body = peers.labels(runs["monai.bundle run"].output)
                ours = peers.labels(run.output)
                seen = ours > 0
                told = f", {np.mean(ours[seen] == body[seen]):.2%} of the voxels labelled have MONAI's label"
            print(f"{name}: {run.median:.1f} s, peak memory {run.memory:.2f} GiB{told}", flush=True)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="20 classes, 80 x 72 x 64, beside monai.bundle run")
    parser.add_argument("--repeats", type=int, default=1, help="turns (1)")
    parser.add_argument("--folder", type=Path, default=None, help="where temporary files are made")
    parser.add_argument("options", nargs="*", help="more options for medimg infer, after --")
    return parser.parse_args()


if __name__ == "__main__":
    main()
