"""The sheet pictures are laid out on: title, window and notice in bands above and below, a grid of squares between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import medimg
from medimg.report import wording
from medimg.results import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec

BACKGROUND = "#111417"
SOFT_TEXT = "#c8ccd0"
NOTICE_TEXT = "#ffcf70"
ACCENT = wording.PALETTE[0]

MARGIN_INCHES = 0.14
TITLE_INCHES = 0.68
NOTICE_INCHES = 0.4
LEGEND_ROW_INCHES = 0.26

LEGEND_COLUMNS = 4
MAX_LEGEND_LABELS = 12
"""The largest labels are named; a whole-body map has more than fit."""


@dataclass(frozen=True)
class Sheet:
    """A figure and how much of its foot, in inches, is taken."""

    figure: Figure
    foot_inches: float

    def grid(self, rows: int, columns: int, **options: Any) -> GridSpec:
        """A grid that fills what the bands leave."""
        width, height = self.figure.get_size_inches()
        side = MARGIN_INCHES / width
        return self.figure.add_gridspec(
            rows,
            columns,
            left=side,
            right=1 - side,
            top=1 - TITLE_INCHES / height,
            bottom=self.foot_inches / height,
            **options,
        )

    def note(self, words: str) -> None:
        """A short remark at the right of the foot."""
        width, height = self.figure.get_size_inches()
        self.figure.text(
            1 - MARGIN_INCHES / width, 0.1 / height, words, color=SOFT_TEXT, fontsize=9, ha="right", va="bottom"
        )


def new_sheet(report: Report, width: float, height: float, remark: str, legend: bool = False) -> Sheet:
    """A sheet whose grid has `width` x `height` inches, with what was found and by what; `remark` at the top right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    named = _legend_entries(report) if legend else []
    foot = NOTICE_INCHES + LEGEND_ROW_INCHES * -(-len(named) // LEGEND_COLUMNS)
    total = TITLE_INCHES + height + foot
    figure = Figure(figsize=(width + 2 * MARGIN_INCHES, total))
    FigureCanvasAgg(figure)
    left = MARGIN_INCHES / (width + 2 * MARGIN_INCHES)
    top = 1 - 0.16 / total
    figure.text(left, top, _headline(report), color="white", fontsize=13, fontweight="bold", va="top")
    figure.text(1 - left, top, remark, color=SOFT_TEXT, fontsize=9, va="top", ha="right", linespacing=1.4)
    figure.text(left, 0.1 / total, medimg.NOT_A_MEDICAL_DEVICE, color=NOTICE_TEXT, fontsize=9, va="bottom")
    if named:
        _draw_legend(figure, named)
    return Sheet(figure, foot)


def _headline(report: Report) -> str:
    count = len(report.findings)
    found = "no findings" if count == 0 else f"{count} finding" + ("s" if count > 1 else "")
    return f"{wording.pipeline_of(report.pipeline)}:  {found}"


def _legend_entries(report: Report) -> wording.Summary:
    """The labels that are there, the largest if they are too many, in the order of their values."""
    if report.segmentation is None:
        return []
    present = [entry for entry in wording.label_volumes(report.segmentation) if entry["volume_mm3"] > 0]
    largest = sorted(present, key=lambda entry: -entry["volume_mm3"])[:MAX_LEGEND_LABELS]
    return sorted(largest, key=lambda entry: entry["value"])


def _draw_legend(figure: Figure, entries: wording.Summary) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(color=entry["colour"], label=f"{entry['name']}  {wording.volume(entry['volume_mm3'])}")
        for entry in entries
    ]
    figure.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(0.5, (NOTICE_INCHES - 0.1) / figure.get_figheight()),
        ncols=min(len(handles), LEGEND_COLUMNS),
        frameon=False,
        labelcolor="white",
        fontsize=10,
        borderpad=0.1,
    )
