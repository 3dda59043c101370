"""findings.csv: LUNA16's columns (world mm, LPS) and the diameter."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from medimg.results import Report
from medimg.volumes import stem

COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "probability", "diameter_mm")
"""The submission format of the LUNA16 challenge, and `diameter_mm` of its annotations."""


def findings_csv(report: Report) -> str:
    """One line a finding after the header; empty where a value is not known."""
    series = series_of(report)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for finding in report.findings:
        known = finding.to_dict()
        row = [series, *known["center_lps_mm"], known["probability"], known["diameter_mm"]]
        writer.writerow("" if value is None else value for value in row)
    return text.getvalue()


def series_of(report: Report) -> str:
    """SeriesInstanceUID of the first input, or its file name without extension."""
    if not report.inputs:
        return ""
    first = report.inputs[0]
    return str(first.get("series_uid") or stem(Path(str(first.get("path", "")))))
