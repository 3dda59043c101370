"""What a task is given: a datalist's cases and its own division, or folds drawn by patient."""

from __future__ import annotations

import json

import pytest

from medimg.errors import TrainingError, UsageError
from medimg.train.cases import check_fold, divide, read_cases

NAMES = [f"BraTS-GLI-{number:05d}-{scan}" for number in range(9) for scan in ("000", "001")]


@pytest.fixture
def datalist(tmp_path):
    """Write training cases named `names`, each with its own file and the keys of `more`, and read them."""

    def write(names=NAMES, more=None, **sections):
        entries = [entry(tmp_path, name, (more or {}).get(name, {})) for name in names]
        rest = {section: [entry(tmp_path, name, {}) for name in given] for section, given in sections.items()}
        path = tmp_path / "datalist.json"
        path.write_text(json.dumps({"training": entries, **rest}), encoding="utf-8")
        return path

    return write


def entry(folder, name, more):
    (folder / f"{name}.nii.gz").touch()
    patient = name.rpartition("-")[0] if name.startswith("BraTS") else name
    return {"id": name, "patient": patient, "image": f"{name}.nii.gz", **more}


def folds_of(cases, count, seed=1):
    return [[case.id for case in divide(cases, f"{number}/{count}", seed)[1]] for number in range(count)]


def test_folds_take_every_case_once_and_never_split_a_patient(datalist):
    folds = folds_of(read_cases(datalist()), 3)
    assert sorted(name for fold in folds for name in fold) == sorted(NAMES)
    for fold in folds:
        assert {name[:-3] + end for name in fold for end in ("000", "001")} == set(fold)
    assert folds_of(read_cases(datalist()), 3, seed=2) != folds


def test_the_division_does_not_depend_on_the_order_of_the_datalist(datalist):
    there = folds_of(read_cases(datalist()), 3)
    back = folds_of(read_cases(datalist(NAMES[::-1])), 3)
    assert [set(fold) for fold in there] == [set(fold) for fold in back]


def test_a_datalists_own_folds_count(datalist):
    own = {name: {"fold": number % 3} for number, name in enumerate("abcde")}
    cases = read_cases(datalist("abcde", own))
    assert folds_of(cases, 3) == [["a", "d"], ["b", "e"], ["c"]]
    with pytest.raises(UsageError, match="folds 0, 1, 2; the n of --fold"):
        divide(cases, "0/5", 1)


def test_a_section_for_validation_is_the_division_and_cases_for_testing_are_not_read(datalist):
    kept, scored = divide(read_cases(datalist("abc", validation="d", testing="e")), "0/3", 1)
    assert ([case.id for case in kept], [case.id for case in scored]) == (["a", "b", "c"], ["d"])


def test_a_fold_asked_for_where_the_datalist_is_divided_already_is_told(datalist):
    check_fold(datalist("abc"), "0/3")
    with pytest.raises(UsageError, match="has a section validation"):
        check_fold(datalist("abc", validation="d"), "0/3")


def test_held_out_cases_are_in_no_fold(datalist):
    cases = read_cases(datalist("abcd"), holdout=["b"])
    assert sorted(name for fold in folds_of(cases, 3) for name in fold) == ["a", "c", "d"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"a": {"fold": 0}}, 'case b of the datalist has no "fold"'),
        ({"a": {"fold": 0, "patient": "p"}, "b": {"fold": 1, "patient": "p"}}, "patient p in folds 0 and 1"),
    ],
)
def test_folds_that_cannot_be_meant_are_told(datalist, more, message):
    with pytest.raises(UsageError, match=message):
        divide(read_cases(datalist("ab", more)), "0/2", 1)


def test_an_empty_side_is_told(datalist):
    with pytest.raises(UsageError, match="into folds 0, 2; number them 0 to 1"):
        divide(read_cases(datalist("ab", {"a": {"fold": 0}, "b": {"fold": 2}})), "1/2", 1)
    with pytest.raises(TrainingError, match="validation leaves no case to train on"):
        divide(read_cases(datalist("", validation="d")), "0/2", 1)
    with pytest.raises(UsageError, match="5 folds of 2 patients; choose 2 to 2"):
        divide(read_cases(datalist("ab")), "0/5", 1)
    with pytest.raises(UsageError, match="whole patients, and here is 1; bring two or more"):
        divide(read_cases(datalist("a")), "0/2", 1)


def test_a_missing_file_is_named_with_how_many_more_there_are(datalist, tmp_path):
    path = datalist("abc")
    for name in "bc":
        (tmp_path / f"{name}.nii.gz").unlink()
    with pytest.raises(TrainingError, match=r"b\.nii\.gz, which .*datalist\.json names, is missing \(2 files"):
        read_cases(path)


def test_a_list_of_nothing_but_held_out_cases_is_told(datalist):
    with pytest.raises(TrainingError, match="holds no case to train on"):
        read_cases(datalist("a"), holdout=["a"])
