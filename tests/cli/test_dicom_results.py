"""medimg run writes DICOM for a DICOM scan; what cannot be written is one line and exit code 3."""

from __future__ import annotations

import json

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner

from medimg import volumes
from medimg.cli import cli
from medimg.phantoms.dicom import write_ct_series

PIPELINE = "lung_nodule_classical"
"""Needs no network: the phantom holds nothing, and the report says so."""


@pytest.fixture(scope="module")
def chest(tmp_path_factory):
    """A CT of air and soft tissue as a series, its files in slice order."""
    array = np.full((32, 32, 12), -1000, np.int16)
    array[4:28, 6:26] = 40
    array[8:24, 10:22, 2:10] = -850
    array[14:18, 14:18, 5:7] = 30
    folder = tmp_path_factory.mktemp("chest")
    return write_ct_series(array, np.diag([-8.0, -8.0, 8.0, 1.0]), folder / "dicom"), array


def run(*arguments: object):
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def test_a_dicom_scan_gives_a_structured_report_in_its_study(chest, tmp_path):
    files, _ = chest
    result = run("run", PIPELINE, files[0].parent, "-o", tmp_path / "out", "--dicom", "seg,sr,epdf")
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    for entry in document["dicom"]["objects"]:
        dataset = pydicom.dcmread(tmp_path / "out" / entry["path"])
        assert dataset.StudyInstanceUID == pydicom.dcmread(files[0]).StudyInstanceUID
        assert dataset.SOPInstanceUID == entry["sop_instance_uid"]
    assert {"sr", "epdf"} <= {entry["kind"] for entry in document["dicom"]["objects"]}
    again = run(
        "report", tmp_path / "out", "--format", "nifti", "--format", "seg", "--format", "sr", "-o", tmp_path / "again"
    )
    assert again.exit_code == 0, again.output
    first, second = ((tmp_path / name / "report.dcm").read_bytes() for name in ("out", "again"))
    assert first == second


def test_a_nifti_scan_goes_out_as_dicom_beside_its_reference(chest, tmp_path):
    files, array = chest
    volumes.write_nifti(tmp_path / "ct.nii.gz", array, np.diag([-8.0, -8.0, 8.0, 1.0]), "test")
    out = tmp_path / "out"
    result = run("run", PIPELINE, tmp_path / "ct.nii.gz", "--reference", files[0].parent, "-o", out)
    assert result.exit_code == 0, result.output
    assert (out / "report.dcm").is_file()
    assert pydicom.dcmread(out / "report.dcm").StudyInstanceUID == pydicom.dcmread(files[0]).StudyInstanceUID
    plain = run("run", PIPELINE, tmp_path / "ct.nii.gz", "-o", tmp_path / "plain")
    assert plain.exit_code == 0
    assert list((tmp_path / "plain").glob("*.dcm")) == []


def test_images_nothing_can_refer_to_cost_the_dicom_results_alone(chest, tmp_path):
    files, _ = chest
    for path in files:
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID = "2.25.1"
        dataset.save_as(tmp_path / path.name)
    result = run("run", PIPELINE, tmp_path, "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert "no DICOM results: 12 images have one SOP Instance UID" in result.output
    assert (tmp_path / "out" / "report.json").is_file()
    assert list((tmp_path / "out").glob("*.dcm")) == []


def test_an_unknown_kind_is_a_usage_error(chest, tmp_path):
    files, _ = chest
    result = run("run", PIPELINE, files[0].parent, "-o", tmp_path / "out", "--dicom", "seg,gsps")
    assert result.exit_code == 2
    assert "gsps is none of" in result.output
