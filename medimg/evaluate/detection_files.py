"""Detection read from files: LUNA16's CSVs, datalists with boxes, and folders that medimg infer wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medimg.datalist import luna16
from medimg.datalist.csv_file import read_columns
from medimg.datalist.read import DatalistCase
from medimg.errors import DataError, Reason
from medimg.evaluate.coco import cube
from medimg.evaluate.detection import DetectionScores
from medimg.evaluate.evaluation import Failure
from medimg.evaluate.froc import Points
from medimg.report.csv import series_of
from medimg.report.read import REPORT_FILE
from medimg.report.writers import FINDINGS_FILE
from medimg.results import REPORT_SCHEMA, Finding, Report

SCORE = "probability"

MAX_NAMED = 3
"""Of the scans a warning is about, so many are named."""


@dataclass(frozen=True)
class Marked:
    """Findings of one source: names (N,) of their scans, xyz (N, 3) LPS mm, value (N,), box (N, 6), diameter (N,)."""

    scan: tuple[str, ...]
    xyz: NDArray[np.float64]
    value: NDArray[np.float64]
    box: NDArray[np.float64]
    diameter: NDArray[np.float64]


@dataclass(frozen=True)
class DetectionTruth:
    """Every scan, its nodules and its excluded findings (value: diameter in mm)."""

    scans: tuple[str, ...]
    nodules: Marked
    excluded: Marked
    warnings: tuple[str, ...] = ()


def read_truth(folder: Path) -> DetectionTruth:
    """LUNA16's annotations.csv, annotations_excluded.csv (may be missing) and seriesuids.csv.

    Annotations of a scan that seriesuids.csv does not name are left out, as the official evaluation does, and said.
    Raises DataError.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder with {luna16.ANNOTATIONS} and {luna16.SERIES}, and no datalist.json")
    scans = luna16.read_series(folder / luna16.SERIES)
    excluded = folder / luna16.EXCLUDED
    nodules = _annotations(folder / luna16.ANNOTATIONS)
    strange = _unknown(nodules.scan, scans)
    return DetectionTruth(
        scans,
        nodules,
        _annotations(excluded) if excluded.exists() else _no_marks(),
        _warn_unknown(f"annotations in {luna16.ANNOTATIONS}", strange),
    )


def truth_of_cases(cases: Sequence[DatalistCase]) -> DetectionTruth:
    """The boxes of a datalist; every case must have `box`, [] where there is no nodule. Raises DataError."""
    if without := [case.id for case in cases if case.boxes is None]:
        raise DataError(f"case {without[0]} of the datalist has no box (detection needs it; [] for no nodule)")
    return DetectionTruth(
        tuple(case.id for case in cases),
        _of_boxes((case.id, case.boxes) for case in cases),
        _of_boxes((case.id, case.excluded) for case in cases),
    )


def read_marks(path: Path, scans: Sequence[str]) -> tuple[Marked, tuple[Failure, ...]]:
    """Marks from a CSV in LUNA16's columns, or from a folder of medimg reports.

    In a CSV a scan without marks has none; of a folder, a scan without a whole report is a failure.
    """
    if path.is_file():
        return _read_csv(path), ()
    if (path / FINDINGS_FILE).is_file() and not (path / REPORT_FILE).is_file():
        return _read_csv(path / FINDINGS_FILE), ()
    reports = [path / REPORT_FILE] if (path / REPORT_FILE).is_file() else sorted(path.glob(f"*/{REPORT_FILE}"))
    if not reports:
        raise DataError(f"{path} is neither a CSV nor a folder of reports ({REPORT_FILE}) that medimg infer wrote")
    known = set(scans)
    by_scan: dict[str, list[Finding]] = {}
    for report in reports:
        name, findings = _read_report(report, known)
        if name in by_scan:
            raise DataError(f"{path} holds two reports of scan {name}; name a folder with one of each")
        by_scan[name] = findings
    failed = tuple(
        Failure(scan, Reason.MISSING_PREDICTION, f"{path} holds no report of scan {scan}")
        for scan in scans
        if scan not in by_scan
    )
    return _of_findings(by_scan), failed


def detection_scores(truth: DetectionTruth, marks: Marked, failed: tuple[Failure, ...] = ()) -> DetectionScores:
    """Truth and marks together, on the scans that did not fail. Marks of unknown scans are left out and said.

    Raises DataError when no scan is left, or every mark is of an unknown one.
    """
    lost = {failure.case for failure in failed}
    scans = tuple(scan for scan in truth.scans if scan not in lost)
    if not scans:
        raise DataError("no scan is left to score: every one failed")
    number = {name: index for index, name in enumerate(scans)}

    def known(marked: Marked) -> tuple[Points, NDArray[np.bool_]]:
        index = np.array([number.get(name, -1) for name in marked.scan], np.intp)
        keep = index >= 0
        return Points(index[keep], marked.xyz[keep], marked.value[keep]), keep

    nodules, of_nodules = known(truth.nodules)
    excluded, _ = known(truth.excluded)
    points, of_marks = known(marks)
    strange = _unknown(marks.scan, truth.scans)
    if strange and len(strange) == len(marks.scan):
        told = f"none of {len(strange)} marks is of a scan that the truth names"
        raise DataError(f"{told} ({strange[0]}; the truth has {truth.scans[0]}, ...); name scans alike in both")
    return DetectionScores(
        scans,
        nodules,
        excluded,
        points,
        truth.nodules.box[of_nodules],
        marks.box[of_marks],
        marks.diameter[of_marks],
        failed,
        (*truth.warnings, *_warn_unknown("marks", strange)),
    )


def _annotations(path: Path) -> Marked:
    found = luna16.read_annotations(path)
    return Marked(found.series, found.xyz, found.diameter, cube(found.xyz, found.diameter), found.diameter)


def _read_csv(path: Path) -> Marked:
    table = read_columns(path, (*luna16.PLACE, SCORE), (luna16.SIZE,))
    diameter = np.full(len(table), np.nan)
    if luna16.SIZE in table:
        given = table.numbers(luna16.SIZE, empty=np.nan)
        diameter = np.where(given > 0, given, np.nan)
    xyz = luna16.places(table)
    return Marked(table.text(luna16.PLACE[0]), xyz, table.numbers(SCORE), cube(xyz, diameter), diameter)


def _of_boxes(cases: Iterable[tuple[str, NDArray[np.float64] | None]]) -> Marked:
    """Centre and sides in LPS mm; the diameter is the mean side (LUNA16's boxes are cubes)."""
    named = [(name, boxes) for name, boxes in cases if boxes is not None]
    together = np.concatenate([np.empty((0, 6)), *(boxes for _, boxes in named)])
    center, side = together[:, :3], together[:, 3:]
    names = tuple(name for name, boxes in named for _ in boxes)
    diameter = side.mean(axis=1)
    corners = np.concatenate([center - side / 2, center + side / 2], axis=1)
    return Marked(names, center, diameter, corners, diameter)


def _read_report(path: Path, known: set[str]) -> tuple[str, list[Finding]]:
    """The scan and the findings of a report.json. The scan is the series it was made from, else the folder's name."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != REPORT_SCHEMA:
            raise DataError(f"{path}: schema {document['schema']}, not {REPORT_SCHEMA}; run infer again")
        series = series_of(Report(pipeline={}, inputs=document["inputs"]))
        name = path.parent.name if series not in known and path.parent.name in known else series
        return name, [Finding.from_dict(entry) for entry in document["findings"]]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not a medimg report ({error!r}); run infer again") from error


def _of_findings(by_scan: dict[str, list[Finding]]) -> Marked:
    pairs = [(scan, finding) for scan, findings in by_scan.items() for finding in findings]
    for scan, finding in pairs:
        if finding.probability is None:
            raise DataError(f"finding {finding.id} of scan {scan} has no probability: it cannot be ranked")
    if not pairs:
        return _no_marks()
    diameter = np.array([finding.diameter_mm or np.nan for _, finding in pairs], np.float64)
    xyz = np.array([finding.center_lps_mm for _, finding in pairs], np.float64)
    box = cube(xyz, diameter)
    for row, (_, finding) in enumerate(pairs):
        if finding.box_lps_mm is not None:
            box[row] = finding.box_lps_mm
    score = np.array([finding.probability for _, finding in pairs], np.float64)
    return Marked(tuple(scan for scan, _ in pairs), xyz, score, box, diameter)


def _no_marks() -> Marked:
    return Marked((), np.empty((0, 3)), np.empty(0), np.empty((0, 6)), np.empty(0))


def _unknown(names: Iterable[str], scans: Sequence[str]) -> list[str]:
    known = set(scans)
    return [name for name in names if name not in known]


def _warn_unknown(what: str, strange: list[str]) -> tuple[str, ...]:
    if not strange:
        return ()
    distinct = list(dict.fromkeys(strange))
    named = ", ".join(distinct[:MAX_NAMED]) + (", ..." if len(distinct) > MAX_NAMED else "")
    where = f"{len(distinct)} scans that the truth does not name"
    return (f"{len(strange)} {what} belong to {where}, and were left out ({named})",)
