"""Scan in, report out: positions, grids and files, with networks whose answer is known."""

from __future__ import annotations

import json
import shutil

import nibabel as nib
import numpy as np
import pydicom
import pytest
import toy

from medimg import volumes
from medimg.errors import InputError, OutputError, Reason, UnsuitableScanError, UsageError
from medimg.phantoms.dicom import write_ct_series
from medimg.pipeline import load_pipeline
from medimg.report import read_report
from medimg.stages.chain import run_chain
from medimg.stages.folders import open_report
from medimg.stages.measure import measure
from medimg.stages.preprocess import preprocess_folder
from medimg.stages.render import render
from medimg.stages.select import select
from medimg.stages.selection import write_selection

DICOM = np.diag([-1.0, -1.0, 2.0, 1.0])
CENTER_RAS = np.array([12.0, -7.0, 30.0])
AXIAL = np.array([[-1.0, 0, 0, 40], [0, 1.0, 0, -30], [0, 0, 1.25, 5], [0, 0, 0, 1]])
SAGITTAL = np.array([[0, 0, 1.25, -15], [-1.0, 0, 0, 20], [0, 1.0, 0, 10], [0, 0, 0, 1]])
TURN = np.deg2rad(15)
OBLIQUE = np.array(
    [
        [np.cos(TURN), -np.sin(TURN), 0, -15],
        [np.sin(TURN), np.cos(TURN), 0, -35],
        [0, 0, 1.25, 5],
        [0, 0, 0, 1],
    ]
)


@pytest.fixture
def detector(tmp_path):
    return load_pipeline(str(toy.detector(tmp_path / "detector")))


@pytest.mark.parametrize("affine", [AXIAL, SAGITTAL, OBLIQUE], ids=["axial", "sagittal", "oblique"])
def test_a_nodule_is_found_where_it_is_whatever_the_grid(tmp_path, detector, affine):
    mask = toy.chest_crop(tmp_path / "ct.nii.gz", affine, CENTER_RAS)
    case = run_chain([(None, tmp_path / "ct.nii.gz")], tmp_path / "out", detector)
    (finding,) = case.report.findings
    assert np.allclose(finding.center_lps_mm, CENTER_RAS * [-1, -1, 1], atol=1.2)
    image = nib.load(tmp_path / "out" / "segmentation.nii.gz")
    assert image.shape == mask.shape
    assert np.allclose(image.affine, affine, atol=1e-4)


@pytest.mark.parametrize("affine", [AXIAL, SAGITTAL, OBLIQUE], ids=["axial", "sagittal", "oblique"])
def test_a_nodule_without_an_edge_is_outlined_at_half_its_height(tmp_path, detector, affine):
    mask = toy.chest_crop(tmp_path / "ct.nii.gz", affine, CENTER_RAS)
    (finding,) = run_chain([(None, tmp_path / "ct.nii.gz")], tmp_path / "out", detector).report.findings
    assert finding.volume_mm3 == pytest.approx(np.count_nonzero(mask) * 1.25, rel=0.2)
    drawn = np.asanyarray(nib.load(tmp_path / "out" / "segmentation.nii.gz").dataobj) == finding.segment
    assert 2 * np.count_nonzero(drawn & mask) / (drawn.sum() + mask.sum()) > 0.9


def test_findings_beyond_what_a_label_map_holds_are_told_of(tmp_path, detector, monkeypatch):
    monkeypatch.setattr("medimg.stages.measure.MAX_LABELS", 0)
    toy.chest_crop(tmp_path / "ct.nii.gz", AXIAL, CENTER_RAS)
    report = run_chain([(None, tmp_path / "ct.nii.gz")], tmp_path / "out", detector).report
    assert [finding.segment for finding in report.findings] == [None]
    assert any("only the first 0 of 1 findings" in warning for warning in report.warnings)


def test_the_report_says_what_was_done_and_that_no_lung_was_found(tmp_path, detector):
    toy.chest_crop(tmp_path / "ct.nii.gz", AXIAL, CENTER_RAS)
    run_chain([(None, tmp_path / "ct.nii.gz")], tmp_path / "out", detector)
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["schema"] == "medimg.report/1"
    assert report["pipeline"] == detector.identity
    assert (tmp_path / "out" / report["inputs"][0]["path"]).resolve() == tmp_path / "ct.nii.gz"
    assert any("whole volume was searched" in warning for warning in report["warnings"])
    assert {"select", "read", "infer", "measure"} <= set(report["provenance"]["seconds"])
    assert report["provenance"]["peak_memory_mib"] > 0
    assert "cpu" in report["provenance"]["device"]["chosen"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "report.json",
        "findings.csv",
        "segmentation.nii.gz",
        "segmentation.json",
        "preview.png",
        "report.html",
        "report.pdf",
    }


def mr_case(folder, tumour_value=300):
    mask = toy.ball((40, 44, 36), AXIAL, [22, -10, 25], 6)
    brain = toy.ball((40, 44, 36), AXIAL, [20, -10, 27], 18)
    for role, bright in (("t1n", 50), ("t2f", tumour_value)):
        array = np.where(mask, bright, 50) * brain
        volumes.write_nifti(folder / f"case-{role}.nii.gz", array.astype(np.int16), AXIAL)
    return mask


def test_a_tumour_is_labelled_on_the_input_grid(tmp_path):
    pipeline = load_pipeline(str(toy.segmenter(tmp_path / "segmenter")))
    mask = mr_case(tmp_path / "case")
    case = run_chain([(None, tmp_path / "case")], tmp_path / "out", pipeline)
    labels = np.asanyarray(nib.load(tmp_path / "out" / "segmentation.nii.gz").dataobj)
    assert 2 * np.count_nonzero((labels == 1) & mask) / ((labels == 1).sum() + mask.sum()) > 0.95
    (finding,) = case.report.findings
    assert finding.label == "tumour"
    assert finding.measurements["whole_mm3"] == pytest.approx(finding.volume_mm3)
    assert case.report.measurements["tumour_count"] == 1
    assert case.report.measurements["whole_mm3"] >= finding.volume_mm3
    assert read_report(tmp_path / "out").measurements == case.report.measurements


def test_without_an_optional_contrast_the_rest_is_the_same_and_the_reader_is_told(tmp_path):
    pipeline = load_pipeline(str(toy.partial_segmenter(tmp_path / "segmenter")))
    mr_case(tmp_path / "case")
    whole = run_chain([(None, tmp_path / "case")], tmp_path / "whole", pipeline)
    (tmp_path / "case" / "case-t1n.nii.gz").unlink()
    partly = run_chain([(None, tmp_path / "case")], tmp_path / "partly", pipeline)
    assert np.array_equal(whole.report.segmentation.array > 0, partly.report.segmentation.array > 0)
    assert whole.report.warnings == []
    assert [entry["role"] for entry in partly.report.inputs] == ["t2f"]
    assert partly.report.warnings == [
        "without t1n: no core",
        "not available: TC (not empty: they cannot be seen in these contrasts)",
    ]


def test_a_region_that_cannot_be_seen_is_not_available_wherever_it_would_stand(tmp_path):
    pipeline = load_pipeline(str(toy.partial_segmenter(tmp_path / "segmenter")))
    mr_case(tmp_path / "case")
    (tmp_path / "case" / "case-t1n.nii.gz").unlink()
    run_chain([(None, tmp_path / "case")], tmp_path / "out", pipeline)
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["segmentation"]["labels"] == {"1": "oedema / core"}
    assert report["segmentation"]["not_available"] == ["TC"]
    (finding,) = report["findings"]
    assert finding["measurements"]["core_mm3"] is None
    assert finding["measurements"]["whole_mm3"] == pytest.approx(finding["volume_mm3"])
    assert read_report(tmp_path / "out").segmentation.merged == {1: (1, 2)}


def test_a_head_with_its_skull_is_refused(tmp_path):
    pipeline = load_pipeline(str(toy.segmenter(tmp_path / "segmenter")))
    for role in ("t1n", "t2f"):
        array = np.random.default_rng(0).integers(1, 300, (20, 20, 20)).astype(np.int16)
        volumes.write_nifti(tmp_path / "case" / f"c-{role}.nii.gz", array, AXIAL)
    with pytest.raises(UnsuitableScanError, match="skull-strip") as caught:
        run_chain([(None, tmp_path / "case")], tmp_path / "out", pipeline)
    assert caught.value.reason == Reason.NOT_SKULL_STRIPPED


def test_contrasts_on_different_grids_are_refused(tmp_path):
    pipeline = load_pipeline(str(toy.segmenter(tmp_path / "segmenter")))
    mr_case(tmp_path / "case")
    moved = AXIAL + np.array([[0, 0, 0, 3.0], [0] * 4, [0] * 4, [0] * 4])
    array = np.asanyarray(nib.load(tmp_path / "case" / "case-t2f.nii.gz").dataobj)
    volumes.write_nifti(tmp_path / "case" / "case-t2f.nii.gz", array, moved)
    with pytest.raises(UnsuitableScanError, match="co-register") as caught:
        run_chain([(None, tmp_path / "case")], tmp_path / "out", pipeline)
    assert caught.value.reason == Reason.GRID_MISMATCH


def test_an_output_that_is_a_file_is_refused_before_any_work(tmp_path, detector):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        run_chain([(None, tmp_path / "missing.nii.gz")], tmp_path / "out", detector)


def test_stages_taken_up_from_folders_give_the_same_report(tmp_path, detector):
    toy.chest_crop(tmp_path / "ct.nii.gz", AXIAL, CENTER_RAS)
    run_chain([(None, tmp_path / "ct.nii.gz")], tmp_path / "out", detector)
    case = open_report(tmp_path / "out", detector)
    measure(case, {})
    render(case, {}, tmp_path / "again")
    first, second = (
        json.loads((tmp_path / name / "report.json").read_text(encoding="utf-8")) for name in ("out", "again")
    )
    pairs = list(zip(first["findings"], second["findings"], strict=True))
    assert all(a["center_lps_mm"] == b["center_lps_mm"] for a, b in pairs)
    assert all(a["volume_mm3"] == b["volume_mm3"] for a, b in pairs)
    assert first["segmentation"] == second["segmentation"]


def test_a_scan_that_is_gone_is_told(tmp_path, detector):
    toy.chest_crop(tmp_path / "ct.nii.gz", AXIAL, CENTER_RAS)
    run_chain([(None, tmp_path / "ct.nii.gz")], tmp_path / "out", detector)
    shutil.move(tmp_path / "ct.nii.gz", tmp_path / "elsewhere.nii.gz")
    with pytest.raises(InputError, match="which is gone"):
        open_report(tmp_path / "out", detector)


def test_a_preprocess_stage_can_leave_its_volumes(tmp_path):
    folder = toy.detector(tmp_path / "detector")
    text = (folder / "pipeline.yaml").read_text(encoding="utf-8")
    (folder / "pipeline.yaml").write_text(text.replace("stages:\n", "stages:\n- preprocess:\n    save: true\n"))
    toy.chest_crop(tmp_path / "ct.nii.gz", AXIAL, CENTER_RAS)
    run_chain([(None, tmp_path / "ct.nii.gz")], tmp_path / "out", load_pipeline(str(folder)))
    manifest = json.loads((tmp_path / "out" / "preprocessed" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["series"][0]["volumes"][0]["path"] == "ct.nii.gz"


def test_select_preprocess_and_infer_pass_a_case_on_by_folders(tmp_path):
    pipeline = load_pipeline(str(toy.segmenter(tmp_path / "segmenter")))
    mr_case(tmp_path / "case")
    (tmp_path / "case" / "case-t2f.nii.gz").rename(tmp_path / "case" / "unnamed.nii.gz")
    inputs = [("t1n", tmp_path / "case" / "case-t1n.nii.gz"), ("t2f", tmp_path / "case" / "unnamed.nii.gz")]
    write_selection(select(inputs, pipeline), tmp_path / "selected")
    preprocess_folder(tmp_path / "selected", tmp_path / "preprocessed")
    case = run_chain([(None, tmp_path / "preprocessed")], tmp_path / "out", pipeline)
    assert list(case.volumes) == ["t1n", "t2f"]
    assert len(case.report.findings) == 1


def test_a_scan_that_changed_since_is_told(tmp_path, detector):
    toy.chest_crop(tmp_path / "ct.nii.gz", AXIAL, CENTER_RAS)
    run_chain([(None, tmp_path / "ct.nii.gz")], tmp_path / "out", detector)
    toy.chest_crop(tmp_path / "ct.nii.gz", AXIAL, CENTER_RAS + 3)
    with pytest.raises(InputError, match="its digest differs"):
        open_report(tmp_path / "out", detector)


def test_another_pipeline_does_not_measure_this_report(tmp_path, detector):
    toy.chest_crop(tmp_path / "ct.nii.gz", AXIAL, CENTER_RAS)
    run_chain([(None, tmp_path / "ct.nii.gz")], tmp_path / "out", detector)
    with pytest.raises(UsageError, match="was made by pipeline 'toy_detector', not toy_segmenter"):
        open_report(tmp_path / "out", load_pipeline(str(toy.segmenter(tmp_path / "segmenter"))))


def test_nothing_of_an_earlier_run_passes_for_the_next_one(tmp_path, detector):
    toy.chest_crop(tmp_path / "ct.nii.gz", AXIAL, CENTER_RAS)
    run_chain([(None, tmp_path / "ct.nii.gz")], tmp_path / "out", detector)
    text = (tmp_path / "detector" / "pipeline.yaml").read_text(encoding="utf-8")
    (tmp_path / "detector" / "pipeline.yaml").write_text(text.replace("report: {}", "report:\n    formats: [csv]"))
    run_chain([(None, tmp_path / "ct.nii.gz")], tmp_path / "out", load_pipeline(str(tmp_path / "detector")))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["findings.csv"]


def test_a_series_that_is_not_whole_is_not_searched(tmp_path, detector):
    write_ct_series(
        np.random.default_rng(0).integers(-1000, 0, (16, 16, 30)).astype(np.int16), DICOM, tmp_path / "ct", seed=1
    )
    paths = sorted((tmp_path / "ct").rglob("*"))
    position = {path: float(pydicom.dcmread(path).ImagePositionPatient[2]) for path in paths if path.is_file()}
    sorted(position, key=position.get)[14].unlink()
    with pytest.raises(InputError) as caught:
        run_chain([(None, tmp_path / "ct")], tmp_path / "out", detector)
    assert caught.value.reason == Reason.MISSING_SLICES


def test_somebodys_own_files_in_the_output_folder_are_left(tmp_path, detector):
    toy.chest_crop(tmp_path / "ct.nii.gz", AXIAL, CENTER_RAS)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "segmentation.nii.gz").write_text("mine")
    text = (tmp_path / "detector" / "pipeline.yaml").read_text(encoding="utf-8")
    (tmp_path / "detector" / "pipeline.yaml").write_text(text.replace("report: {}", "report:\n    formats: [json]"))
    run_chain([(None, tmp_path / "ct.nii.gz")], tmp_path / "out", load_pipeline(str(tmp_path / "detector")))
    assert (tmp_path / "out" / "segmentation.nii.gz").read_text(encoding="utf-8") == "mine"


def test_a_scan_stored_in_another_orientation_gives_the_same_findings(tmp_path, detector):
    toy.chest_crop(tmp_path / "a.nii.gz", AXIAL, CENTER_RAS)
    image = nib.load(tmp_path / "a.nii.gz")
    turned = image.as_reoriented(nib.orientations.axcodes2ornt(("P", "S", "R")))
    nib.save(turned, tmp_path / "b.nii.gz")
    found = [run_chain([(None, tmp_path / f"{n}.nii.gz")], tmp_path / n, detector).report.findings[0] for n in "ab"]
    assert np.allclose(found[0].center_lps_mm, found[1].center_lps_mm, atol=1e-3)
    assert found[0].probability == pytest.approx(found[1].probability, abs=1e-5)
    assert found[0].volume_mm3 == pytest.approx(found[1].volume_mm3)
