"""Folds for cross-validation: all cases of a patient in one fold. The one place where they are drawn."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from medimg.datalist.read import DatalistCase
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
    if len(first) < 2:
        raise UsageError(f"folds are made of whole patients, and here is {len(first)}; bring two or more")
    if not 2 <= folds <= len(first):
        raise UsageError(f"{folds} folds of {len(first)} patients; choose 2 to {len(first)}")
    # sorted by their first case: a patient's own name can be shorter than the cases' and sort otherwise
    drawn = [list(first)[index] for index in np.random.default_rng(seed).permutation(len(first))]
    if blocks:
        parts = [part.tolist() for part in np.array_split(np.array(drawn, dtype=object), folds)]
    else:
        parts = [drawn[number::folds] for number in range(folds)]
    fold_of = {patient: number for number, part in enumerate(parts) for patient in part}
    return [fold_of[patient] for patient in patients]


def own_folds(cases: Sequence[DatalistCase], count: int) -> list[int] | None:
    """The `fold` of every case of a datalist, 0 to `count` - 1; None when none has one.

    Raises UsageError when only some have one, they are not numbered so, or a patient is in two.
    """
    folds = [case.fold for case in cases if case.fold is not None]
    if not folds:
        return None
    if len(folds) < len(cases):
        without = next(case.id for case in cases if case.fold is None)
        raise UsageError(f'case {without} of the datalist has no "fold", others have; give every case one, or none')
    told = f"the datalist divides its cases into folds {', '.join(map(str, sorted(set(folds))))}"
    if len(set(folds)) != count:
        raise UsageError(f"{told}; the n of --fold k/n must be their number")
    if set(folds) != set(range(count)):
        raise UsageError(f"{told}; number them 0 to {count - 1}")
    of_patient: dict[str, int] = {}
    for case, fold in zip(cases, folds, strict=True):
        if of_patient.setdefault(case.patient, fold) != fold:
            raise UsageError(f"the datalist has patient {case.patient} in folds {of_patient[case.patient]} and {fold}")
    return folds
