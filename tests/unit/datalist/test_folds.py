"""Folds: by patient, seeded, alike in size."""

from __future__ import annotations

from collections import Counter

import pytest

from medimg.datalist.folds import assign_folds
from medimg.errors import UsageError

PATIENTS = [f"p{n // 3}" for n in range(30)] + ["q"] * 5


def test_a_patient_is_in_one_fold():
    folds = assign_folds(PATIENTS, 4, seed=0)
    assert all(len({fold for p, fold in zip(PATIENTS, folds, strict=True) if p == name}) == 1 for name in set(PATIENTS))


def test_folds_are_alike_in_size():
    sizes = Counter(assign_folds(PATIENTS, 4, seed=0))
    assert set(sizes) == {0, 1, 2, 3}
    assert max(sizes.values()) - min(sizes.values()) <= 3


def test_one_seed_draws_one_division_whatever_the_order():
    there = dict(zip(PATIENTS, assign_folds(PATIENTS, 4, seed=3), strict=True))
    back = dict(zip(PATIENTS[::-1], assign_folds(PATIENTS[::-1], 4, seed=3), strict=True))
    assert there == back
    assert there != dict(zip(PATIENTS, assign_folds(PATIENTS, 4, seed=4), strict=True))


@pytest.mark.parametrize("folds", [1, 12])
def test_an_empty_fold_is_refused(folds):
    with pytest.raises(UsageError, match="choose from 2"):
        assign_folds(PATIENTS, folds, seed=0)
