"""Detections: for each of the first ones the whole axial slice, and a close-up with its outline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medimg.report import wording
from medimg.report.display import AXIAL, LUNG_WINDOW, Display, Window, to_display, window_of
from medimg.report.panel import Overlay, Panel, Region, draw, square_about, text, whole_slice
from medimg.report.sheet import ACCENT, SOFT_TEXT, Sheet, new_sheet
from medimg.results import Finding, Report
from medimg.study import Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

MAX_TILES = 6

ZOOM_DIAMETERS = 3.5
MIN_ZOOM_MM = 40.0
"""A close-up shows this many diameters of the finding, and at least this much around it."""

TILE_INCHES = 3.3
SINGLE_TILE_INCHES = 4.8
TITLE_INCHES = 0.35


def tiles(report: Report, volume: Volume) -> Figure:
    """The sheet of a report with findings from a detector."""
    shown = report.findings[:MAX_TILES]
    columns = 1 if len(shown) == 1 else 2
    rows = -(-len(shown) // columns)
    side = SINGLE_TILE_INCHES if len(shown) == 1 else TILE_INCHES
    window = window_of(volume, LUNG_WINDOW)
    sheet = new_sheet(report, columns * 2 * side, rows * (side + TITLE_INCHES), f"{window.text}, radiological view")
    grid = sheet.grid(rows, columns, hspace=0.13, wspace=0.04)
    display = to_display(volume.array, volume.affine_ras)
    for number, finding in enumerate(shown):
        overlay = _outline(report, finding)
        _tile(sheet, grid[number // columns, number % columns], finding, overlay, display, window)
    hidden = len(report.findings) - len(shown)
    if hidden:
        sheet.note(f"and {hidden} more in the report")
    return sheet.figure


def _tile(
    sheet: Sheet, cell: SubplotSpec, finding: Finding, overlay: Overlay | None, display: Display, window: Window
) -> None:
    pair = cell.subgridspec(1, 2, wspace=0.02)
    whole, close = sheet.figure.add_subplot(pair[0]), sheet.figure.add_subplot(pair[1])
    index = display.index_at(finding.center_lps_mm)[AXIAL.through]
    center = display.position_mm(AXIAL, finding.center_lps_mm)
    diameter = finding.diameter_mm or MIN_ZOOM_MM / ZOOM_DIAMETERS
    region = square_about(display.size_mm(AXIAL), center, max(ZOOM_DIAMETERS * diameter, MIN_ZOOM_MM))
    draw(whole, Panel(display, window, AXIAL, index, region=whole_slice(display, AXIAL)))
    _rectangle(whole, region)
    draw(close, Panel(display, window, AXIAL, index, overlay, region))
    if overlay is None:
        _circle(close, center, diameter / 2)
    whole.set_title(wording.title_of(finding), color=ACCENT, fontsize=11, loc="left", fontweight="bold", pad=4)
    place = f"slice {index + 1} of {display.array.shape[2]},  z {finding.center_lps_mm[2]:.1f} mm"
    close.set_title(place, color=SOFT_TEXT, fontsize=9, loc="right", pad=4)
    text(close, 0.02, 0.03, "outlined" if overlay else "not outlined", color=ACCENT, fontsize=9)


def _outline(report: Report, finding: Finding) -> Overlay | None:
    """The outline of this finding alone; None when it has no mask."""
    segmentation = report.segmentation
    if segmentation is None or finding.segment is None:
        return None
    return Overlay(to_display(segmentation.array, segmentation.affine_ras), {finding.segment: ACCENT}, fill=False)


def _rectangle(axes: Axes, region: Region) -> None:
    from matplotlib.patches import Rectangle

    x0, x1, y0, y1 = region
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=ACCENT, linewidth=1.2))


def _circle(axes: Axes, center: tuple[float, float], radius: float) -> None:
    from matplotlib.patches import Circle

    axes.add_patch(Circle(center, radius, fill=False, edgecolor=ACCENT, linewidth=1.4, linestyle="--"))
