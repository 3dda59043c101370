"""What is measured on a nodule, held against phantoms of known size and against LIDC-IDRI's readers.

    python benchmarks/measurements.py phantoms
    python benchmarks/measurements.py crops --data ../shared/data/lung
    python benchmarks/measurements.py readers --data ../shared/data/lung

Prints the tables of docs/measurements.md. Every nodule is outlined from a detection that is wrong as detectors are:
diameter off by up to 15 %, centre by up to 8 % of the diameter along each axis. `crops` starts from the reader's own
centre and diameter. Constants were tuned on phantoms with other seeds, and on the crops with even numbers in the table
(the 1st, 3rd, ...); the others are told apart in the output.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from medimg.measure import common, measure_nodule, segment_nodule
from medimg.phantoms import excerpt as phantoms
from medimg.pipeline import load_pipeline
from medimg.stages.case import Clock
from medimg.stages.chain import open_case
from medimg.stages.select import select
from medimg.volumes import read_volume

Layers = Callable[[tuple[float, float, float], float], list[phantoms.Layer]]

KINDS: dict[str, Layers] = {
    "sphere": phantoms.solid_sphere,
    "ellipsoid": phantoms.solid_ellipsoid,
    "ground glass": partial(phantoms.solid_sphere, hu=phantoms.GLASS_HU),
    "part-solid": phantoms.part_solid,
    "on vessels": phantoms.on_vessels,
    "on the pleura, a quarter sunk": partial(phantoms.on_wall, sunk=0.25),
    "on the pleura, half sunk": partial(phantoms.on_wall, sunk=0.5),
}

DIAMETERS_MM = (6.0, 10.0, 20.0)
GRIDS = {"1 mm": ((1.0, 1.0, 1.0), 5.0), "0.7 x 0.7 x 2.5 mm": ((0.7, 0.7, 2.5), 15.0)}
"""Name -> spacing, error of volume in per cent that is allowed."""

OFFSETS = 5
NOISE_HU = 25.0
EXPECTED = {"ground glass": "ground-glass", "part-solid": "part-solid"}


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["phantoms", "crops", "readers"])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/lung"))
    parser.add_argument("--kind", choices=list(KINDS), nargs="+", help="only these phantoms")
    parser.add_argument("--offsets", type=int, default=OFFSETS)
    options = parser.parse_args()
    if options.what == "phantoms":
        phantom_table(options.kind or list(KINDS), options.offsets)
    elif options.what == "crops":
        crop_tables(options.data / "lidc_nodule_crops")
    else:
        reader_table(options.data / "LIDC-IDRI-0001")


def phantom_table(kinds: Sequence[str], offsets: int) -> None:
    """Error of volume and of the mean axis over sub-voxel offsets, detection errors and noise."""
    print("| nodule | grid | diameter mm | volume error %: mean | worst | within | mean axis error mm | kind right |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in kinds:
        layers = KINDS[kind]
        for grid, (spacing, allowed) in GRIDS.items():
            for diameter in DIAMETERS_MM:
                rows = []
                for seed in range(offsets):
                    rows.append(_phantom(layers, spacing, diameter, seed, EXPECTED.get(kind, "solid")))
                volume, axis, right = np.array(rows).T
                worst = volume[np.abs(volume).argmax()]
                within = int((np.abs(volume) <= allowed).sum())
                axis_error = f"{axis.mean():+.2f}" if "pleura" not in kind and kind != "ellipsoid" else ""
                print(
                    f"| {kind} | {grid} | {diameter:.0f} | {volume.mean():+.1f} | {worst:+.1f}"
                    f" | {within}/{offsets} | {axis_error} | {int(right.sum())}/{offsets} |",
                    flush=True,
                )


def _phantom(
    layers: Layers, spacing: tuple[float, float, float], diameter: float, seed: int, kind: str
) -> tuple[float, float, float]:
    random = np.random.default_rng([seed, int(diameter), int(10 * spacing[2])])
    x, y, z = (float(v) for v in random.uniform(-0.5, 0.5, 3))
    made = phantoms.excerpt(layers((x, y, z), diameter), spacing, max(32.0, 2.8 * diameter), NOISE_HU, seed=seed)
    center = np.array([x, y, z]) + random.uniform(-0.08, 0.08, 3) * diameter
    nodule = segment_nodule(made.volume, center, diameter * float(random.uniform(0.85, 1.15)))
    if nodule is None:
        return -100.0, -diameter, 0.0
    found = measure_nodule(made.volume, nodule)
    if found["touches_border"]:
        return 100.0, diameter, 0.0
    volume = 100 * (found["volume_mm3"] / made.volume_mm3 - 1)
    return volume, found["mean_axis_mm"] - diameter, float(found["attenuation"] == kind)


def crop_tables(folder: Path) -> None:
    """Volume and diameter against one reader's mask of each crop, and what the readers rated."""
    with (folder / "labels.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    compared = []
    for row in rows:
        compared.append(_crop(folder, row))
        print(f"{len(compared)} of {len(rows)}", end="\r", file=sys.stderr)
    even = np.arange(len(rows)) % 2 == 0
    for name, chosen in (("tuned on", even), ("held out", ~even), ("all", even | ~even)):
        part = [row for row, use in zip(compared, chosen, strict=True) if use and row is not None]
        print(f"\n{name}: {len(part)} of {int(chosen.sum())} outlined")
        print("| measure | bias | limits of agreement | median |")
        print("|---|---|---|---|")
        truth, found, dice = (np.array([row[key] for row in part]) for key in ("truth", "volume_mm3", "dice"))
        _agreement("volume, % of the mean of both", 200 * (found - truth) / (found + truth))
        own = np.array([row["mean_axis_mm"] for row in part])
        theirs = np.array([row["reader_axis"] for row in part])
        _agreement("mean axis, mm", own - theirs)
        _agreement("mean axis, % of the mean of both", 200 * (own - theirs) / (own + theirs))
        print(f"\nDice with the reader: mean {dice.mean():.3f}, lowest {dice.min():.2f}")
        for measured, rated in (("spiculation_index", "spiculation"), ("sphericity", "sphericity")):
            pairs = [(row[measured], row["rated"][rated]) for row in part if row[measured] is not None]
            rank = spearmanr(*zip(*pairs, strict=True))
            print(f"{measured} and the readers' {rated}: Spearman {rank.statistic:.2f} (p {rank.pvalue:.3g})")
        _kinds([(row["rated"]["texture"], row["attenuation"]) for row in part])
        print(f"seconds of processor time a nodule: {np.mean([row['seconds'] for row in part]):.2f}", flush=True)


def _crop(folder: Path, row: dict[str, str]) -> dict[str, object] | None:
    volume = read_volume(folder / f"{row['case']}_ct.nii.gz")
    truth = read_volume(folder / f"{row['case']}_nodule.nii.gz").array > 0
    drawn = np.argwhere(truth)
    center = common.centroid_lps_mm(drawn, volume.affine_ras)
    began = time.process_time()
    nodule = segment_nodule(volume, center, float(row["equivalent_diameter_mm"]))
    found = None if nodule is None else measure_nodule(volume, nodule)
    seconds = time.process_time() - began
    if nodule is None or found is None or found["touches_border"]:
        return None
    own = np.zeros_like(truth)
    own[tuple(nodule.voxels().T)] = True
    axes = common.axial_axes(drawn, volume.affine_ras)
    return {
        **found,
        "truth": common.volume_mm3(drawn, volume.affine_ras),
        "reader_axis": (axes.long_mm + axes.short_mm) / 2,
        "dice": 2 * (own & truth).sum() / (own.sum() + truth.sum()),
        "rated": {name: int(row[name]) for name in ("texture", "spiculation", "sphericity")},
        "seconds": seconds,
    }


def _agreement(name: str, difference: np.ndarray) -> None:
    """Bland and Altman: mean difference and mean +- 1.96 standard deviations."""
    bias, spread = float(difference.mean()), 1.96 * float(difference.std(ddof=1))
    print(f"| {name} | {bias:+.1f} | {bias - spread:+.1f} to {bias + spread:+.1f} | {np.median(difference):+.1f} |")


def _kinds(pairs: Sequence[tuple[object, object]]) -> None:
    kinds = ("ground-glass", "part-solid", "solid")
    print("\n| rated texture (1 non-solid, 5 solid) |", " | ".join(kinds), "|")
    print("|---|---|---|---|")
    for rated in range(1, 6):
        counts = [sum(1 for texture, kind in pairs if texture == rated and kind == wanted) for wanted in kinds]
        print(f"| {rated} |", " | ".join(map(str, counts)), "|")


def reader_table(folder: Path) -> None:
    """LIDC-IDRI-0001: each reader's volume of the nodule four of them outlined, and ours."""
    outlines = list(_outlines(folder))
    volume = open_case(select([(None, folder)], load_pipeline("lung_nodule")), Clock()).first
    center = np.mean([outline.centre for outline in outlines], axis=0)
    sizes = np.array([outline.diameter_mm for outline in outlines])
    nodule = segment_nodule(volume, center, float(sizes.mean()))
    assert nodule is not None
    found = measure_nodule(volume, nodule)
    print("| | volume mm3 | equivalent diameter mm |")
    print("|---|---|---|")
    for outline in outlines:
        print(f"| reader {outline.reader + 1} | {np.pi / 6 * outline.diameter_mm**3:.0f} | {outline.diameter_mm:.1f} |")
    print(f"| medimg | {found['volume_mm3']:.0f} | {found['equivalent_diameter_mm']:.1f} |")
    print({name: value for name, value in found.items() if "ends" not in name})


def _outlines(folder: Path) -> Iterator[object]:
    """Each reader's outline of the nodule that all four drew."""
    from medimg.datalist import lidc
    from medimg.dicom.discover import discover

    series = {found.series_uid: found for found in discover(folder).series}
    for uid, (_, document) in lidc._readings(folder):
        frames = {frame.sop_uid: frame for frame in series[uid].frames if frame.position and frame.orientation}
        step = lidc._slice_step(list(frames.values()))
        drawn = [
            outline
            for reader, session in enumerate(document.iter("readingSession"))
            for nodule in session.iter("unblindedReadNodule")
            if (outline := lidc._outline(reader, nodule, frames, step)) is not None
        ]
        yield from max(lidc.merged(drawn), key=len)


if __name__ == "__main__":
    main()
