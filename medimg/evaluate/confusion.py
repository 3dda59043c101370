"""What a threshold makes of probabilities: true and false, positive and negative, and the shares of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Confusion:
    """How many cases of each kind; "positive" is a probability at or above the threshold."""

    true_positive: float
    false_positive: float
    true_negative: float
    false_negative: float

    def proportions(self) -> dict[str, tuple[float, float]]:
        """Name -> (successes, trials) of what is a share of cases."""
        tp, fp, tn, fn = self.true_positive, self.false_positive, self.true_negative, self.false_negative
        return {
            "accuracy": (tp + tn, tp + fp + tn + fn),
            "sensitivity": (tp, tp + fn),
            "specificity": (tn, tn + fp),
            "precision": (tp, tp + fp),
        }

    def f1(self) -> float:
        """Harmonic mean of precision and sensitivity; NaN when nothing is positive and nothing was called so."""
        return share(2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative)


def share(part: float, whole: float) -> float:
    """part / whole; NaN of nothing."""
    return part / whole if whole else math.nan


def confusion(
    label: NDArray[np.bool_],
    probability: NDArray[np.float64],
    threshold: float,
    weight: NDArray[Any] | None = None,
) -> Confusion:
    """Counts of label (N,), True where positive, and probability (N,), with each case counted `weight` (N,) times."""
    weights = np.ones(len(label)) if weight is None else weight
    called = probability >= threshold
    return Confusion(
        *(float(weights[mask].sum()) for mask in (label & called, ~label & called, ~label & ~called, label & ~called))
    )
