"""findings.csv: LUNA16's columns (world mm, LPS) and the diameter."""

from __future__ import annotations

from pathlib import Path

from medimg.results import Report
from medimg.spreadsheet import table
from medimg.volumes import stem

COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "probability", "diameter_mm")
"""The submission format of the LUNA16 challenge, and `diameter_mm` of its annotations."""


def findings_csv(report: Report) -> str:
    """One line a finding after the header; empty where a value is not known."""
    series = series_of(report)
    known = (finding.to_dict() for finding in report.findings)
    return table(COLUMNS, ([series, *one["center_lps_mm"], one["probability"], one["diameter_mm"]] for one in known))


def series_of(report: Report) -> str:
    """SeriesInstanceUID of the first input, or its file name without extension."""
    if not report.inputs:
        return ""
    first = report.inputs[0]
    return str(first.get("series_uid") or stem(Path(str(first.get("path", "")))))
