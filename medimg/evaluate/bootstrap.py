"""Case-level bootstrap: how often each case is drawn, intervals of the replicates, and the intervals in closed form.

Two runs that are resampled with one seed share their draws, so the difference of their replicates is a paired
bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]

CONFIDENCE = 0.95
"""Of every interval."""

Z = 1.959963984540054
"""Standard normal quantile at (1 + CONFIDENCE) / 2."""

REPLICATES = 1000
"""As LUNA16's evaluation draws."""


def draw_counts(units: int, replicates: int, seed: int) -> NDArray[np.int32]:
    """(replicates, units): how often each unit is drawn when `units` of them are drawn with replacement.

    Of fewer than two units there is nothing to draw: (0, units).
    """
    if units < 2 or replicates == 0:
        return np.zeros((0, units), np.int32)
    drawn = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=replicates)
    return drawn.astype(np.int32)


def grouped(members: Sequence[str]) -> tuple[list[str], NDArray[np.intp]]:
    """The distinct names in the order they come, and for each member the index of its own."""
    index: dict[str, int] = {}
    places = [index.setdefault(name, len(index)) for name in members]
    return list(index), np.array(places, np.intp)


def percentile_interval(replicates: NDArray[Any]) -> Interval | None:
    """The central 95 % of the replicates (B,); None when fewer than two of them are numbers."""
    finite = replicates[np.isfinite(replicates)]
    if len(finite) < 2:
        return None
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(finite, [tail, 100 - tail])
    return float(low), float(high)


def two_sided_p(differences: NDArray[Any]) -> float | None:
    """Twice the smaller share of replicates (B,) on either side of 0, never less than 1 / B; None without any."""
    finite = differences[np.isfinite(differences)]
    if not len(finite):
        return None
    share = min(np.mean(finite <= 0), np.mean(finite >= 0))
    return float(min(1.0, max(2 * share, 1 / len(finite))))


def wilson_interval(successes: float, trials: float) -> Interval | None:
    """Wilson's score interval of a proportion (J Am Stat Assoc 1927;22:209-212); None without trials."""
    if trials <= 0:
        return None
    share = successes / trials
    centre = share + Z * Z / (2 * trials)
    half = Z * math.sqrt(share * (1 - share) / trials + Z * Z / (4 * trials * trials))
    scale = 1 + Z * Z / trials
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
