"""Files an evaluation reads: tables, label maps, reports."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medimg import volumes
from medimg.results import Finding, Report

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])


@pytest.fixture
def luna16(tmp_path):
    """Write a LUNA16 folder; a list of rows, or the text itself, for each table."""

    def write(annotations=(), excluded=None, series=("a", "b")):
        folder = tmp_path / "truth"
        folder.mkdir(exist_ok=True)
        tables = {"annotations": annotations, "annotations_excluded": excluded}
        for name, rows in tables.items():
            if rows is not None:
                write_rows(folder / f"{name}.csv", ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm"), rows)
        (folder / "seriesuids.csv").write_text("".join(f"{name}\n" for name in series))
        return folder

    return write


def write_rows(path, columns, rows):
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def marks(tmp_path):
    """Write marks as CSV: (scan, x, y, z, probability[, diameter])."""

    def write(rows, diameter=False, name="marks.csv"):
        columns = ("seriesuid", "coordX", "coordY", "coordZ", "probability", *(["diameter_mm"] if diameter else []))
        return write_rows(tmp_path / name, columns, rows)

    return write


@pytest.fixture
def reports(tmp_path):
    """Write a folder of reports: case -> its findings as (x, y, z, probability, diameter)."""

    def write(cases, series=None, folder="reports"):
        for case, findings in cases.items():
            inputs = [{"role": "ct", "path": "scan.nii.gz", "series_uid": (series or {}).get(case)}]
            found = [
                Finding(f"nodule-{n}", "nodule", (x, y, z), d, None, None, p)
                for n, (x, y, z, p, d) in enumerate(findings)
            ]
            path = tmp_path / folder / case / "report.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(Report({"name": "toy"}, inputs, found).to_dict()))
        return tmp_path / folder

    return write


@pytest.fixture
def label_maps(tmp_path):
    """Write label maps: file name -> array; the folder they are in."""

    def write(folder, arrays, affine=AFFINE):
        for name, array in arrays.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            volumes.write_nifti(path, np.asarray(array, np.uint8), affine)
        return tmp_path / folder

    return write


@pytest.fixture
def block():
    """A label map of (12, 12, 10) with `label` in a box."""

    def make(label=1, start=2, stop=8):
        array = np.zeros((12, 12, 10), np.uint8)
        array[start:stop, start:stop, start:stop] = label
        return array

    return make
