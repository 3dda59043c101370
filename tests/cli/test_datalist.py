"""`medimg datalist`: a folder becomes a datalist, and what was left out is said."""

from __future__ import annotations

import json

from click.testing import CliRunner

from medimg.cli import cli

PARTS = ("t1n", "t1c", "t2w", "t2f", "seg")


def run(*arguments):
    return CliRunner().invoke(cli, ["datalist", *map(str, arguments)], prog_name="medimg")


def cases(folder, count, parts=PARTS):
    for number in range(count):
        for part in parts:
            path = folder / f"BraTS-GLI-{number:05}-000" / f"x-{part}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def test_a_folder_becomes_a_datalist_with_folds(tmp_path):
    cases(tmp_path / "data", 6)
    result = run(tmp_path / "data", "-o", tmp_path / "lists" / "brats.json", "--folds", 3, "--seed", 1)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("BraTS: 6 cases of 6 patients, 0 for testing, 3 folds")
    document = json.loads((tmp_path / "lists" / "brats.json").read_text(encoding="utf-8"))
    assert sorted(entry["fold"] for entry in document["training"]) == [0, 0, 1, 1, 2, 2]
    assert document["training"][0]["label"] == "../data/BraTS-GLI-00000-000/x-seg.nii.gz"
    assert document["seed"] == 1


def test_what_is_left_out_makes_exit_code_3(tmp_path):
    cases(tmp_path / "data", 2)
    (tmp_path / "data" / "BraTS-GLI-00001-000" / "x-t2f.nii.gz").unlink()
    result = run(tmp_path / "data", "-o", tmp_path / "brats.json")
    assert result.exit_code == 3
    assert "left out" in result.stderr
    assert "no t2f" in result.stderr


def test_a_command_line_that_cannot_mean_anything(tmp_path):
    cases(tmp_path / "data", 2)
    for arguments, words in (
        (("-o", tmp_path / "brats.txt"), "must end in .json"),
        (("-o", tmp_path / "b.json", "--folds", 3), "3 folds of 2 patients"),
        (("-o", tmp_path / "b.json", "--layout", "lidc"), "is not laid out as lidc"),
    ):
        result = run(tmp_path / "data", *arguments)
        assert result.exit_code == 2
        assert words in result.stderr
    assert list(tmp_path.glob("b*")) == []
