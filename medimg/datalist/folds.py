"""Folds for cross-validation: all cases of a patient in one fold. The one place where they are drawn."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from medimg.errors import UsageError

FORM = re.compile(r"(\d+)/(\d+)")


def parse_fold(text: str) -> tuple[int, int]:
    """ "k/n" as (k, n), k from 0 to n - 1 and n at least 2. Raises UsageError."""
    match = FORM.fullmatch(text)
    number, count = (int(part) for part in match.groups()) if match else (0, 0)
    if not number < count or count < 2:
        raise UsageError(f"fold {text!r}: write it k/n with k from 0 to n - 1, such as 0/5")
    return number, count


def assign_folds(
    cases: Sequence[str], patients: Sequence[str], folds: int, seed: int, *, blocks: bool = False
) -> list[int]:
    """The fold (from 0) of each case, given its name and its patient: patients in the order that `seed` draws.

    They are dealt out one by one, so that folds are alike in patients and no fold depends on the order of the cases;
    with `blocks` each fold is a run of neighbours in that order: how the folds of the lung pipelines' crops are drawn.
    Raises UsageError when there are fewer patients than folds: one would be empty.
    """
    first: dict[str, str] = {}
    for case, patient in sorted(zip(cases, patients, strict=True)):
        first.setdefault(patient, case)
    if folds < 2 or len(first) < folds:
        raise UsageError(f"{folds} folds of {len(first)} patients: choose from 2 to as many folds as patients")
    # sorted by their first case: a patient's own name can be shorter than the cases' and sort otherwise
    drawn = [list(first)[index] for index in np.random.default_rng(seed).permutation(len(first))]
    if blocks:
        parts = [part.tolist() for part in np.array_split(np.array(drawn, dtype=object), folds)]
    else:
        parts = [drawn[number::folds] for number in range(folds)]
    fold_of = {patient: number for number, part in enumerate(parts) for patient in part}
    return [fold_of[patient] for patient in patients]
