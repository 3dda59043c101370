"""The report on paper: the preview on the first page of a PDF, then every finding in lines of text."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING

import medimg
from medimg.report import wording
from medimg.report.preview import preview_figure
from medimg.report.sheet import BACKGROUND
from medimg.results import Finding, Report
from medimg.study import Volume

if TYPE_CHECKING:
    from matplotlib.figure import Figure

A4_INCHES = (8.27, 11.69)
LINES_A_PAGE = 62
LINE_CHARACTERS = 95
FONT_POINTS = 9
UNDATED = {"CreationDate": None, "Creator": "medimg"}
"""PDF metadata without a date, so that the same report prints the same bytes."""


def report_pdf(report: Report, volumes: dict[str, Volume]) -> bytes:
    """The pages as PDF bytes. volumes: role -> scan, the first on the report's grid (at least one)."""
    from matplotlib.backends.backend_pdf import PdfPages

    buffer = io.BytesIO()
    with PdfPages(buffer, metadata=UNDATED) as pages:
        pages.savefig(preview_figure(report, volumes), facecolor=BACKGROUND)
        lines = _lines(report)
        for start in range(0, len(lines), LINES_A_PAGE):
            pages.savefig(_page(lines[start : start + LINES_A_PAGE]))
    return buffer.getvalue()


def _page(lines: list[str]) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=A4_INCHES)
    FigureCanvasAgg(figure)
    # what a name holds is shown as it is, a dollar sign too
    figure.text(0.07, 0.96, "\n".join(lines), va="top", family="monospace", fontsize=FONT_POINTS, parse_math=False)
    return figure


def _lines(report: Report) -> list[str]:
    """Everything a reader needs, each line no wider than the page."""
    said = [medimg.NOT_A_MEDICAL_DEVICE, "", wording.pipeline_of(report.pipeline)]
    said += [f"sha256 {report.pipeline.get('sha256', '')}", f"run {report.provenance.get('started', '')}", ""]
    for warning in report.warnings:
        said.append(f"Warning: {warning}")
    said.append(f"Findings: {len(report.findings)}")
    for finding in report.findings:
        said += ["", *_of(finding)]
    return [part for line in said for part in textwrap.wrap(line, LINE_CHARACTERS) or [""]]


def _of(finding: Finding) -> list[str]:
    x, y, z = finding.center_lps_mm
    lines = [wording.title_of(finding), f"  {finding.label} at LPS ({x:.1f}, {y:.1f}, {z:.1f}) mm"]
    lines.append(f"  volume: {wording.volume(finding.volume_mm3)}")
    # where a line runs is for programs
    told = {name: value for name, value in finding.measurements.items() if not isinstance(value, (list, dict))}
    for name, value in told.items():
        label, shown = wording.measurement(name, value)
        lines.append(f"  {label}: {shown}")
    return lines
