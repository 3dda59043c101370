"""One picture of one slice: grey image, outlines or coloured labels, orientation letters, scale bar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from medimg.report.display import Display, Plane, Window

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILL_OPACITY = 0.45
LINE_WIDTH = 1.4
SCALE_BARS_MM = (5, 10, 20, 50, 100)
"""The longest that takes up at most a third of the picture is drawn."""

HALO = 2.0
"""Width of the dark rim around white text, in points: readable on bone and on air."""

Region = tuple[float, float, float, float]
"""What a panel shows of a slice: across from, to, down from, to; in mm from the outer edge of voxel 0."""


Extent = tuple[float, float, float, float]
Origin = Literal["upper", "lower"]


@dataclass(frozen=True)
class Overlay:
    """Labels over the scan, on its grid: label value -> colour; `fill` paints areas, otherwise only outlines."""

    labels: Display
    colours: Mapping[int, str]
    fill: bool


@dataclass(frozen=True)
class Panel:
    """What to draw: a slice of a scan, its window, the labels over it, and the part of it to show (None: all)."""

    display: Display
    window: Window
    plane: Plane
    index: int
    overlay: Overlay | None = None
    region: Region | None = None


def whole_slice(display: Display, plane: Plane) -> Region:
    """The square that holds a whole slice in its middle."""
    width, height = display.size_mm(plane)
    return square_about((width, height), (width / 2, height / 2), max(width, height))


def draw(axes: Axes, panel: Panel) -> None:
    """Draw `panel` on `axes`, in mm, in the radiological convention."""
    width, height = panel.display.size_mm(panel.plane)
    region = panel.region or (0.0, width, 0.0, height)
    low_edge = (0.0, height) if panel.plane.superior_up else (height, 0.0)
    extent = (0.0, width, *low_edge)
    origin: Origin = "lower" if panel.plane.superior_up else "upper"
    axes.set_facecolor("black")
    axes.imshow(
        panel.display.slice(panel.plane, panel.index),
        cmap="gray",
        vmin=panel.window.low,
        vmax=panel.window.high,
        extent=extent,
        origin=origin,
        interpolation="bilinear" if region[1] - region[0] < width / 2 else "antialiased",
        aspect="equal",
    )
    if panel.overlay is not None:
        _draw_overlay(axes, panel, panel.overlay, extent, origin)
    _frame(axes, panel, region)
    _letters(axes, panel.plane)
    _scale_bar(axes)


def square_about(panel_size: tuple[float, float], center: tuple[float, float], side: float) -> Region:
    """A square of `side` mm about `center`, moved (and at last cut) to stay on the slice."""
    x0, x1 = _span(center[0], side, panel_size[0])
    y0, y1 = _span(center[1], side, panel_size[1])
    return (x0, x1, y0, y1)


def text(axes: Axes, x: float, y: float, words: str, **options: Any) -> None:
    """White text with a dark rim at (x, y) in axes coordinates (0..1, upwards)."""
    from matplotlib import patheffects

    rim = [patheffects.withStroke(linewidth=HALO, foreground="black")]
    axes.text(x, y, words, transform=axes.transAxes, path_effects=rim, **{"color": "white", "fontsize": 9, **options})


def _span(center: float, side: float, size: float) -> tuple[float, float]:
    if side >= size:
        return (size - side) / 2, (size + side) / 2
    start = min(max(center - side / 2, 0.0), size - side)
    return start, start + side


def _draw_overlay(axes: Axes, panel: Panel, overlay: Overlay, extent: Extent, origin: Origin) -> None:
    from matplotlib.colors import to_rgba

    labels = overlay.labels.slice(panel.plane, panel.index)
    if overlay.fill:
        painted = np.zeros((*labels.shape, 4))
        for value, colour in overlay.colours.items():
            painted[labels == value] = to_rgba(colour, FILL_OPACITY)
        axes.imshow(painted, extent=extent, origin=origin, interpolation="nearest", aspect="equal")
        return
    for value, colour in overlay.colours.items():
        if (labels == value).any():
            _outline(axes, panel, labels == value, colour)


def _outline(axes: Axes, panel: Panel, mask: NDArray[np.bool_], colour: str) -> None:
    """The border of a mask, halfway between voxel centres; one empty voxel around it closes it at the edge."""
    across, down = (panel.display.spacing_mm[axis] for axis in (panel.plane.across, panel.plane.down))
    padded = np.pad(mask.astype(np.float32), 1)
    x = (np.arange(padded.shape[1]) - 0.5) * across
    y = (np.arange(padded.shape[0]) - 0.5) * down
    axes.contour(x, y, padded, levels=[0.5], colors=[colour], linewidths=LINE_WIDTH)


def _frame(axes: Axes, panel: Panel, region: Region) -> None:
    x0, x1, y0, y1 = region
    axes.set_xlim(x0, x1)
    axes.set_ylim((y0, y1) if panel.plane.superior_up else (y1, y0))
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _letters(axes: Axes, plane: Plane) -> None:
    left, right, top, bottom = plane.letters
    bold = {"fontweight": "bold", "fontsize": 10, "color": "#9fd0ff"}
    text(axes, 0.015, 0.5, left, va="center", ha="left", **bold)
    text(axes, 0.985, 0.5, right, va="center", ha="right", **bold)
    text(axes, 0.5, 0.985, top, va="top", ha="center", **bold)
    text(axes, 0.5, 0.015, bottom, va="bottom", ha="center", **bold)


def _scale_bar(axes: Axes) -> None:
    from matplotlib import patheffects

    x0, x1 = axes.get_xlim()
    shown = abs(x1 - x0)
    length = max((bar for bar in SCALE_BARS_MM if bar <= shown / 3), default=SCALE_BARS_MM[0])
    part = length / shown
    rim = [patheffects.withStroke(linewidth=2 + HALO, foreground="black")]
    axes.plot([0.97 - part, 0.97], [0.035] * 2, transform=axes.transAxes, color="white", lw=2, path_effects=rim)
    text(axes, 0.97 - part / 2, 0.045, f"{length} mm", va="bottom", ha="center", fontsize=8)
