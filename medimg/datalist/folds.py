"""Folds for cross-validation: all cases of a patient in one fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from medimg.errors import UsageError


def assign_folds(patients: Sequence[str], folds: int, seed: int) -> list[int]:
    """The fold of each case, given the patient of each: drawn by `seed`, folds alike in size, independent of order.

    Raises UsageError when there are fewer patients than folds: one would be empty.
    """
    cases = Counter(patients)
    if folds < 2 or len(cases) < folds:
        raise UsageError(f"{folds} folds of {len(cases)} patients: choose from 2 to as many folds as patients")
    order = np.random.default_rng(seed).permutation(sorted(cases)).tolist()
    # patients with most cases first, each into the fold that holds least: sorted is stable, so the draw decides ties
    load = [0] * folds
    fold_of: dict[str, int] = {}
    for patient in sorted(order, key=lambda name: -cases[name]):
        fold_of[patient] = load.index(min(load))
        load[fold_of[patient]] += cases[patient]
    return [fold_of[patient] for patient in patients]
