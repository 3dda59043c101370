"""Runs of several folds: each case goes to the one that has not seen it, and what cannot be meant is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medimg.datalist.read import DatalistCase
from medimg.errors import UsageError
from medimg.pipeline import Pipeline
from medimg.stages.unseen import shares

NAMES = "abcd"


@pytest.fixture
def run(tmp_path):
    """A pipeline whose record says that it kept `validation` of NAMES."""

    def made(fold, validation, record=True):
        folder = tmp_path / f"run-{fold.replace('/', '-')}-{validation}"
        (folder / "bundle" / "docs").mkdir(parents=True)
        if record:
            cases = {"training": [name for name in NAMES if name not in validation], "validation": list(validation)}
            document = {"task": {"fold": fold}, "cases": cases}
            (folder / "bundle" / "docs" / "training.json").write_text(json.dumps(document), encoding="utf-8")
        return Pipeline("p", "1", "", "detection", "", (), (), folder, folder / "bundle")

    return made


def cases(names=NAMES, folds=None):
    paths = [(Path(f"{name}.nii.gz"),) for name in names]
    return [
        DatalistCase(name, path, (None,), fold=None if folds is None else folds[number], patient=name)
        for number, (name, path) in enumerate(zip(names, paths, strict=True))
    ]


def named(given):
    return [[case.id for case in mine] for _, mine in given]


def test_each_case_goes_to_the_run_that_has_not_seen_it(run):
    given, notes = shares(cases(), [run("0/2", "ac"), run("1/2", "bd")])
    assert named(given) == [["a", "c"], ["b", "d"]]
    assert notes == ()


def test_a_case_that_every_run_has_seen_is_left_out_and_said(run):
    given, notes = shares(cases(), [run("0/2", "a"), run("1/2", "bd")])
    assert named(given) == [["a"], ["b", "d"]]
    assert "1 cases that no run kept for validation were left out (c" in notes[0]


def test_a_run_can_be_asked_for_its_own_fold_alone(run):
    assert named(shares(cases(), [run("1/2", "bd")], "1/2")[0]) == [["b", "d"]]
    with pytest.raises(UsageError, match="was trained for fold 1/3, not 0/2"):
        shares(cases(), [run("1/3", "bd")], "0/2")


def test_a_datalists_own_folds_count_and_cases_that_were_trained_on_are_told(run):
    own = cases(folds=[0, 1, 0, 1])
    given, notes = shares(own, [run("0/2", "ab")], "1/2")
    assert named(given) == [["b", "d"]]
    assert "trained on 1 of the cases (d" in notes[0]
    with pytest.raises(UsageError, match="divides its cases into folds 0, 1; the n of --fold"):
        shares(own, [run("0/3", "a")], "2/3")


def test_one_pipeline_without_a_record_predicts_everything(run):
    given, notes = shares(cases(), [run("0/2", "a", record=False)])
    assert named(given) == [list(NAMES)]
    assert notes == ("p does not say what it was trained on: if these cases are among it, the figures flatter",)


def test_what_members_of_an_ensemble_and_first_weights_have_seen_has_been_seen(run):
    def record(pipeline, document):
        (pipeline.bundle / "docs" / "training.json").write_text(json.dumps(document), encoding="utf-8")
        return pipeline

    one = {"fold": "0/2", "cases": {"training": ["a"], "validation": ["b"]}}
    two = {"fold": "1/2", "cases": {"training": ["b"], "validation": ["a"], "background": ["c"]}}
    (given,), notes = shares(cases(), [record(run("0/2", "x"), {"members": [one, two]})])
    assert len(given[1]) == 4
    assert notes == ("the weights were trained on 3 of the cases (a, ...)",)
    started = {"fold": "0/2", "cases": {"training": ["d"], "validation": ["a", "b"]}, "start": one}
    given, notes = shares(cases(), [record(run("0/2", "y"), started), run("1/2", "c")])
    assert named(given) == [["b"], ["c"]]  # a was trained on before this run


def test_a_patient_that_was_trained_on_under_another_name_of_its_scan_is_told(run):
    scan = DatalistCase("1.2.3", (Path("scan"),), (None,), patient="b")
    assert "trained on 1 of the cases (1.2.3" in shares([scan], [run("0/2", "a")])[1][0]


def test_a_datalists_folds_must_be_numbered_from_0(run):
    with pytest.raises(UsageError, match="into folds 0, 2; number them 0 to 1"):
        shares(cases(folds=[0, 2, 0, 2]), [run("0/2", "ab")], "0/2")


def test_runs_that_overlap_or_say_nothing_are_refused(run):
    with pytest.raises(UsageError, match="case a was left out by two of the runs"):
        shares(cases(), [run("0/2", "ab"), run("1/2", "ac")])
    with pytest.raises(UsageError, match="does not say which cases were trained on"):
        shares(cases(), [run("0/3", "a"), run("1/3", "b", record=False)])
    with pytest.raises(UsageError, match="kept none of the datalist's cases"):
        shares(cases("xyz"), [run("0/4", "a"), run("1/4", "b")])
