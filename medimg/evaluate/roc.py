"""Discrimination of a score: ROC and precision-recall curves, their areas, and DeLong's interval.

label (N,): True where the case is positive. score (N,): higher means more likely positive. weight (N,): how often
each case counts; a bootstrap replicate is a vector of weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.evaluate.bootstrap import Interval, Z

Labels = NDArray[np.bool_]
Values = NDArray[np.float64]
Weights = NDArray[Any]


@dataclass(frozen=True)
class Counts:
    """True and false positives when everything from each distinct score on is called positive; scores descend."""

    score: Values
    true_positive: Values
    false_positive: Values

    @property
    def positives(self) -> float:
        """All positive cases."""
        return float(self.true_positive[-1])

    @property
    def negatives(self) -> float:
        """All negative cases."""
        return float(self.false_positive[-1])


def counts_by_score(label: Labels, score: Values, weight: Weights | None = None) -> Counts:
    """Cumulated counts at every distinct score, from the highest on."""
    weights = np.ones(len(score)) if weight is None else np.asarray(weight, np.float64)
    distinct, place = np.unique(-score, return_inverse=True)
    hit, false = (
        np.cumsum(np.bincount(place.reshape(-1), part, minlength=len(distinct)), dtype=np.float64)
        for part in (weights * label, weights * ~label)
    )
    return Counts(-distinct, hit, false)


def roc_curve(counts: Counts) -> tuple[Values, Values]:
    """1 - specificity and sensitivity, from (0, 0) to (1, 1); NaN where a class is empty."""
    with np.errstate(invalid="ignore"):
        false = np.append(0.0, counts.false_positive) / counts.negatives
        true = np.append(0.0, counts.true_positive) / counts.positives
    return false, true


def roc_auc(counts: Counts) -> float:
    """Area under the ROC curve: chance that a positive scores above a negative, ties half; NaN without both."""
    if not counts.positives or not counts.negatives:
        return math.nan
    false, true = roc_curve(counts)
    return float(np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2))


def pr_curve(counts: Counts) -> tuple[Values, Values]:
    """Recall and precision at every distinct score, the recall ascending."""
    called = counts.true_positive + counts.false_positive
    with np.errstate(invalid="ignore"):
        recall = counts.true_positive / counts.positives
    return recall, np.divide(counts.true_positive, called, out=np.ones_like(called), where=called > 0)


def average_precision(counts: Counts) -> float:
    """Sum of precision times the rise in recall, without interpolation; NaN without a positive."""
    if not counts.positives:
        return math.nan
    recall, precision = pr_curve(counts)
    return float(np.sum(np.diff(np.append(0.0, recall)) * precision))


def delong_interval(label: Labels, score: Values) -> Interval | None:
    """95 % interval of the ROC area (DeLong et al., Biometrics 1988;44:837-845), in ranks (Sun and Xu, 2014).

    None with fewer than two cases of a class.
    """
    from scipy import stats  # half a second, which no other task needs

    positive, negative = score[label], score[~label]
    m, n = len(positive), len(negative)
    if min(m, n) < 2:
        return None
    among_all = stats.rankdata(np.concatenate([positive, negative]))
    by_positive = (among_all[:m] - stats.rankdata(positive)) / n
    by_negative = 1 - (among_all[m:] - stats.rankdata(negative)) / m
    area = float(by_positive.mean())
    half = Z * math.sqrt(by_positive.var(ddof=1) / m + by_negative.var(ddof=1) / n)
    return max(0.0, area - half), min(1.0, area + half)
