from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medimg import files
from medimg.errors import OutputError, UsageError
from medimg.report import FORMATS, read_report, write_report, writers


def test_a_folder_holds_every_format_and_the_report_last(detection, chest, tmp_path):
    written = write_report(detection, {"ct": chest}, tmp_path / "out")
    assert [path.name for path in written] == [
        "findings.csv",
        "segmentation.nii.gz",
        "segmentation.json",
        "preview.png",
        "report.pdf",
        "report.html",
        "report.json",
    ]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in written}


def test_the_json_follows_the_contract(detection, chest, tmp_path):
    write_report(detection, {"ct": chest}, tmp_path, ["json", "nifti"])
    document = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert document["schema"] == "medimg.report/1"
    assert document["frame"] == "LPS"
    assert document["pipeline"] == detection.pipeline
    assert document["segmentation"] == {"path": "segmentation.nii.gz", "labels": {"1": "nodule nodule-1"}}
    assert document["warnings"] == ["slices are thick"]
    first = document["findings"][0]
    assert first["center_lps_mm"] == [20.0, 30.0, 30.0]
    assert first["probability"] == 0.9312
    assert document["findings"][1]["volume_mm3"] is None


def test_paths_are_relative_to_the_folder_wherever_they_are(detection, tmp_path):
    detection.inputs[0]["path"] = str(tmp_path / "in" / "chest.nii.gz")
    detection.provenance["selection"] = {"chosen": [{"path": str(tmp_path / "in")}], "how": "/not/a/path/key"}
    write_report(detection, {}, tmp_path / "out", ["json"])
    document = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert Path(document["inputs"][0]["path"]) == Path("../in/chest.nii.gz")
    assert Path(document["provenance"]["selection"]["chosen"][0]["path"]) == Path("../in")
    assert document["provenance"]["selection"]["how"] == "/not/a/path/key"
    # what the caller holds stays as it was
    assert detection.inputs[0]["path"] == str(tmp_path / "in" / "chest.nii.gz")


def test_a_report_reads_back_as_it_was(detection, chest, tmp_path):
    write_report(detection, {"ct": chest}, tmp_path, ["json", "nifti"])
    back = read_report(tmp_path)
    assert back.findings == detection.findings
    assert back.inputs == detection.inputs
    assert back.warnings == detection.warnings
    assert back.segmentation is not None
    np.testing.assert_array_equal(back.segmentation.array, detection.segmentation.array)
    np.testing.assert_allclose(back.segmentation.affine_ras, detection.segmentation.affine_ras)
    assert back.segmentation.labels == detection.segmentation.labels


def test_the_label_map_is_uint8_on_the_input_grid_even_when_empty(detection, chest, tmp_path):
    empty = replace(detection.segmentation, array=np.zeros(chest.shape, dtype=np.uint8), labels={})
    detection.segmentation = empty
    detection.findings = [replace(finding, segment=None) for finding in detection.findings]
    write_report(detection, {"ct": chest}, tmp_path, ["json", "nifti"])
    image = nib.load(tmp_path / "segmentation.nii.gz")
    assert image.get_data_dtype() == np.uint8
    assert image.shape == chest.shape
    np.testing.assert_allclose(image.affine, chest.affine_ras)
    assert read_report(tmp_path).segmentation.array.max() == 0


def test_the_sidecar_says_what_the_labels_mean(tumour, tmp_path):
    write_report(tumour, {}, tmp_path, ["nifti"])
    sidecar = json.loads((tmp_path / "segmentation.json").read_text(encoding="utf-8"))
    assert sidecar["path"] == "segmentation.nii.gz"
    assert sidecar["labels"]["1"] == {"name": "necrotic core", "volume_mm3": 4 * 5 * 5 * 12.0}
    assert sidecar["labels"]["2"]["name"] == "oedema"


def test_without_a_segmentation_none_is_named_or_written(detection, tmp_path):
    detection.segmentation = None
    write_report(detection, {}, tmp_path, ["json", "nifti"])
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["segmentation"] is None
    assert not (tmp_path / "segmentation.nii.gz").exists()


def test_an_unknown_format_is_refused_before_anything_is_written(detection, tmp_path):
    with pytest.raises(UsageError, match=r"docx.*json, csv"):
        write_report(detection, {}, tmp_path / "out", [*FORMATS, "docx"])
    assert not (tmp_path / "out").exists()


def test_a_run_that_fails_leaves_no_report_that_vouches_for_it(detection, chest, tmp_path, monkeypatch):
    write_report(detection, {"ct": chest}, tmp_path, ["json", "csv"])

    def full_disk(path, *rest):
        raise OutputError(f"cannot write {path}")

    monkeypatch.setattr(writers, "write_nifti", full_disk)
    detection.warnings.append("another run")
    with pytest.raises(OutputError):
        write_report(detection, {"ct": chest}, tmp_path, ["json", "csv", "nifti"])
    assert not (tmp_path / "report.json").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(files.TEMPORARY_PREFIX)]


def test_rendering_the_same_report_again_never_removes_it(detection, tmp_path, monkeypatch):
    write_report(detection, {}, tmp_path, ["json"])

    def full_disk(path, *rest):
        raise OutputError(f"cannot write {path}")

    monkeypatch.setattr(files, "write_text", full_disk)
    with pytest.raises(OutputError):
        write_report(read_report(tmp_path), {}, tmp_path, ["json", "csv"])
    assert (tmp_path / "report.json").is_file()


def test_without_scans_an_earlier_preview_is_shown_again(detection, chest, tmp_path):
    write_report(detection, {"ct": chest}, tmp_path)
    before = (tmp_path / "preview.png").read_bytes()
    write_report(read_report(tmp_path), {}, tmp_path)
    assert (tmp_path / "preview.png").read_bytes() == before
    assert "data:image/png" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_file_in_the_way_of_the_folder_is_an_output_error(detection, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        write_report(detection, {}, tmp_path / "out", ["json"])


def no_ink(*_arguments, **_options):
    raise RuntimeError("no ink\nleft")


@pytest.mark.parametrize(
    ("what", "lost"),
    [
        ("medimg.report.preview.preview_png", "preview.png"),
        ("medimg.report.pdf.report_pdf", "report.pdf"),
        ("medimg.report.html.report_html", "report.html"),
    ],
)
def test_a_picture_that_cannot_be_drawn_costs_nothing_else(detection, chest, tmp_path, monkeypatch, what, lost):
    monkeypatch.setattr(what, no_ink)
    written = write_report(detection, {"ct": chest}, tmp_path)
    document = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert document["failed"] == [f"{lost} was not written: unexpected error: RuntimeError: no ink left"]
    assert document["warnings"] == ["slices are thick", *document["failed"]]
    everything = {
        "findings.csv", "segmentation.nii.gz", "segmentation.json", "preview.png", "report.html", "report.pdf",
        "report.json",
    }  # fmt: skip
    assert {path.name for path in written} == everything - {lost} == {path.name for path in tmp_path.iterdir()}


def test_what_could_not_be_drawn_goes_with_an_earlier_run_and_comes_back_with_the_next(
    detection, chest, tmp_path, monkeypatch
):
    write_report(detection, {"ct": chest}, tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr("medimg.report.html.report_html", no_ink)
        write_report(read_report(tmp_path), {"ct": chest}, tmp_path)
    assert not (tmp_path / "report.html").exists()
    write_report(read_report(tmp_path), {"ct": chest}, tmp_path)
    assert (tmp_path / "report.html").is_file()
    mended = read_report(tmp_path)
    assert (mended.failed, mended.warnings) == ([], ["slices are thick"])


def test_a_run_that_ends_while_it_draws_has_written_what_was_found_but_no_report(
    detection, chest, tmp_path, monkeypatch
):
    def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("medimg.report.preview.preview_png", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_report(detection, {"ct": chest}, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"findings.csv", "segmentation.nii.gz", "segmentation.json"}
