"""The pictures of an evaluation, on matplotlib figures that need no display."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medimg.report.wording import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from medimg.evaluate.calibration import Reliability

DPI = 110
SIZE_INCHES = (6.0, 4.5)
LINE, BAND, MARK, FAINT = PALETTE[6], PALETTE[1], PALETTE[5], "#8a939b"

LIMITS_SD = 1.96
"""Bland and Altman's limits of agreement: mean difference plus and minus so many standard deviations."""

Values = NDArray[np.float64]
Pair = tuple[float, float]


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": "medimg"})
    return buffer.getvalue()


def froc_figure(
    rate: Values,
    sensitivity: Values,
    rates: Sequence[float],
    at: Values,
    band: tuple[Values, Values] | None,
    words: str,
) -> Figure:
    """Sensitivity against false positives a scan (logarithmic), the points it is read at, and their 95 % band."""
    figure, axes = _new("false positives a scan", "sensitivity")
    axes.set_xscale("log", base=2)
    axes.plot(rate, sensitivity, color=LINE, label=words)
    if band is not None:
        axes.fill_between(rates, *band, color=BAND, alpha=0.25, linewidth=0, label="95 % interval")
    axes.plot(rates, at, "o", color=MARK)
    axes.set_xlim(rates[0] / 1.15, rates[-1] * 1.15)
    axes.set_ylim(0, 1.02)
    axes.set_xticks(list(rates), [f"{value:g}" for value in rates])
    axes.minorticks_off()
    axes.legend(loc="lower right", frameon=False)
    return figure


def curve_figure(
    x: Values, y: Values, x_name: str, y_name: str, words: str, point: tuple[Any, Any], chance: tuple[Pair, Pair]
) -> Figure:
    """A curve in the unit square with the operating point and what chance would give."""
    figure, axes = _new(x_name, y_name)
    axes.plot(*chance, color=FAINT, linestyle="--", linewidth=1)
    axes.plot(x, y, color=LINE, label=words)
    if None not in point:
        axes.plot(*point, "o", color=MARK, label="threshold")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.legend(loc="best", frameon=False)
    return figure


def calibration_figure(curve: Reliability, error: float | None) -> Figure:
    """The share of positives against the mean probability of each bin; the marks grow with the cases."""
    figure, axes = _new("mean probability", "share of positive cases")
    axes.plot((0, 1), (0, 1), color=FAINT, linestyle="--", linewidth=1)
    words = "" if error is None else f"expected calibration error {error:.3f}"
    axes.plot(curve.probability, curve.positive, color=LINE, label=words)
    axes.scatter(curve.probability, curve.positive, s=20 + 180 * curve.count / curve.count.max(), color=MARK, zorder=3)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.legend(loc="upper left", frameon=False)
    return figure


def bland_altman_figure(truth: dict[str, Values], prediction: dict[str, Values], unit: str) -> Figure:
    """Difference against mean of two measurements, a colour a group, with mean and limits of agreement of all."""
    figure, axes = _new(f"mean of truth and prediction, {unit}", f"prediction - truth, {unit}")
    for index, name in enumerate(truth):
        mean, difference = (truth[name] + prediction[name]) / 2, prediction[name] - truth[name]
        axes.plot(mean, difference, "o", markersize=4, alpha=0.7, color=PALETTE[index % len(PALETTE)], label=name)
        centre, low, high = limits_of_agreement(difference)
        for value, style in ((centre, "-"), (low, ":"), (high, ":")):
            axes.axhline(value, color=PALETTE[index % len(PALETTE)], linestyle=style, linewidth=1)
    axes.axhline(0, color=FAINT, linewidth=0.8)
    axes.legend(loc="best", frameon=False)
    return figure


def limits_of_agreement(difference: Values) -> tuple[float, float, float]:
    """Mean difference and the limits of agreement about it (Bland and Altman, Lancet 1986;327:307-310)."""
    centre = float(difference.mean())
    spread = LIMITS_SD * float(difference.std(ddof=1)) if len(difference) > 1 else 0.0
    return centre, centre - spread, centre + spread


def spread_figure(values: dict[str, Values], name: str) -> Figure:
    """Every case as a dot, one column a group, with the median."""
    figure, axes = _new("", name)
    for index, points in enumerate(values.values()):
        # a fixed fan of offsets keeps equal values apart
        offset = np.linspace(-0.18, 0.18, len(points)) if len(points) > 1 else np.zeros(len(points))
        axes.plot(index + offset, points, "o", markersize=4, alpha=0.7, color=PALETTE[index % len(PALETTE)])
        axes.plot((index - 0.25, index + 0.25), [float(np.median(points))] * 2, color=LINE, linewidth=2)
    axes.set_xticks(range(len(values)), list(values))
    axes.set_ylim(-0.02, 1.02)
    return figure


def _new(x_name: str, y_name: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x_name)
    axes.set_ylabel(y_name)
    axes.grid(color="#e3e7ea", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes
