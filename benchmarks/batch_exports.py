"""Exports for the benchmarks of medimg batch: small cases by the thousand, bad ones among them, and whole chest CTs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import yaml
from phantom import CHEST_MM, chest_slices, write_series

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from toy import chest_crop

from medimg.phantoms.dicom import write_ct_series
from medimg.volumes import write_nifti

PIPELINES = Path(__file__).resolve().parents[1] / "pipelines"
CENTER = (20.0, 22.0, 18.0)
SHAPE = (48, 48, 40)


def small_pipeline(folder: Path) -> Path:
    """The detector by shape without pictures: cases of a fraction of a second, so that what is measured is batch."""
    shutil.copytree(PIPELINES / "lung_nodule_classical", folder)
    document = yaml.safe_load((folder / "pipeline.yaml").read_text(encoding="utf-8"))
    document["stages"][-1]["report"]["formats"] = ["json", "csv", "nifti"]
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return folder


def good_cases(root: Path, count: int, first: int = 0) -> list[Path]:
    """Crops of chests, no two alike; every tenth is a DICOM series, the others NIfTI. The file or folder of each."""
    made = []
    for number in range(first, first + count):
        folder = root / f"{number:05d}"
        folder.mkdir(parents=True)
        radius = 3.0 + 5.0 * (number % 997) / 997 + number / 1e5
        path = folder / f"good{number:05d}.nii.gz"
        chest_crop(path, np.eye(4), CENTER, SHAPE, radius)
        if number % 10 == 9:
            path.unlink()
            voxels = np.random.default_rng(number).normal(-850, 10, SHAPE).astype(np.int16)
            write_ct_series(voxels, np.eye(4), folder, seed=number)
            path = folder
        made.append(path)
    return made


def bad_cases(root: Path, count: int) -> list[Path]:
    """Scans that must be named as bad, of each kind in BAD in turn."""
    made = []
    for number in range(count):
        folder = root / f"bad{number:05d}"
        folder.mkdir(parents=True)
        made.append(BAD[number % len(BAD)](folder, number))
    return made


def chests(root: Path, count: int, slices: int = 120, size: int = 512) -> list[Path]:
    """Folders of one CT series each, no two alike: a whole chest with four nodules, drawn slice by slice."""
    drawn = chest_slices(size, size, slices)
    for number in range(1, count + 1):
        drawn[0, 0, number] += 1
        write_series(root / f"{number:03d}", drawn, slices, number, CHEST_MM / slices)
    return sorted(root.iterdir())


def _truncated(folder: Path, number: int) -> Path:
    path = folder / f"truncated{number}.nii.gz"
    chest_crop(path, np.eye(4), CENTER, SHAPE)
    path.write_bytes(path.read_bytes()[: 20_000 + number])
    return path


def _garbage(folder: Path, number: int) -> Path:
    path = folder / f"garbage{number}.nii.gz"
    path.write_bytes(np.random.default_rng(number).bytes(5000))
    return path


def _empty(folder: Path, number: int) -> Path:
    path = folder / f"empty{number}.nii.gz"
    path.touch()
    return path


def _not_a_number(folder: Path, number: int) -> Path:
    path = folder / f"nan{number}.nii.gz"
    voxels = np.full(SHAPE, -850, np.float32)
    voxels[number % 48, 3, 3] = np.nan
    write_nifti(path, voxels, np.eye(4))
    return path


def _without_slices(folder: Path, number: int) -> Path:
    voxels = np.random.default_rng(number).normal(-850, 10, SHAPE).astype(np.int16)
    for path in write_ct_series(voxels, np.eye(4), folder, seed=50_000 + number)[10:13]:
        path.unlink()
    return folder


BAD = (_truncated, _garbage, _empty, _not_a_number, _without_slices)
"""A cut file, a file of nothing, an empty file, a voxel that is no number, a series with slices missing."""
