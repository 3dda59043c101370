"""How far two masks share voxels. Two empty masks agree wholly, one empty mask not at all: the rule of BraTS.

Shares of nothing are not defined: the sensitivity without a truth, the precision without a prediction (0 / 0; nnU-Net's
evaluation and MONAI's confusion matrix give NaN as well).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def dice(truth: Mask, prediction: Mask) -> float:
    """2 |A and B| / (|A| + |B|) (Dice, Ecology 1945;26:297-302); 1 when both are empty."""
    return _share(2 * _shared(truth, prediction), _count(truth) + _count(prediction), 1.0)


def iou(truth: Mask, prediction: Mask) -> float:
    """|A and B| / |A or B| (Jaccard); 1 when both are empty."""
    shared = _shared(truth, prediction)
    return _share(shared, _count(truth) + _count(prediction) - shared, 1.0)


def sensitivity(truth: Mask, prediction: Mask) -> float:
    """The part of the truth that the prediction covers; NaN when the truth is empty."""
    return _share(_shared(truth, prediction), _count(truth), math.nan)


def precision(truth: Mask, prediction: Mask) -> float:
    """The part of the prediction that is true; NaN when the prediction is empty."""
    return _share(_shared(truth, prediction), _count(prediction), math.nan)


def _shared(a: Mask, b: Mask) -> int:
    return _count(a & b)


def _count(mask: Mask) -> int:
    return int(np.count_nonzero(mask))


def _share(part: int, whole: int, of_nothing: float) -> float:
    return part / whole if whole else of_nothing
