"""`medimg pipelines`: the installed pipelines, for people and for programs."""

from __future__ import annotations

import json

from click.testing import CliRunner

from medimg import files
from medimg.cli import cli
from medimg.cli.pipelines import describe
from medimg.pipeline import find_pipelines, load_pipeline

PIPELINE = """
schema: medimg.pipeline/1
name: mine
version: 1.2.3
title: Mine
task: segmentation
licence: MIT
inputs: [{role: t1c, modality: MR}, {role: ct, modality: CT}]
stages: [infer: {}]
"""


def listed(*options):
    result = CliRunner().invoke(cli, ["pipelines", *options])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_both_shipped_pipelines_are_listed_with_their_weights_and_model_cards():
    entries = {entry["name"]: entry for entry in json.loads(listed("--json"))["pipelines"]}
    assert {"lung_nodule", "brain_tumour"} <= set(entries)
    for name in ("lung_nodule", "brain_tumour"):
        pipeline = load_pipeline(name)
        assert entries[name]["weights"]["sha256"] == files.sha256_of_file(pipeline.weights)
        assert entries[name]["model_card"] == str(pipeline.model_card)


def test_in_a_pipe_there_is_one_line_a_pipeline_with_tabs_between():
    header, *rows = listed().splitlines()
    assert header.split("\t")[:4] == ["name", "version", "task", "modality"]
    assert [row.split("\t")[0] for row in rows] == [pipeline.name for pipeline in find_pipelines()]
    assert {row.count("\t") for row in rows} == {header.count("\t")}


def test_a_pipeline_without_weights_or_card_says_so(tmp_path):
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    entry = describe(load_pipeline(str(tmp_path)))
    assert entry["weights"] is None
    assert entry["model_card"] is None
    assert entry["modality"] == ["CT", "MR"]
    assert entry["inputs"] == ["t1c", "ct"]
