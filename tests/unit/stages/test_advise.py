"""Advice in the report of a scan: what is known of the patient comes from a file and from DICOM headers."""

from __future__ import annotations

import json

import numpy as np
import pydicom
import pytest
import toy
import yaml
from click.testing import CliRunner

from medimg.cli import cli
from medimg.phantoms.dicom import write_ct_series
from medimg.report import read_report
from medimg.volumes import read_volume

AFFINE = np.diag([-1.0, -1.0, 1.25, 1.0])
CENTER_RAS = (-24.0, -24.0, 25.0)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A detector whose findings are lung nodules by its own words."""
    folder = toy.detector(tmp_path_factory.mktemp("toy"))
    document = yaml.safe_load((folder / "pipeline.yaml").read_text())
    document["stages"][1] = {"measure": {"advice": "lung_nodules"}}
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """A DICOM series of a woman of 66 with a nodule."""
    folder = tmp_path_factory.mktemp("series")
    toy.chest_crop(folder / "scan.nii.gz", AFFINE, CENTER_RAS)
    volume = read_volume(folder / "scan.nii.gz")
    for path in write_ct_series(np.asarray(volume.array, np.int16), AFFINE, folder / "dicom"):
        dataset = pydicom.dcmread(path)
        dataset.PatientAge, dataset.PatientSex = "066Y", "F"
        dataset.save_as(path)
    return folder / "dicom"


def infer(scan, pipeline, output, *more):
    arguments = ["infer", "--volume", scan, "--pipeline", pipeline, "-o", output, *more]
    return CliRunner().invoke(cli, list(map(str, arguments)), prog_name="medimg")


def brock(report):
    return next(entry for entry in report.advice if entry["rule"] == "Brock (PanCan)")


def test_age_and_sex_come_from_the_headers_and_the_rest_is_named_as_missing(series, pipeline, tmp_path):
    result = infer(series, pipeline, tmp_path)
    assert result.exit_code == 0, result.stderr
    found = brock(read_report(tmp_path))
    assert found["inputs"]["age_years"]["value"] == 66.0
    assert found["inputs"]["age_years"]["from"] == "DICOM Patient's Age"
    assert found["inputs"]["female"]["value"] is True
    assert {"family_history", "emphysema"} <= set(found["missing"])
    assert "advice: Lung-RADS v2022 category" in result.stdout


def test_a_file_beats_the_headers_and_a_contradiction_is_a_warning(series, pipeline, tmp_path):
    context = tmp_path / "context.json"
    context.write_text(
        json.dumps({"schema": "medimg.patient/1", "age_years": 50, "emphysema": True, "prior_ct": False})
    )
    result = infer(series, pipeline, tmp_path / "out", "--patient", context)
    assert result.exit_code == 0, result.stderr
    report = read_report(tmp_path / "out")
    assert brock(report)["inputs"]["age_years"]["value"] == 50
    assert brock(report)["inputs"]["female"]["from"] == "DICOM Patient's Sex"
    assert "age_years is 50 by the patient file, but 66.0 by the DICOM Patient's Age" in " ".join(report.warnings)


@pytest.mark.parametrize(
    ("document", "words"),
    [('{"schema": "medimg.patient/1", "age_years": 200}', "age_years is a number from 0 to 120"),
     ('{"schema": "medimg.patient/1", "age_years": NaN}', "age_years is a number from 0 to 120, not nan"),
     ('{"schema": "medimg.patient/1", "age_years": true}', "age_years is a number from 0 to 120, not True"),
     ("no json", "as JSON"),
     ('{"schema": "medimg.patient/1", "sex": "x"}', "sex is one of female, male")],
)  # fmt: skip
def test_a_context_that_cannot_be_ends_the_run_before_anything_is_begun(
    series, pipeline, tmp_path, monkeypatch, document, words
):
    # importing the network, which a command waits for before it ends, costs more than everything else here
    monkeypatch.setattr("medimg.stages.ahead.import_ahead", lambda _: pytest.fail("the network is imported"))
    (tmp_path / "context.json").write_text(document)
    result = infer(series, pipeline, tmp_path / "out", "--patient", tmp_path / "context.json")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert words in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_context_that_the_headers_contradict_beyond_belief_ends_the_run_before_the_network(
    series, pipeline, tmp_path, monkeypatch
):
    monkeypatch.setattr("medimg.stages.chain.infer", lambda *_: pytest.fail("the network was run"))
    (tmp_path / "context.json").write_text('{"schema": "medimg.patient/1", "smoking": "former", "quit_years": 70}')
    result = infer(series, pipeline, tmp_path / "out", "--patient", tmp_path / "context.json")
    assert result.exit_code == 2
    assert "quit_years is more than age_years" in result.stderr


def test_measuring_again_takes_another_context(series, pipeline, tmp_path):
    assert infer(series, pipeline, tmp_path / "out").exit_code == 0
    (tmp_path / "context.json").write_text('{"schema": "medimg.patient/1", "emphysema": false}')
    arguments = ["measure", tmp_path / "out", "--pipeline", pipeline, "--patient", tmp_path / "context.json"]
    result = CliRunner().invoke(cli, list(map(str, [*arguments, "-o", tmp_path / "again"])), prog_name="medimg")
    assert result.exit_code == 0, result.stderr
    assert brock(read_report(tmp_path / "again"))["inputs"]["emphysema"]["value"] is False


def test_a_pipeline_that_gives_no_advice_says_that_the_file_did_nothing(series, tmp_path):
    (tmp_path / "context.json").write_text('{"schema": "medimg.patient/1"}')
    plain = toy.detector(tmp_path / "toy")
    assert infer(series, plain, tmp_path / "out", "--patient", tmp_path / "context.json").exit_code == 0
    report = read_report(tmp_path / "out")
    assert report.advice == []
    assert "gives no advice; --patient did nothing" in " ".join(report.warnings)
