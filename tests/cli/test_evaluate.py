"""`medimg evaluate`: what is printed, what is written, and how it ends."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
import toy
from click.testing import CliRunner

from medimg import volumes
from medimg.cli import cli

AFFINE = np.array([[-1.0, 0, 0, 20], [0, 1.0, 0, -20], [0, 0, 1.25, 5], [0, 0, 0, 1]])
CENTRES = [(0.0, 0.0, 25.0), (4.0, -3.0, 28.0)]


@pytest.fixture
def evaluate(tmp_path):
    def run(*options, output=None):
        arguments = ["evaluate", *map(str, options), "-o", str(output or tmp_path / "scores")]
        return CliRunner().invoke(cli, arguments, prog_name="medimg")

    return run


@pytest.fixture
def tables(tmp_path):
    """Truth and two predictions of a classification; the second is noise."""
    rng = np.random.default_rng(0)
    label = rng.random(80) < 0.5
    columns = {
        "truth": label.astype(int),
        "good": np.clip(0.5 + 0.3 * (label - 0.5) + rng.normal(0, 0.1, 80), 0, 1),
        "noise": rng.random(80),
    }
    for name, values in columns.items():
        field = "label" if name == "truth" else "probability"
        rows = "".join(f"{n},{value}\n" for n, value in enumerate(values))
        (tmp_path / f"{name}.csv").write_text(f"id,{field}\n{rows}")
    return {name: tmp_path / f"{name}.csv" for name in columns}


def document(folder):
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def one_line(result) -> str:
    (line,) = result.stderr.splitlines()
    return line


def test_figures_are_printed_and_written(tmp_path, evaluate, tables):
    result = evaluate("--task", "classification", "--truth", tables["truth"], "--predictions", tables["good"])
    assert result.exit_code == 0, result.output
    written = document(tmp_path / "scores")
    assert written["schema"] == "medimg.metrics/1"
    assert written["notice"].startswith("For research use only")
    assert written["truth"]["path"] == "../truth.csv"
    printed = dict(re.findall(r"^(\w+)\t([\d.]+)\t", result.stdout, flags=re.MULTILINE))
    assert {name: float(value) for name, value in printed.items()} == {
        name: metric["value"] for name, metric in written["metrics"].items()
    }
    there = {path.name for path in (tmp_path / "scores").iterdir()}
    assert there == {*written["tables"], *written["pictures"], "metrics.json", "metrics.html"}
    assert result.stdout.splitlines()[-1] == str(tmp_path / "scores" / "metrics.json")


def test_the_page_is_one_file_that_says_what_it_is_not(tmp_path, evaluate, tables):
    evaluate("--task", "classification", "--truth", tables["truth"], "--predictions", tables["good"])
    page = (tmp_path / "scores" / "metrics.html").read_text(encoding="utf-8")
    assert "not a medical device" in page.lower()
    assert page.count("data:image/png;base64,") == 3
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert "<script" not in page


def test_one_seed_gives_one_result(tmp_path, evaluate, tables):
    arguments = ("--task", "classification", "--truth", tables["truth"], "--predictions", tables["good"])
    for folder in ("a", "b"):
        evaluate(*arguments, output=tmp_path / folder)
    assert (tmp_path / "a" / "metrics.json").read_bytes() == (tmp_path / "b" / "metrics.json").read_bytes()
    evaluate(*arguments, "--seed", 1, output=tmp_path / "b")
    assert document(tmp_path / "a")["metrics"]["ece"] != document(tmp_path / "b")["metrics"]["ece"]


def test_two_runs_are_compared(tmp_path, evaluate, tables):
    common = ("--task", "classification", "--truth", tables["truth"], "--predictions", tables["good"])
    result = evaluate(*common, "--compare", tables["noise"])
    assert result.exit_code == 0, result.output
    found = document(tmp_path / "scores")["comparison"]
    assert (found["cases"], found["other"]["path"]) == (80, "../noise.csv")
    area = found["metrics"]["roc_auc"]
    assert area["difference"] == pytest.approx(area["value"] - area["other"], abs=2e-6)
    assert 0 < area["ci95"][0] < area["difference"] < area["ci95"][1]
    rows = list(csv.DictReader((tmp_path / "scores" / "comparison.csv").read_text(encoding="utf-8").splitlines()))
    assert next(row for row in rows if row["figure"] == "roc_auc")["this_is"] == "better"
    assert "comparison" in (tmp_path / "scores" / "metrics.html").read_text(encoding="utf-8")


def test_cases_that_one_of_two_runs_lacks_are_left_out_and_said(tmp_path, evaluate, tables):
    lines = tables["noise"].read_text().splitlines()
    tables["noise"].write_text("\n".join(lines[:-5]) + "\n")
    common = ("--task", "classification", "--truth", tables["truth"], "--predictions", tables["good"])
    result = evaluate(*common, "--compare", tables["noise"])
    assert "warning: compared on the 75 cases that both hold; 5 left out, which one of them lacks" in result.stderr
    assert document(tmp_path / "scores")["comparison"]["cases"] == 75


def test_cases_that_fail_make_exit_code_3_and_are_named(tmp_path, evaluate):
    mask = np.zeros((8, 8, 8), np.uint8)
    mask[2:5, 2:5, 2:5] = 1
    for name in ("t/a", "t/b", "p/a"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        volumes.write_nifti(tmp_path / f"{name}.nii.gz", mask, np.eye(4))
    common = ("--task", "segmentation", "--truth", tmp_path / "t", "--predictions", tmp_path / "p")
    result = evaluate(*common, "--regions", "nodule=1")
    assert result.exit_code == 3
    assert "not scored: b: case b has no prediction" in result.stderr
    written = document(tmp_path / "scores")
    assert written["failed"] == [{"case": "b", "reason": "missing_prediction", "message": "case b has no prediction"}]
    assert written["metrics"]["dice_nodule"]["value"] == 1.0
    assert written["metrics"]["dice_nodule"]["ci95"] is None


@pytest.fixture
def chest(tmp_path):
    """A toy detector and a datalist: two scans with a nodule each, in folds 0 and 1, and one that is missing."""
    toy.detector(tmp_path / "pipeline", roi="whole")
    entries = []
    for number, centre in enumerate(CENTRES):
        toy.chest_crop(tmp_path / f"{number}.nii.gz", AFFINE, centre)
        lps = [-centre[0], -centre[1], centre[2]]
        entries.append({"image": f"{number}.nii.gz", "box": [[*lps, 10, 10, 10]], "label": [0], "fold": number})
    entries.append({"image": "gone.nii.gz", "box": [], "label": [], "fold": 1})
    (tmp_path / "datalist.json").write_text(json.dumps({"training": entries}))
    return "--pipeline", tmp_path / "pipeline", "--data", tmp_path / "datalist.json"


def test_a_pipeline_predicts_and_is_scored_in_one_go(tmp_path, evaluate, chest):
    result = evaluate(*chest)
    assert result.exit_code == 3, result.output
    written = document(tmp_path / "scores")
    assert written["pipeline"]["name"] == "toy_detector"
    assert (written["counts"]["scans"], written["counts"]["true_positives"]) == (2, 2)
    assert [failure["case"] for failure in written["failed"]] == ["gone"]
    assert "gone.nii.gz, which the datalist names, is missing" in written["failed"][0]["message"]
    assert (tmp_path / "scores" / "predictions" / "0" / "report.json").is_file()
    assert any("the curves end there" in warning for warning in written["warnings"])


def test_a_fold_is_predicted_alone(tmp_path, evaluate, chest):
    assert evaluate(*chest, "--fold", 0).exit_code == 0
    assert document(tmp_path / "scores")["counts"]["scans"] == 1
    assert document(tmp_path / "scores")["fold"] == 0
    empty = evaluate(*chest, "--fold", 7)
    assert empty.exit_code == 2
    assert "fold 7 is empty; the folds of its cases are 0, 1" in one_line(empty)


def test_runs_of_several_folds_are_pooled_into_one_table(tmp_path, evaluate, chest):
    arguments = []
    for number in range(2):
        run = toy.detector(tmp_path / f"run{number}", roi="whole")
        cases = {"training": [str(1 - number)], "validation": [str(number)]}
        record = {"task": {"fold": f"{number}/2"}, "cases": cases}
        (run / "bundle" / "docs").mkdir(exist_ok=True)
        (run / "bundle" / "docs" / "training.json").write_text(json.dumps(record))
        arguments += ["--pipeline", run]
    result = evaluate(*arguments, *chest[2:])
    assert result.exit_code == 0, result.output
    written = document(tmp_path / "scores")
    assert (written["counts"]["scans"], written["counts"]["true_positives"]) == (2, 2)
    assert [identity["name"] for identity in written["pipelines"]] == ["toy_detector"] * 2
    assert any("1 cases that no run kept for validation were left out (gone" in line for line in written["warnings"])
    alone = evaluate(*arguments[:2], *chest[2:], "--fold", "1/2")
    assert alone.exit_code == 3, alone.output
    assert "the weights were trained on 1 of the cases (1, ...)" in alone.stderr


def test_a_detector_is_scored_as_a_classifier_of_scans(tmp_path, evaluate, chest):
    evaluate(*chest, "--task", "classification", "--fold", 0)
    counts = document(tmp_path / "scores")["counts"]
    assert (counts["cases"], counts["positive"], counts["true_positive"]) == (1, 1, 1)


def test_when_no_case_can_be_predicted_the_first_reason_is_said(tmp_path, evaluate):
    toy.detector(tmp_path / "pipeline")
    (tmp_path / "d.json").write_text(json.dumps({"training": [{"image": "gone.nii", "box": []}]}))
    result = evaluate("--pipeline", tmp_path / "pipeline", "--data", tmp_path / "d.json")
    assert result.exit_code == 1
    assert "none of 1 cases could be predicted; the first:" in one_line(result)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "give --task, --truth and --predictions, or --pipeline and --data"),
        (["--truth", "truth", "--predictions", "good"], "give --task, --truth and --predictions"),
        (["--pipeline", "lung_nodule"], "--pipeline and --data belong together"),
        (["--pipeline", "lung_nodule", "--data", "truth"], "is no datalist.json"),
        (["--task", "detection", "--truth", "truth", "--predictions", "none.csv"], "does not exist"),
        (["--task", "classification", "--truth", "truth", "--predictions", "good", "--fold", "0"], "needs a datalist"),
        (["--task", "segmentation", "--truth", "truth", "--predictions", "good", "--regions", "x"], "--regions 'x'"),
    ],
)
def test_a_command_line_that_cannot_mean_anything(evaluate, tables, options, words):
    result = evaluate(*(tables.get(option, option) for option in options))
    assert result.exit_code == 2
    assert words in one_line(result)


def test_a_table_that_cannot_be_read_leaves_what_was_there(tmp_path, evaluate, tables):
    common = ("--task", "classification", "--truth", tables["truth"], "--predictions")
    evaluate(*common, tables["good"])
    before = document(tmp_path / "scores")
    tables["good"].write_text("id,probability\n0,nan\n")
    result = evaluate(*common, tables["good"])
    assert result.exit_code == 1
    assert "line 2: probability is 'nan', not a finite number" in one_line(result)
    assert document(tmp_path / "scores") == before


def test_an_output_that_is_a_file_is_said_before_anything_is_scored(evaluate, tables):
    common = ("--task", "classification", "--truth", tables["truth"], "--predictions", tables["good"])
    result = evaluate(*common, output=tables["noise"])
    assert result.exit_code == 1
    assert "is a file; name a folder with -o" in one_line(result)
