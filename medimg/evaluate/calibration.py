"""Whether probabilities mean what they say: Brier score, reliability curve, expected calibration error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

BINS = 10
"""Of equal width over 0..1; the last holds 1 itself (Guo et al., ICML 2017)."""


@dataclass(frozen=True)
class Reliability:
    """The bins that hold cases: how many, their mean probability, and the share of them that is positive; (K,) each."""

    low: Values
    high: Values
    count: Values
    probability: Values
    positive: Values

    def expected_error(self) -> float:
        """Mean distance of share and probability, weighted by the cases of each bin; NaN without cases."""
        total = self.count.sum()
        return float(np.sum(self.count * np.abs(self.positive - self.probability)) / total) if total else math.nan


def brier(label: NDArray[np.bool_], probability: Values, weight: NDArray[Any] | None = None) -> float:
    """Mean squared distance of probability and outcome (Brier, Mon Weather Rev 1950;78:1-3); NaN without cases."""
    weights = np.ones(len(probability)) if weight is None else weight
    total = weights.sum()
    return float(np.sum(weights * (probability - label) ** 2) / total) if total else math.nan


def reliability(label: NDArray[np.bool_], probability: Values, weight: NDArray[Any] | None = None) -> Reliability:
    """The reliability curve of probabilities in 0..1, (N,); label True where positive."""
    weights = np.ones(len(probability)) if weight is None else np.asarray(weight, np.float64)
    place = np.minimum((probability * BINS).astype(np.intp), BINS - 1)
    count, mean, share = (
        np.bincount(place, part, minlength=BINS).astype(np.float64)
        for part in (weights, weights * probability, weights * label)
    )
    held = count > 0
    edges = np.linspace(0, 1, BINS + 1)
    return Reliability(
        edges[:-1][held], edges[1:][held], count[held], mean[held] / count[held], share[held] / count[held]
    )
