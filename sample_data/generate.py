"""Write sample scans that medimg makes itself, with their truth: python sample_data/generate.py [-o FOLDER].

The scans are phantoms: no patient was involved. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg import errors, files
from medimg.phantoms import brain, dicom, thorax
from medimg.phantoms.nodules import Nodule
from medimg.volumes import write_nifti

HERE = Path(__file__).resolve().parent
DEFAULT_FOLDER = HERE / "generated"
CHECKSUMS = HERE / "checksums.json"

CT_SEED, BRAIN_SEED = 22, 1
"""Chosen so that the nodules are of every kind and the tumour has all three regions."""

BRAIN_CASE = "PHANTOM-GLI-00000-000"
"""Named as BraTS names cases since 2023."""

SAME_MEAN_TOLERANCE = 0.01
"""Arrays whose means agree to this differ in the rounding of single voxels only."""

Arrays = dict[str, NDArray[Any]]
Say = Callable[[str], None]


def generate(
    folder: Path,
    ct_shape: tuple[int, int, int] = thorax.DEFAULT_SHAPE,
    brain_shape: tuple[int, int, int] = brain.FULL_SHAPE,
) -> Arrays:
    """Write everything into `folder`; returns the arrays under the names `checksums.json` uses.

    Other shapes cover the same fields of view with larger voxels.
    """
    arrays = {**_write_chest(folder, ct_shape), **_write_brain(folder, brain_shape)}
    _write_sums(folder)
    return arrays


def _write_chest(folder: Path, shape: tuple[int, int, int]) -> Arrays:
    steps = [s * n / m for s, n, m in zip(thorax.DEFAULT_SPACING_MM, thorax.DEFAULT_SHAPE, shape, strict=True)]
    phantom = thorax.thorax(shape, (steps[0], steps[1], steps[2]), CT_SEED)
    dicom_folder = folder / "chest_ct_dicom"
    files.output_folder(dicom_folder)
    # files of an earlier run would mix with these into a series of duplicates
    for old in dicom_folder.glob("IM[0-9][0-9][0-9][0-9][0-9]"):
        old.unlink()
    dicom.write_ct_series(
        phantom.array, phantom.affine_ras, dicom_folder, seed=CT_SEED, localizer=True, secondary_capture=True
    )
    write_nifti(folder / "chest_ct.nii.gz", phantom.array, phantom.affine_ras, "medimg phantom, HU")
    truth = _nodule_table(phantom.nodules, dicom.ct_series_uid(CT_SEED))
    files.write_text(folder / "truth" / "chest_ct_nodules.csv", truth)
    return {"chest_ct": phantom.array}


def _nodule_table(nodules: Sequence[Nodule], series_uid: str) -> str:
    """LUNA16's columns (LPS mm), then the kind."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["seriesuid", "coordX", "coordY", "coordZ", "diameter_mm", "kind"])
    writer.writerows([series_uid, *nodule.center_lps_mm, nodule.diameter_mm, nodule.kind] for nodule in nodules)
    return stream.getvalue()


def _write_brain(folder: Path, shape: tuple[int, int, int]) -> Arrays:
    phantom = brain.brain(BRAIN_SEED, shape)
    for name, array in phantom.contrasts.items():
        path = folder / "brain_mr" / f"{BRAIN_CASE}-{name}.nii.gz"
        write_nifti(path, array, phantom.affine_ras, f"medimg phantom, {name}")
    seg = folder / "truth" / "brain_seg.nii.gz"
    write_nifti(seg, phantom.labels, phantom.affine_ras, "medimg phantom: 1 NCR, 2 ED, 3 ET")
    return {**{f"brain_{name}": array for name, array in phantom.contrasts.items()}, "brain_seg": phantom.labels}


def _write_sums(folder: Path) -> None:
    """SHA256SUMS of all files, as `sha256sum -c` reads it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS")
    lines = [f"{files.sha256_of_file(path)}  {files.relative(path, folder)}\n" for path in paths]
    files.write_text(folder / "SHA256SUMS", "".join(lines))


def checksum(array: NDArray[Any]) -> dict[str, Any]:
    """SHA-256 of the voxels themselves (little-endian, C order), so that compressors do not matter; shape and mean."""
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(plain.tobytes()).hexdigest()
    return {"sha256": digest, "shape": list(array.shape), "mean": round(float(array.mean(dtype=np.float64)), 4)}


def differences(arrays: Arrays, expected: dict[str, Any]) -> list[str]:
    """One sentence for each array that is not the published one; empty when all are."""
    found = []
    for name, array in arrays.items():
        got, published = checksum(array), expected.get(name)
        if published is None:
            found.append(f"{name} has no published checksum")
        elif got != published:
            close = got["shape"] == published["shape"] and abs(got["mean"] - published["mean"]) < SAME_MEAN_TOLERANCE
            why = "in the rounding of single voxels (another numpy, scipy or processor)" if close else "as a whole"
            found.append(f"{name} differs from the published one {why}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. A checksum that differs is a warning: floating point is not the same on every machine."""
    parser = argparse.ArgumentParser(description="Write phantom scans and their truth.")
    parser.add_argument("-o", "--output", type=Path, default=DEFAULT_FOLDER, help="folder (default: %(default)s)")
    parser.add_argument("--update-checksums", action="store_true", help="publish what was made (for maintainers)")
    options = parser.parse_args(arguments)
    try:
        arrays = generate(options.output)
    except errors.MedimgError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    if options.update_checksums:
        files.write_json(CHECKSUMS, {name: checksum(array) for name, array in arrays.items()})
    for line in differences(arrays, json.loads(CHECKSUMS.read_text(encoding="utf-8"))):
        print(f"warning: {line}; the scans are still sound", file=sys.stderr)
    print(f"wrote sample scans to {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
