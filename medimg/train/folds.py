"""Cross-validation by patient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medimg.errors import TrainingError


def patients_of_fold(patients: Sequence[str], fold: str, seed: int) -> set[str]:
    """The patients of fold "k/n" (k from 0), drawn by `seed`; every patient is in exactly one fold.

    Raises TrainingError for a fold that is written otherwise, or that leaves either side empty.
    """
    number, _, count = fold.partition("/")
    if not (number.isdigit() and count.isdigit() and int(number) < int(count)):
        raise TrainingError(f"fold {fold!r}: give it as k/n with k from 0 to n - 1, such as 0/5")
    folds = np.array_split(np.random.default_rng(seed).permutation(list(patients)), int(count))
    chosen = {str(patient) for patient in folds[int(number)]}
    if not chosen or len(chosen) == len(patients):
        raise TrainingError(
            f"fold {fold}: {len(patients)} patients leave training or validation empty; use other folds"
        )
    return chosen
