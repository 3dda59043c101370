"""Segmentations: three planes through the largest lesion in colour, and its axial slice in every contrast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medimg import geometry
from medimg.report import wording
from medimg.report.display import (
    AXIAL,
    PLANES,
    SOFT_TISSUE_WINDOW,
    Display,
    Plane,
    Window,
    to_display,
    window_of,
)
from medimg.report.panel import Overlay, Panel, Region, draw, square_about, whole_slice
from medimg.report.sheet import SOFT_TEXT, new_sheet
from medimg.results import Finding, Report, Segmentation
from medimg.study import Volume

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

MAIN_ROLE = "t2f"
"""FLAIR shows the whole of a tumour, oedema included: the contrast the planes are drawn on when it is there."""

MAX_CONTRASTS = 4
SAME_GRID_MM = 1e-2
"""Contrasts whose corners lie further apart are not on the labels' grid and are not drawn under them."""

PANEL_INCHES = 3.3
TITLE_INCHES = 0.3
CONTENT_MARGIN_MM = 10.0
"""Shown around what is not empty."""


@dataclass(frozen=True)
class Contrast:
    """A scan as every panel of it shows it."""

    role: str
    display: Display
    window: Window

    @classmethod
    def of(cls, role: str, volume: Volume) -> Contrast:
        """In display order, with its window."""
        display = to_display(volume.array, volume.affine_ras)
        return cls(role, display, window_of(volume, SOFT_TISSUE_WINDOW))


def label_overlay(segmentation: Segmentation, fill: bool) -> Overlay:
    """All labels in their colours."""
    labels = to_display(segmentation.array, segmentation.affine_ras)
    return Overlay(labels, wording.label_colours(segmentation.labels), fill)


def planes(report: Report, segmentation: Segmentation, volumes: dict[str, Volume]) -> Figure:
    """The sheet of a report whose first finding is the largest lesion of `segmentation`."""
    contrasts = [Contrast.of(role, volume) for role, volume in on_grid(volumes).items()]
    main = next((contrast for contrast in contrasts if contrast.role == MAIN_ROLE), contrasts[0])
    finding = report.findings[0]
    columns = max(len(PLANES), len(contrasts))
    lower_inches = PANEL_INCHES * len(PLANES) / columns
    remark = f"{main.window.text}, radiological view\n{wording.title_of(finding)}"
    heights = [PANEL_INCHES + TITLE_INCHES, lower_inches + TITLE_INCHES]
    sheet = new_sheet(report, len(PLANES) * PANEL_INCHES, sum(heights), remark, legend=True)
    rows = sheet.grid(2, 1, hspace=0.1, height_ratios=heights)
    at = _most_labelled(to_display(segmentation.array, segmentation.affine_ras), finding)
    filled, outlined = label_overlay(segmentation, fill=True), label_overlay(segmentation, fill=False)
    upper = rows[0].subgridspec(1, len(PLANES), wspace=0.03)
    for column, plane in enumerate(PLANES):
        _draw(sheet.figure, upper[column], main, plane, at, filled)
    lower = rows[1].subgridspec(1, columns, wspace=0.03)
    for column, contrast in enumerate(contrasts):
        _draw(sheet.figure, lower[column], contrast, AXIAL, at, outlined)
    return sheet.figure


def on_grid(volumes: dict[str, Volume]) -> dict[str, Volume]:
    """The first contrasts that share the first volume's grid, which is the report's."""
    (_, first), *_ = volumes.items()
    fitting = [
        role
        for role, volume in volumes.items()
        if geometry.same_grid(volume.shape, volume.affine_ras, first.shape, first.affine_ras, SAME_GRID_MM)
    ]
    return {role: volumes[role] for role in fitting[:MAX_CONTRASTS]}


def _draw(
    figure: Figure, cell: SubplotSpec, contrast: Contrast, plane: Plane, at: tuple[int, int, int], overlay: Overlay
) -> None:
    axes = figure.add_subplot(cell)
    region = _content(contrast.display, plane)
    draw(axes, Panel(contrast.display, contrast.window, plane, at[plane.through], overlay, region))
    axes.set_title(f"{plane.name}, {contrast.role}", color=SOFT_TEXT, fontsize=9, loc="left", pad=3)


def _content(display: Display, plane: Plane) -> Region:
    """A square about what is not empty, of one size for all planes; the whole slice where nothing is."""
    low, high = display.content()
    side = float((high - low).max()) + 2 * CONTENT_MARGIN_MM
    whole = whole_slice(display, plane)
    if side >= whole[1] - whole[0]:
        return whole
    center = (low + high) / 2
    return square_about(display.size_mm(plane), (float(center[plane.across]), float(center[plane.down])), side)


def _most_labelled(labels: Display, finding: Finding) -> tuple[int, int, int]:
    """Where to cut: along each axis the slice with most labelled voxels within the finding's box."""
    if finding.box_lps_mm is None:
        return labels.index_at(finding.center_lps_mm)
    box = np.array(finding.box_lps_mm).reshape(2, 3)
    places = labels.voxel_at(np.array(np.meshgrid(*box.T, indexing="ij")).reshape(3, -1).T)
    low = np.clip(np.floor(places.min(axis=0)).astype(int), 0, np.array(labels.array.shape) - 1)
    high = np.maximum(np.ceil(places.max(axis=0)).astype(int) + 1, low + 1)
    inside = labels.array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] > 0
    left, posterior, superior = (
        int(low[axis] + inside.sum(axis=tuple({0, 1, 2} - {axis})).argmax()) for axis in range(3)
    )
    return (left, posterior, superior)
