"""Folds: by patient, seeded, alike in size."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from medimg.datalist.folds import assign_folds, parse_fold
from medimg.errors import UsageError

CASES = [f"c{n:02d}" for n in range(35)]
PATIENTS = [f"p{n // 3}" for n in range(30)] + ["q"] * 5


def test_a_patient_is_in_one_fold():
    folds = assign_folds(CASES, PATIENTS, 4, seed=0)
    assert all(len({fold for p, fold in zip(PATIENTS, folds, strict=True) if p == name}) == 1 for name in set(PATIENTS))


@pytest.mark.parametrize("blocks", [False, True])
def test_folds_are_alike_in_patients(blocks):
    fold_of = dict(zip(PATIENTS, assign_folds(CASES, PATIENTS, 4, seed=0, blocks=blocks), strict=True))
    assert sorted(Counter(fold_of.values()).items()) == [(0, 3), (1, 3), (2, 3), (3, 2)]


@pytest.mark.parametrize("blocks", [False, True])
def test_one_seed_draws_one_division_whatever_the_order(blocks):
    there = dict(zip(CASES, assign_folds(CASES, PATIENTS, 4, seed=3, blocks=blocks), strict=True))
    back = dict(zip(CASES[::-1], assign_folds(CASES[::-1], PATIENTS[::-1], 4, seed=3, blocks=blocks), strict=True))
    assert there == back
    assert there != dict(zip(CASES, assign_folds(CASES, PATIENTS, 4, seed=4, blocks=blocks), strict=True))


def test_the_divisions_that_the_model_cards_name_stay_what_they_are():
    names = [f"P{number:02d}" for number in range(10)]
    order = np.random.default_rng(20261125).permutation(names).tolist()
    dealt, blocks = (assign_folds(names, names, 3, 20261125, blocks=wanted) for wanted in (False, True))
    assert {n for n, fold in zip(names, dealt, strict=True) if fold == 1} == set(order[1::3])
    assert {n for n, fold in zip(names, blocks, strict=True) if fold == 1} == set(order[4:7])


@pytest.mark.parametrize("folds", [1, 12])
def test_an_empty_fold_is_refused(folds):
    with pytest.raises(UsageError, match="choose 2 to 11"):
        assign_folds(CASES, PATIENTS, folds, seed=0)


def test_a_fold_is_written_k_of_n():
    assert parse_fold("2/5") == (2, 5)
    for text in ("3/3", "0/1", "one", "1", "-1/3", "1/3 "):
        with pytest.raises(UsageError, match="write it k/n"):
            parse_fold(text)
