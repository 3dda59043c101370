"""The rule for chest CT on a study as a scanner sends it: what is chosen, what is not, and why."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import chest_study
import pydicom
import pytest
import toy

from medimg.dicom.discover import discover
from medimg.errors import InputError, PipelineError, Reason, UsageError
from medimg.pipeline import Stage, load_pipeline
from medimg.stages.candidates import find_candidates
from medimg.stages.chain import run_chain
from medimg.stages.facts import facts_of
from medimg.stages.folders import open_report
from medimg.stages.prefer import preference
from medimg.stages.select import read_chosen, select


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    stages = (Stage("select", {"prefer": "thin_axial"}),)
    return replace(load_pipeline(str(toy.detector(tmp_path_factory.mktemp("toy") / "detector"))), stages=stages)


@pytest.fixture(scope="module")
def whole_study(tmp_path_factory) -> Path:
    return chest_study.study(tmp_path_factory.mktemp("chest"))


@pytest.fixture
def study(whole_study, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole_study, tmp_path / "study"))


def lose_a_middle_slice(folder: Path) -> None:
    """Remove the eleventh image of a series along z."""
    height = {
        path: float(pydicom.dcmread(path, stop_before_pixels=True).ImagePositionPatient[2]) for path in folder.iterdir()
    }
    sorted(height, key=height.__getitem__)[10].unlink()


def chosen(selection):
    return selection.chosen["ct"].description


def why_not(selection):
    return {entry["description"]: entry["why"] for entry in selection.not_chosen}


def test_of_a_whole_chest_study_the_thin_soft_stack_is_taken_and_every_other_told_why_not(study, pipeline):
    selection = select([(None, study)], pipeline)
    assert chosen(selection) == "CHEST 1.25 SOFT"
    assert selection.chosen["ct"].warnings == ()
    assert why_not(selection) == {
        "SCOUT": "no scan to search: localizer",
        "CHEST 5.0 SOFT": "5 mm slices against 1.25 mm",
        "CHEST 1.25 LUNG": "sharp kernel (LUNG) against soft (STANDARD)",
        "CHEST 1.25 BONE": "bone kernel (BONEPLUS) against STANDARD",
        "COR MPR": "coronal reformat, not axial",
        "SAG MPR": "sagittal reformat, not axial",
        "AX MIP": "derived (MIP)",
        "DOSE REPORT": "no scan to search: secondary_capture",
    }


def test_a_thin_lung_kernel_beats_thick_soft_slices_and_a_bone_kernel_does_not(tmp_path, pipeline):
    chest_study.series(tmp_path, 2, "SOFT", chest_study.AXIAL[5.0])
    chest_study.series(tmp_path, 3, "BONE", kernel="BONE")
    assert chosen(select([(None, tmp_path)], pipeline)) == "SOFT"
    chest_study.series(tmp_path, 4, "LUNG", kernel="LUNG")
    selection = select([(None, tmp_path)], pipeline)
    assert chosen(selection) == "LUNG"
    assert why_not(selection) == {
        "SOFT": "5 mm slices against 1.25 mm",
        "BONE": "bone kernel (BONE) against LUNG",
    }


def test_of_two_contrast_phases_alike_the_first_is_taken(tmp_path, pipeline):
    chest_study.series(tmp_path, 5, "VENOUS")
    chest_study.series(tmp_path, 4, "ARTERIAL")
    selection = select([(None, tmp_path)], pipeline)
    assert chosen(selection) == "ARTERIAL"
    assert why_not(selection) == {"VENOUS": "series 5 after series 4, alike in all else"}


def test_overlapping_thick_slices_are_thick(tmp_path, pipeline):
    chest_study.series(tmp_path, 2, "OVERLAPPING", SliceThickness="5")
    chest_study.series(tmp_path, 3, "THIN")
    assert why_not(select([(None, tmp_path)], pipeline)) == {"OVERLAPPING": "5 mm slices against 1.25 mm"}


def test_a_projection_is_told_by_its_description_too(tmp_path):
    chest_study.series(tmp_path, 2, "AX MIP 8/2")
    (candidate,) = find_candidates(tmp_path)
    facts = facts_of(candidate)
    assert (facts.original, facts.derivation) == (False, "MIP")


@pytest.mark.parametrize(
    ("kernel", "bone", "sharp"),
    [
        ("STANDARD", False, False),
        ("B30f", False, False),
        ("Br40d, 3", False, False),
        ("FC08", False, False),
        ("C", False, True),
        ("LUNG", False, True),
        ("B70f", False, True),
        ("Bl57d, 3", False, True),
        ("FC51", False, True),
        ("L", False, True),
        ("BONEPLUS", True, True),
        ("EDGE", True, True),
        ("FC30", True, True),
        ("YD", True, True),
    ],
)
def test_kernels_of_the_vendors(tmp_path, kernel, bone, sharp):
    chest_study.series(tmp_path, 2, "CHEST", slices=2, kernel=kernel)
    (candidate,) = find_candidates(tmp_path)
    assert (facts_of(candidate).bone, facts_of(candidate).sharp) == (bone, sharp)


def test_an_incomplete_thin_stack_gives_way_loudly(study, pipeline):
    lose_a_middle_slice(study / "004")
    selection = select([(None, study)], pipeline)
    assert chosen(selection) == "CHEST 1.25 LUNG"
    (warning,) = selection.chosen["ct"].warnings
    assert "CHEST 1.25 SOFT comes first by the rule and was refused" in warning
    assert "1 slices missing" in warning
    assert "CHEST 1.25 LUNG was taken instead: sharp kernel (LUNG) against soft (STANDARD)" in warning
    assert why_not(selection)["CHEST 1.25 SOFT"].startswith("refused: ")
    assert why_not(selection)["CHEST 5.0 SOFT"] == "5 mm slices against 1.25 mm"


def test_a_thin_stack_whose_pixels_are_broken_gives_way_when_it_is_read(study, pipeline, tmp_path):
    for path in (study / "004").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.PixelData = b"\0" * len(dataset.PixelData)
        dataset.save_as(path)
    selection = select([(None, study)], pipeline)
    assert chosen(selection) == "CHEST 1.25 SOFT"
    selection, volumes = read_chosen(selection)
    assert chosen(selection) == volumes["ct"].description == "CHEST 1.25 LUNG"
    assert "every voxel is -1024" in selection.chosen["ct"].warnings[0]


def test_the_report_says_what_was_refused_and_is_measured_again(study, tmp_path):
    pipeline = load_pipeline(str(toy.detector(tmp_path / "detector", roi="whole")))
    document = (pipeline.folder / "pipeline.yaml").read_text(encoding="utf-8")
    (pipeline.folder / "pipeline.yaml").write_text(
        document.replace("stages:\n", "stages:\n- select: {prefer: thin_axial}\n")
    )
    pipeline = load_pipeline(str(pipeline.folder))
    lose_a_middle_slice(study / "004")
    run_chain([(None, study)], tmp_path / "out", pipeline)
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["inputs"][0]["description"] == "CHEST 1.25 LUNG"
    assert any("CHEST 1.25 SOFT comes first by the rule and was refused" in text for text in report["warnings"])
    told = {entry["description"]: entry["why"] for entry in report["provenance"]["selection"]["not_chosen"]}
    assert "slices missing" in told["CHEST 1.25 SOFT"]
    assert open_report(tmp_path / "out", pipeline).first.source.series_uid == report["inputs"][0]["series_uid"]


def test_nothing_less_than_the_rule_asks_for_stands_in_for_a_refused_stack(tmp_path, pipeline):
    chest_study.reformats(tmp_path)
    paths = chest_study.series(tmp_path, 2, "THIN")
    paths[7].unlink()
    with pytest.raises(InputError, match="slices missing") as caught:
        select([(None, tmp_path)], pipeline)
    assert caught.value.reason is Reason.MISSING_SLICES


def test_a_reformat_that_is_all_there_is_is_taken_with_a_warning(tmp_path, pipeline):
    chest_study.series(tmp_path, 5, "COR MPR", chest_study.CORONAL, image_type=["DERIVED", "SECONDARY", "MPR"])
    (candidate,) = select([(None, tmp_path)], pipeline).chosen.values()
    assert any("not what the rule asks for: coronal reformat, not axial" in text for text in candidate.warnings)


def test_a_series_that_is_named_is_taken_whatever_the_rule_says(study, pipeline):
    selection = select([(None, study)], pipeline, series_uids=[chest_study.uid(2)])
    assert chosen(selection) == "CHEST 5.0 SOFT"
    assert set(why_not(selection).values()) == {"another series UID was asked for"}
    with pytest.raises(UsageError, match=r"no series 1\.2\.3; there are 2\.25\.77"):
        select([(None, study)], pipeline, series_uids=[chest_study.uid(2), "1.2.3"])


def test_a_named_series_that_is_not_whole_is_refused_and_not_replaced(study, pipeline):
    lose_a_middle_slice(study / "004")
    selection = select([(None, study)], pipeline, series_uids=[chest_study.uid(4)])
    with pytest.raises(InputError):
        read_chosen(selection)


def test_every_image_of_the_study_is_in_a_series_or_skipped(study):
    found = discover(study)
    frames = {frame.path for series in found.series for frame in series.frames}
    assert frames | {skip.path for skip in found.skipped} == {path for path in study.rglob("*") if path.is_file()}


def test_an_unknown_rule_is_told():
    with pytest.raises(PipelineError, match="rules are only, thin_axial"):
        preference("best")
