"""preview.png: the findings on the scan, or slices through it when there are none."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from medimg.report import wording
from medimg.report.display import AXIAL, LUNG_WINDOW, to_display, window_of
from medimg.report.panel import Panel, draw, whole_slice
from medimg.report.planes import label_overlay, planes
from medimg.report.sheet import BACKGROUND, SOFT_TEXT, new_sheet
from medimg.report.tiles import MAX_TILES, tiles
from medimg.results import Report
from medimg.study import Volume

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110

MONTAGE_SLICES = 8
MONTAGE_COLUMNS = 4
MONTAGE_INCHES = 2.65
MONTAGE_RANGE = (0.15, 0.85)
"""Slices of a scan without findings are shown from this part of its height to that."""


def preview_png(report: Report, volumes: dict[str, Volume]) -> bytes:
    """The preview as PNG bytes. volumes: role -> scan, the first on the report's grid (at least one)."""
    buffer = io.BytesIO()
    figure = preview_figure(report, volumes)
    figure.savefig(buffer, format="png", dpi=DPI, facecolor=BACKGROUND, metadata={"Software": "medimg"})
    return buffer.getvalue()


def preview_figure(report: Report, volumes: dict[str, Volume]) -> Figure:
    """The preview as a figure; `volumes` as for `preview_png`."""
    first = next(iter(volumes.values()))
    if not report.findings:
        return _montage(report, first)
    if report.segmentation is None or is_detection(report):
        return tiles(report, first)
    return planes(report, report.segmentation, volumes)


def is_detection(report: Report) -> bool:
    """Whether findings came from a detector (they carry probabilities) and not from a label map."""
    return any(finding.probability is not None for finding in report.findings)


def describe(report: Report) -> str:
    """The preview in words, for readers who cannot see it."""
    if not report.findings:
        return "Axial slices through the scan; no findings."
    if report.segmentation is None or is_detection(report):
        titles = "; ".join(wording.title_of(finding) for finding in report.findings[:MAX_TILES])
        return f"Axial slice and close-up of {titles}."
    return f"Axial, coronal and sagittal slices through {wording.title_of(report.findings[0])}."


def _montage(report: Report, volume: Volume) -> Figure:
    """Axial slices from top to bottom; outlines where something was segmented but is no finding."""
    display = to_display(volume.array, volume.affine_ras)
    window = window_of(volume, LUNG_WINDOW)
    last = display.array.shape[AXIAL.through] - 1
    indices = np.unique(np.rint(np.linspace(*MONTAGE_RANGE, MONTAGE_SLICES) * last).astype(int))[::-1]
    rows = -(-len(indices) // MONTAGE_COLUMNS)
    size = (MONTAGE_COLUMNS * MONTAGE_INCHES, rows * (MONTAGE_INCHES + 0.25))
    sheet = new_sheet(report, *size, f"{window.text}, radiological view")
    grid = sheet.grid(rows, MONTAGE_COLUMNS, hspace=0.1, wspace=0.03)
    overlay = None if report.segmentation is None else label_overlay(report.segmentation, fill=False)
    for number, index in enumerate(indices):
        axes = sheet.figure.add_subplot(grid[number // MONTAGE_COLUMNS, number % MONTAGE_COLUMNS])
        draw(axes, Panel(display, window, AXIAL, int(index), overlay, whole_slice(display, AXIAL)))
        axes.set_title(f"slice {index + 1} of {last + 1}", color=SOFT_TEXT, fontsize=8, loc="left", pad=3)
    return sheet.figure
