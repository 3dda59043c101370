"""Side by side: each finding as it was and as it is, in the same size, its outline over it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import medimg
from medimg.followup.changes import Change
from medimg.report.display import AXIAL, LUNG_WINDOW, Display, Window, to_display, window_of
from medimg.report.panel import Overlay, Panel, draw, square_about, text
from medimg.report.sheet import ACCENT, BACKGROUND, NOTICE_TEXT, SOFT_TEXT
from medimg.results import Finding, Report
from medimg.study import Volume

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

MAX_PAIRS = 8
ORDER = ("grown", "new", "shrunk", "resolved", "stable", "unmeasured")
"""What a reader looks at first."""

ZOOM_DIAMETERS, MIN_ZOOM_MM = 3.5, 40.0
PAIR_INCHES, GAP_INCHES, FOOT_INCHES = 2.6, 0.42, 0.4
COLUMNS = 2
DPI = 110


@dataclass(frozen=True)
class Side:
    """One timepoint as it is drawn: the scan in display order, its window, and its label map."""

    name: str
    display: Display
    window: Window
    labels: Display | None

    @classmethod
    def of(cls, name: str, report: Report, volume: Volume) -> Side:
        """Prepare a report and the scan it is about."""
        drawn = report.segmentation
        labels = None if drawn is None else to_display(drawn.array, drawn.affine_ras)
        return cls(name, to_display(volume.array, volume.affine_ras), window_of(volume, LUNG_WINDOW), labels)


def shown(changes: Sequence[Change]) -> list[Change]:
    """The changes that are drawn, the most telling first."""
    return sorted(changes, key=lambda change: ORDER.index(change.growth.status))[:MAX_PAIRS]


def picture_png(changes: Sequence[Change], prior: Side, current: Side, centers: Sequence[Centers]) -> bytes | None:
    """The sheet of `shown(changes)` as PNG bytes; None without any. centers: where each is in the two scans."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not changes:
        return None
    columns = min(COLUMNS, len(changes))
    rows = -(-len(changes) // columns)
    width, height = columns * 2 * PAIR_INCHES, rows * (PAIR_INCHES + GAP_INCHES) + FOOT_INCHES
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        rows, columns, left=0.01, right=0.99, top=1 - GAP_INCHES / height, bottom=FOOT_INCHES / height,
        wspace=0.03, hspace=GAP_INCHES / PAIR_INCHES,
    )  # fmt: skip
    for number, (change, center) in enumerate(zip(changes, centers, strict=True)):
        _pair(figure, grid[number // columns, number % columns], change, (prior, current), center)
    figure.text(0.01, 0.1 / height, medimg.NOT_A_MEDICAL_DEVICE, color=NOTICE_TEXT, fontsize=8, va="bottom")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor=BACKGROUND, metadata={"Software": "medimg"})
    return buffer.getvalue()


Centers = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Where something lies in the prior and in the current scan, LPS mm of each."""


def _pair(figure: Figure, cell: SubplotSpec, change: Change, sides: tuple[Side, Side], centers: Centers) -> None:
    both = cell.subgridspec(1, 2, wspace=0.02)
    diameters = [f.diameter_mm for f in (change.prior, change.current) if f is not None and f.diameter_mm]
    side_mm = max(MIN_ZOOM_MM, ZOOM_DIAMETERS * max(diameters, default=0.0))
    found = (change.prior, change.current)
    for column, (side, finding, center) in enumerate(zip(sides, found, centers, strict=True)):
        axes = figure.add_subplot(both[column])
        index = side.display.index_at(center)[AXIAL.through]
        place = side.display.position_mm(AXIAL, center)
        region = square_about(side.display.size_mm(AXIAL), place, side_mm)
        draw(axes, Panel(side.display, side.window, AXIAL, index, _outline(side, finding), region))
        if column == 0:
            axes.set_title(change.growth.status, color=ACCENT, fontsize=10, loc="left", fontweight="bold", pad=4)
        axes.set_title(side.name, color=SOFT_TEXT, fontsize=8, loc="right", pad=4)
        text(axes, 0.02, 0.03, finding.id if finding is not None else "none", color=ACCENT, fontsize=8)


def _outline(side: Side, finding: Finding | None) -> Overlay | None:
    """The outline of the finding; of every label where it has several."""
    if side.labels is None or finding is None:
        return None
    if finding.segment is not None:
        return Overlay(side.labels, {finding.segment: ACCENT}, fill=False)
    present = range(1, int(side.labels.array.max()) + 1)
    return Overlay(side.labels, dict.fromkeys(present, ACCENT), fill=False)
