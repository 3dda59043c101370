"""docs/output.md names every file, key, column and code that a run writes."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy

from medimg.phantoms.dicom import write_ct_series
from medimg.pipeline import find_pipelines, load_pipeline
from medimg.report.dicom.advice import ASSESSMENT, CATEGORIES, FOLLOW_UP
from medimg.report.dicom.build import KINDS
from medimg.report.dicom.codes import PROPERTIES, QUANTITIES
from medimg.stages.chain import run_chain

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "output.md").read_text(encoding="utf-8")

NAMED_BY_OTHERS = {"labels", "headers", "software", "seconds", "tracking_uids", "codes", "series", "from"}
"""Keys whose own keys are names from elsewhere: labels, DICOM keywords, packages, findings, parts of the pipeline."""


def named(word: str) -> bool:
    """Whether the page has the word by itself."""
    return re.search(rf"(?<![A-Za-z0-9_]){re.escape(word)}(?![A-Za-z0-9_])", PAGE) is not None


def keys_of(document: Any) -> Iterator[str]:
    """Every key of a JSON document, but not those below NAMED_BY_OTHERS."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield key
            if key not in NAMED_BY_OTHERS:
                yield from keys_of(value)
    elif isinstance(document, list):
        for value in document:
            yield from keys_of(value)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A nodule found in a DICOM series, and all that is written of it."""
    folder = tmp_path_factory.mktemp("run")
    affine = np.diag([-1.0, -1.0, 1.25, 1.0])
    distance = toy.distance_mm((48, 48, 40), affine, [-22.0, -25.0, 24.0])
    array = np.where(distance <= 5.0, 100, -850).astype(np.int16)
    write_ct_series(array, np.diag([1.0, 1.0, 1.25, 1.0]), folder / "ct", seed=1)
    run_chain([(None, folder / "ct")], folder / "out", load_pipeline(str(toy.detector(folder / "detector"))))
    return folder / "out"


def test_every_file_is_named(run):
    assert {"report.dcm", "segmentation.dcm", "findings.csv"} <= {path.name for path in run.iterdir()}
    assert [path.name for path in run.iterdir() if not named(path.name)] == []
    assert [name for name in KINDS.values() if not named(name)] == []


def test_every_key_of_the_report_is_named(run):
    document = json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert document["findings"][0]["measurements"]["mean_axis_mm"] > 0
    assert sorted({key for key in keys_of(document) if not named(key)}) == []


def test_every_column_of_the_findings_is_named(run):
    with (run / "findings.csv").open(newline="", encoding="utf-8") as stream:
        columns = next(csv.reader(stream))
    assert columns
    assert [column for column in columns if not named(column)] == []


def test_every_region_that_a_pipeline_measures_is_named():
    groups = {group for pipeline in find_pipelines() for group in pipeline.options("measure").get("groups", {})}
    assert "enhancing" in groups
    assert [group for group in sorted(groups) if not named(f"{group}_mm3")] == []


def test_every_code_is_named():
    codes = [(name, row.concept.value) for name, row in QUANTITIES.items()]
    codes += [(name, row.kind.value) for name, row in PROPERTIES.items() if name not in {"tumor", "edema"}]
    codes += [(name, code.value) for name, code in CATEGORIES.items()]
    codes += [("Lung-RADS", ASSESSMENT.value), ("Fleischner", FOLLOW_UP.value)]
    assert [pair for pair in codes if not (named(pair[0]) and named(pair[1]))] == []
