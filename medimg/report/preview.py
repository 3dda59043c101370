"""preview.png: the findings on the scan.

Detections: for each of the first ones the whole axial slice and a close-up. Segmentations: three planes through the
largest lesion, and the same axial slice in every contrast. Nothing found: axial slices through the scan.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

import medimg
from medimg import geometry
from medimg.report import wording
from medimg.report.display import (
    AXIAL,
    LUNG_WINDOW,
    PLANES,
    SOFT_TISSUE_WINDOW,
    Display,
    Window,
    mr_window,
    to_display,
)
from medimg.report.panel import Overlay, Panel, draw, square_about, text
from medimg.results import Finding, Report
from medimg.study import Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

MAX_TILES = 6
MAX_CONTRASTS = 4
MONTAGE_SLICES = 8
MONTAGE_RANGE = (0.15, 0.85)
"""Slices without findings are shown from this part of the scan's height to that."""

ZOOM_DIAMETERS = 3.5
MIN_ZOOM_MM = 40.0
"""A close-up shows this many diameters of the finding, and at least this much around it."""

DPI = 110
PANEL_INCHES = 3.3
BAND_INCHES = 0.8
"""Height of the title and footer bands together."""

BACKGROUND = "#111417"
ACCENT = wording.PALETTE[0]
TUMOUR_ROLE = "t2f"
"""FLAIR shows the whole of a tumour, oedema included: the contrast the planes are drawn on when it is there."""

SAME_GRID_MM = 1e-2
"""Contrasts whose corners differ by more are not drawn under labels that are not on their grid."""


def preview_png(report: Report, volumes: dict[str, Volume]) -> bytes:
    """The preview as PNG bytes. volumes: role -> scan, the first on the report's grid (at least one)."""
    if not report.findings:
        figure = _montage(report, volumes)
    elif is_detection(report):
        figure = _tiles(report, volumes)
    else:
        figure = _planes(report, volumes)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor=BACKGROUND, metadata={"Software": "medimg"})
    return buffer.getvalue()


def is_detection(report: Report) -> bool:
    """Whether findings came from a detector (they carry probabilities) and not from a label map."""
    return any(finding.probability is not None for finding in report.findings)


def describe(report: Report) -> str:
    """The preview in words, for readers who cannot see it."""
    if not report.findings:
        return "Axial slices through the scan; no findings."
    shown = report.findings[:MAX_TILES] if is_detection(report) else report.findings[:1]
    kind = "Axial slice and close-up of" if is_detection(report) else "Axial, coronal and sagittal slice through"
    return f"{kind} " + "; ".join(wording.title_of(finding) for finding in shown) + "."


def _tiles(report: Report, volumes: dict[str, Volume]) -> Figure:
    volume = next(iter(volumes.values()))
    display = to_display(volume.array, volume.affine_ras)
    window = _window(volume, LUNG_WINDOW)
    shown = report.findings[:MAX_TILES]
    columns = 1 if len(shown) == 1 else 2
    rows = -(-len(shown) // columns)
    scale = 1.5 if columns == 1 else 1.0
    figure = _figure(report, columns * 2 * PANEL_INCHES * scale, rows * (PANEL_INCHES * scale + 0.35), window)
    grid = _grid(figure, rows, columns, hspace=0.13, wspace=0.04)
    for number, finding in enumerate(shown):
        _tile(figure, grid[number // columns, number % columns], finding, report, display, window)
    hidden = len(report.findings) - len(shown)
    if hidden:
        figure.text(0.99, 0.012, f"and {hidden} more in the report", color="white", fontsize=9, ha="right")
    return figure


def _tile(
    figure: Figure, cell: SubplotSpec, finding: Finding, report: Report, display: Display, window: Window
) -> None:
    pair = cell.subgridspec(1, 2, wspace=0.02)
    whole, close = figure.add_subplot(pair[0]), figure.add_subplot(pair[1])
    index = display.index_at(finding.center_lps_mm)[AXIAL.through]
    center = display.position_mm(AXIAL, finding.center_lps_mm)
    size = display.size_mm(AXIAL)
    diameter = finding.diameter_mm or MIN_ZOOM_MM / ZOOM_DIAMETERS
    side = max(ZOOM_DIAMETERS * diameter, MIN_ZOOM_MM)
    region = square_about(size, center, side)
    overlay = _finding_outline(report, finding)
    draw(whole, Panel(display, window, AXIAL, index, None, square_about(size, (size[0] / 2, size[1] / 2), max(size))))
    _rectangle(whole, region)
    draw(close, Panel(display, window, AXIAL, index, overlay, region))
    if overlay is None:
        _circle(close, center, diameter / 2)
    whole.set_title(wording.title_of(finding), color=ACCENT, fontsize=11, loc="left", fontweight="bold", pad=4)
    z = finding.center_lps_mm[2]
    close.set_title(
        f"slice {index + 1} of {display.array.shape[2]},  z {z:.1f} mm", color="#c8ccd0", fontsize=9, loc="right", pad=4
    )
    text(close, 0.02, 0.03, "outlined" if overlay else "not outlined", color=ACCENT, fontsize=8)


def _planes(report: Report, volumes: dict[str, Volume]) -> Figure:
    first = next(iter(volumes.values()))
    contrasts = {
        role: volume
        for role, volume in volumes.items()
        if geometry.same_grid(volume.shape, volume.affine_ras, first.shape, first.affine_ras, SAME_GRID_MM)
    }
    main_role = TUMOUR_ROLE if TUMOUR_ROLE in contrasts else next(iter(contrasts))
    window = _window(contrasts[main_role], SOFT_TISSUE_WINDOW)
    finding = report.findings[0]
    filled, outlined = _label_overlay(report, fill=True), _label_overlay(report, fill=False)
    display = to_display(contrasts[main_role].array, contrasts[main_role].affine_ras)
    at = _center_of_labels(report, finding, display)
    shown = list(contrasts.items())[:MAX_CONTRASTS]
    lower = PANEL_INCHES * 3 / max(len(shown), 3)
    figure = _figure(report, 3 * PANEL_INCHES + 0.2, PANEL_INCHES + lower + 0.6, window, legend=True)
    rows = _grid(figure, 2, 1, hspace=0.12, wspace=0.0, height_ratios=[PANEL_INCHES, lower])
    upper = rows[0].subgridspec(1, 3, wspace=0.03)
    for column, plane in enumerate(PLANES):
        axes = figure.add_subplot(upper[column])
        size = display.size_mm(plane)
        region = square_about(size, (size[0] / 2, size[1] / 2), max(size))
        draw(axes, Panel(display, window, plane, at[plane.through], filled, region))
        axes.set_title(f"{plane.name}, {main_role}", color="#c8ccd0", fontsize=9, loc="left", pad=3)
    below = rows[1].subgridspec(1, max(len(shown), 3), wspace=0.03)
    for column, (role, volume) in enumerate(shown):
        axes = figure.add_subplot(below[column])
        contrast = to_display(volume.array, volume.affine_ras)
        size = contrast.size_mm(AXIAL)
        region = square_about(size, (size[0] / 2, size[1] / 2), max(size))
        draw(axes, Panel(contrast, _window(volume, SOFT_TISSUE_WINDOW), AXIAL, at[2], outlined, region))
        axes.set_title(f"axial, {role}", color="#c8ccd0", fontsize=9, loc="left", pad=3)
    _legend(figure, report)
    return figure


def _montage(report: Report, volumes: dict[str, Volume]) -> Figure:
    volume = next(iter(volumes.values()))
    display = to_display(volume.array, volume.affine_ras)
    window = _window(volume, LUNG_WINDOW)
    last = display.array.shape[2] - 1
    indices = np.unique(np.rint(np.linspace(*MONTAGE_RANGE, MONTAGE_SLICES) * last).astype(int))[::-1]
    columns = 4
    rows = -(-len(indices) // columns)
    figure = _figure(report, columns * PANEL_INCHES * 0.8, rows * (PANEL_INCHES * 0.8 + 0.25), window)
    grid = _grid(figure, rows, columns, hspace=0.1, wspace=0.03)
    overlay = _label_overlay(report, fill=False)
    for number, index in enumerate(indices):
        axes = figure.add_subplot(grid[number // columns, number % columns])
        size = display.size_mm(AXIAL)
        region = square_about(size, (size[0] / 2, size[1] / 2), max(size))
        draw(axes, Panel(display, window, AXIAL, int(index), overlay, region))
        axes.set_title(f"slice {index + 1} of {last + 1}", color="#c8ccd0", fontsize=8, loc="left", pad=3)
    return figure


def _window(volume: Volume, ct: Window) -> Window:
    return ct if volume.modality == "CT" else mr_window(volume)


def _figure(report: Report, width: float, height: float, window: Window, legend: bool = False) -> Figure:
    """An empty figure (inches) with title, window, what was found, and the notice."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height + BAND_INCHES + (0.3 if legend else 0.0)))
    FigureCanvasAgg(figure)
    total = figure.get_figheight()
    count = len(report.findings)
    found = "no findings" if count == 0 else f"{count} finding" + ("s" if count > 1 else "")
    top = 1 - 0.16 / total
    name = wording.pipeline_of(report.pipeline)
    figure.text(0.012, top, f"{name}:  {found}", color="white", fontsize=13, fontweight="bold", va="top")
    figure.text(0.99, top, f"{window.text};  radiological view", color="#c8ccd0", fontsize=9, va="top", ha="right")
    figure.text(0.012, 0.1 / total, medimg.NOT_A_MEDICAL_DEVICE, color="#ffcf70", fontsize=9, va="bottom")
    return figure


def _grid(figure: Figure, rows: int, columns: int, **options: Any) -> Any:
    total = figure.get_figheight()
    bottom = 0.38 if total < 6 else 0.4
    legend = 0.3 if options.get("height_ratios") else 0.0
    return figure.add_gridspec(
        rows, columns, left=0.012, right=0.988, top=1 - 0.68 / total, bottom=(bottom + legend) / total, **options
    )


def _legend(figure: Figure, report: Report) -> None:
    from matplotlib.patches import Patch

    if report.segmentation is None:
        return
    handles = [
        Patch(color=entry["colour"], label=f"{entry['name']}  {wording.volume(entry['volume_mm3'])}")
        for entry in wording.label_volumes(report.segmentation)
    ]
    place = (0.5, 0.3 / figure.get_figheight())
    figure.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=place,
        ncols=max(len(handles), 1),
        frameon=False,
        labelcolor="white",
        fontsize=10,
    )


def _label_overlay(report: Report, fill: bool) -> Overlay | None:
    segmentation = report.segmentation
    if segmentation is None:
        return None
    labels = to_display(segmentation.array, segmentation.affine_ras)
    return Overlay(labels, wording.label_colours(segmentation.labels), fill)


def _finding_outline(report: Report, finding: Finding) -> Overlay | None:
    """The outline of this finding alone; None when it has no mask."""
    segmentation = report.segmentation
    if segmentation is None or finding.segment is None:
        return None
    return Overlay(to_display(segmentation.array, segmentation.affine_ras), {finding.segment: ACCENT}, fill=False)


def _center_of_labels(report: Report, finding: Finding, display: Display) -> tuple[int, int, int]:
    """Where to cut: for each axis the slice with most of the labels inside the finding's box; else its centre."""
    if report.segmentation is None or finding.box_lps_mm is None:
        return display.index_at(finding.center_lps_mm)
    box = np.array(finding.box_lps_mm).reshape(2, 3)
    corners = np.array(np.meshgrid(*box.T, indexing="ij")).reshape(3, -1).T
    places = display.voxel_at(corners)
    low = np.clip(np.floor(places.min(axis=0)).astype(int), 0, np.array(display.array.shape) - 1)
    high = np.clip(np.ceil(places.max(axis=0)).astype(int) + 1, low + 1, None)
    labels = to_display(report.segmentation.array, report.segmentation.affine_ras).array
    inside = labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] > 0
    counts = [inside.sum(axis=tuple(other for other in range(3) if other != axis)) for axis in range(3)]
    left, posterior, superior = (int(low[axis] + counts[axis].argmax()) for axis in range(3))
    return (left, posterior, superior)


def _rectangle(axes: Axes, region: tuple[float, float, float, float]) -> None:
    from matplotlib.patches import Rectangle

    x0, x1, y0, y1 = region
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=ACCENT, linewidth=1.2))


def _circle(axes: Axes, center: tuple[float, float], radius: float) -> None:
    from matplotlib.patches import Circle

    axes.add_patch(Circle(center, radius, fill=False, edgecolor=ACCENT, linewidth=1.4, linestyle="--"))
