"""A scan that had to be repaired: findings lie where they are, and the report says what was made up."""

from __future__ import annotations

import json

import numpy as np
import pytest
import toy

from medimg import geometry, volumes
from medimg.dicom.options import ReadOptions
from medimg.errors import InputError, Reason
from medimg.phantoms.dicom import write_ct_series
from medimg.pipeline import load_pipeline
from medimg.stages.chain import run_chain
from medimg.stages.folders import open_report
from medimg.stages.preprocess import preprocess_folder

TILTED_RAS = np.array([[-1.0, 0, 0, 40], [0, 1.0, 0.4, -40], [0, 0, 1.25, 5], [0, 0, 0, 1]])
CENTER_RAS = np.array([12.0, -7.0, 30.0])
REPAIRS = ReadOptions(untilt=True, resample_gaps=True)


@pytest.fixture
def detector(tmp_path):
    return load_pipeline(str(toy.detector(tmp_path / "detector")))


@pytest.fixture
def series(tmp_path):
    """A tilted chest CT that lacks two slices, one of them through the nodule."""
    toy.chest_crop(tmp_path / "crop.nii.gz", TILTED_RAS, CENTER_RAS)
    paths = write_ct_series(volumes.read_volume(tmp_path / "crop.nii.gz").array, TILTED_RAS, tmp_path / "ct")
    for k in (7, 21):
        paths[k].unlink()
    return tmp_path / "ct"


def warned(report, *words: str) -> bool:
    return all(any(word in warning for warning in report["warnings"]) for word in words)


WORDS = ("ct: 2 of 40 slices were not scanned but interpolated (missing_slices)", "ct: resampled from slices tilted by")


def test_a_repaired_series_gives_its_finding_where_it_is_and_says_so(tmp_path, detector, series):
    case = run_chain([(None, series)], tmp_path / "out", detector, options=REPAIRS)
    assert not geometry.is_sheared(case.first.affine_ras)
    (finding,) = case.report.findings
    assert np.allclose(finding.center_lps_mm, CENTER_RAS * [-1, -1, 1], atol=1.2)
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert warned(report, *WORDS)
    (entry,) = report["inputs"]
    assert entry["read_options"] == ["untilt", "resample_gaps"]
    assert entry["resampling"][0]["made_up_slices"] == [39 - 21, 39 - 7]  # k grows along rows x columns


def test_the_next_stage_reads_the_series_in_the_same_way(tmp_path, detector, series):
    first = run_chain([(None, series)], tmp_path / "out", detector, options=REPAIRS)
    again = open_report(tmp_path / "out", detector)
    assert np.array_equal(again.first.array, first.first.array)
    assert again.first.source.sha256 == first.first.source.sha256


def test_a_volume_that_preprocess_repaired_is_still_warned_of(tmp_path, detector, series):
    preprocess_folder(series, tmp_path / "preprocessed", options=REPAIRS)
    run_chain([(None, tmp_path / "preprocessed")], tmp_path / "out", detector)
    assert warned(json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8")), *WORDS)


def test_a_preprocess_stage_leaves_the_mask_too(tmp_path, series):
    folder = toy.detector(tmp_path / "saving")
    text = (folder / "pipeline.yaml").read_text(encoding="utf-8")
    (folder / "pipeline.yaml").write_text(text.replace("stages:\n", "stages:\n- preprocess:\n    save: true\n"))
    case = run_chain([(None, series)], tmp_path / "out", load_pipeline(str(folder)), options=REPAIRS)
    mask = volumes.read_volume(tmp_path / "out" / "preprocessed" / "ct_made_up_mask.nii.gz")
    assert np.array_equal(mask.array != 0, case.first.made_up)


def test_a_volume_file_is_taken_as_it_is_and_the_report_says_so(tmp_path, detector, series):
    case = run_chain([(None, tmp_path / "crop.nii.gz")], tmp_path / "out", detector, options=REPAIRS)
    assert geometry.is_sheared(case.first.affine_ras)
    assert "ct: --untilt, --resample-gaps did nothing, a volume file is taken as it is" in case.report.warnings


def test_nothing_is_repaired_unasked(tmp_path, detector, series):
    with pytest.raises(InputError, match="--resample-gaps") as caught:
        run_chain([(None, series)], tmp_path / "out", detector)
    assert caught.value.reason is Reason.MISSING_SLICES


def test_a_view_of_a_repaired_volume_keeps_its_mask_in_step(tmp_path, detector, series):
    volume = run_chain([(None, series)], tmp_path / "out", detector, options=REPAIRS).first
    part = volume.canonical().crop((3, 4, 5), (20, 30, 25))
    value = np.where(volume.made_up, 1.0, 2.0)
    marked = type(volume)(value, volume.affine_ras, volume.source).canonical().crop((3, 4, 5), (20, 30, 25))
    assert np.array_equal(part.made_up, marked.array == 1.0)
