"""Which pipeline and which scans: told by modality, name and rule, never guessed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medimg import volumes
from medimg.errors import InputError, Reason, UnsuitableScanError, UsageError
from medimg.phantoms.dicom import write_ct_series
from medimg.pipeline import Pipeline, PipelineInput, Stage
from medimg.stages.candidates import find_candidates
from medimg.stages.select import read_chosen, select
from medimg.stages.selection import write_selection

CT = Pipeline(
    name="chest",
    version="1",
    title="",
    task="detection",
    licence="",
    inputs=(PipelineInput("ct", "CT"),),
    stages=(Stage("select", {"prefer": "thin_axial"}),),
    folder=Path(),
    bundle=Path(),
)
MR = Pipeline(
    name="brain",
    version="1",
    title="",
    task="segmentation",
    licence="",
    inputs=tuple(PipelineInput(role, "MR") for role in ("t1c", "t1n", "t2w", "t2f")),
    stages=(),
    folder=Path(),
    bundle=Path(),
)


def write(path, low, high, spacing=1.0):
    array = np.random.default_rng(0).integers(low, high, (8, 8, 8)).astype(np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    volumes.write_nifti(path, array, np.diag([1, 1, spacing, 1.0]))
    return path


def one_study(folder):
    """Sidecars as `medimg preprocess` leaves them: all of one study."""
    for path in folder.glob("*.nii.gz"):
        sidecar = path.with_name(path.name.removesuffix(".nii.gz") + ".json")
        sidecar.write_text(json.dumps({"modality": "CT", "study_uid": "1.2.3"}))


@pytest.fixture
def ct(tmp_path):
    return write(tmp_path / "scan.nii.gz", -1000, 400)


@pytest.fixture
def case(tmp_path):
    for suffix in ("t1", "t1ce", "t2", "flair", "seg"):
        write(tmp_path / "case" / f"BraTS2021_00006_{suffix}.nii.gz", 0, 400)
    return tmp_path / "case"


def test_air_in_hounsfield_units_makes_a_ct(ct):
    (candidate,) = find_candidates(ct)
    assert candidate.modality == "CT"
    assert select([(None, ct)], CT).chosen["ct"].path == ct


def test_mr_is_refused_by_a_ct_pipeline(case):
    with pytest.raises(UnsuitableScanError, match="needs CT; found") as caught:
        select([(None, case / "BraTS2021_00006_t1.nii.gz")], CT)
    assert caught.value.reason == Reason.WRONG_MODALITY


def test_a_case_folder_gives_each_role_its_scan_and_leaves_the_label_map(case):
    selection = select([(None, case)], MR)
    names = {role: candidate.path.name for role, candidate in selection.chosen.items()}
    assert list(names) == ["t1c", "t1n", "t2w", "t2f"]
    assert names["t1c"] == "BraTS2021_00006_t1ce.nii.gz"
    assert read_chosen(selection)[1]["t2f"].modality == "MR"


def test_three_of_four_contrasts_are_refused_naming_the_missing_one(case):
    (case / "BraTS2021_00006_flair.nii.gz").unlink()
    with pytest.raises(UnsuitableScanError, match="missing t2f") as caught:
        select([(None, case)], MR)
    assert caught.value.reason == Reason.MISSING_ROLE


def optional(pipeline, *roles):
    inputs = tuple(replace(entry, optional=entry.role in roles) for entry in pipeline.inputs)
    return replace(pipeline, inputs=inputs)


def test_an_optional_contrast_may_be_missing_and_the_choice_says_so(case):
    (case / "BraTS2021_00006_t1.nii.gz").unlink()
    selection = select([(None, case)], optional(MR, "t1n", "t2w"))
    assert list(selection.chosen) == ["t1c", "t2w", "t2f"]
    assert selection.why.endswith("; without t1n")


def test_a_contrast_that_is_not_optional_is_missed_and_the_others_are_named(case):
    (case / "BraTS2021_00006_flair.nii.gz").unlink()
    with pytest.raises(UnsuitableScanError, match="needs t1c, t2f, and can use t1n, t2w; missing t2f"):
        select([(None, case)], optional(MR, "t1n", "t2w"))


def test_an_optional_role_with_two_scans_is_ambiguous_all_the_same(case):
    write(case / "other_t2.nii.gz", 0, 400)
    with pytest.raises(UnsuitableScanError, match="could be t2w"):
        select([(None, case)], optional(MR, "t2w"))


def test_a_role_given_on_the_command_line_beats_the_name(case):
    inputs = [
        ("t1c", case / "BraTS2021_00006_t1.nii.gz"),
        ("t1n", case / "BraTS2021_00006_t1ce.nii.gz"),
        ("t2w", case / "BraTS2021_00006_t2.nii.gz"),
        ("t2f", case / "BraTS2021_00006_flair.nii.gz"),
    ]
    assert select(inputs, MR).chosen["t1c"].path.name == "BraTS2021_00006_t1.nii.gz"


def test_two_scans_for_one_role_are_ambiguous(case):
    write(case / "other_t2.nii.gz", 0, 400)
    with pytest.raises(UnsuitableScanError, match="could be t2w") as caught:
        select([(None, case)], MR)
    assert caught.value.reason == Reason.AMBIGUOUS_SERIES


def test_nnunet_channels_are_named_by_its_dataset_json_only(tmp_path):
    for channel in range(4):
        write(tmp_path / "c" / f"CASE_{channel:04d}.nii.gz", 0, 400)
    with pytest.raises(UnsuitableScanError):
        select([(None, tmp_path / "c")], MR)
    names = {"channel_names": {"0": "FLAIR", "1": "T1", "2": "T1ce", "3": "T2"}}
    (tmp_path / "c" / "dataset.json").write_text(json.dumps(names))
    assert select([(None, tmp_path / "c")], MR).chosen["t2f"].path.name == "CASE_0000.nii.gz"


def test_the_thinner_of_two_cts_is_taken_and_the_other_recorded(tmp_path):
    write(tmp_path / "two" / "thick.nii.gz", -1000, 400, spacing=5.0)
    write(tmp_path / "two" / "thin.nii.gz", -1000, 400, spacing=1.2)
    one_study(tmp_path / "two")
    selection = select([(None, tmp_path / "two")], CT)
    assert selection.chosen["ct"].path.name == "thin.nii.gz"
    assert selection.not_chosen[0]["path"].endswith("thick.nii.gz")
    assert selection.not_chosen[0]["why"] == "5 mm slices against 1.2 mm"


def test_two_equal_cts_are_ambiguous(tmp_path):
    for name in "ab":
        write(tmp_path / "two" / f"{name}.nii.gz", -1000, 400)
    one_study(tmp_path / "two")
    with pytest.raises(UnsuitableScanError, match="fit equally well"):
        select([(None, tmp_path / "two")], CT)


def test_a_sidecar_tells_modality_and_identity(tmp_path):
    path = write(tmp_path / "pet.nii.gz", 0, 400)
    (tmp_path / "pet.json").write_text(json.dumps({"modality": "PT", "series_uid": "1.2.3"}))
    (candidate,) = find_candidates(path)
    assert (candidate.modality, candidate.series_uid) == ("PT", "1.2.3")


def test_an_empty_folder_holds_nothing_to_read(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="neither DICOM series nor volume files"):
        find_candidates(tmp_path / "empty")


def test_a_picture_is_not_a_volume_file(tmp_path):
    (tmp_path / "a.png").write_text("x")
    with pytest.raises(InputError, match="for DICOM name the folder"):
        find_candidates(tmp_path / "a.png")


def test_a_selection_is_taken_up_by_the_next_stage(case, tmp_path):
    path = write_selection(select([(None, case)], MR), tmp_path / "selected")
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["schema"] == "medimg.selection/1"
    assert all(not Path(entry["path"]).is_absolute() for entry in document["chosen"])
    assert {candidate.role for candidate in find_candidates(tmp_path / "selected")} == set(MR.roles)


def test_a_broken_manifest_is_told(tmp_path):
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(UsageError, match="make it again"):
        find_candidates(tmp_path)


def test_one_dark_voxel_makes_no_ct_of_an_mr(tmp_path):
    array = np.random.default_rng(0).integers(0, 400, (20, 20, 20)).astype(np.int16)
    array[3, 3, 3] = -400
    volumes.write_nifti(tmp_path / "scan_t1c.nii.gz", array, np.eye(4))
    (candidate,) = find_candidates(tmp_path / "scan_t1c.nii.gz")
    assert (candidate.modality, candidate.role) == ("MR", "t1c")


def test_a_role_given_to_a_folder_of_several_scans_is_refused(case):
    with pytest.raises(UsageError, match="holds 4 scans, not one for role t1n"):
        find_candidates(case, "t1n")


def test_an_unsound_file_beside_sound_ones_is_left_with_its_reason(case):
    (case / "BraTS2021_00006_extra.nii.gz").write_text("junk")
    (case / "._BraTS2021_00006_t1.nii.gz").write_text("macOS")
    selection = select([(None, case)], MR)
    (left,) = selection.not_chosen
    assert left["path"].endswith("extra.nii.gz")
    assert "is not a volume file" in left["why"]


def test_a_thin_isotropic_ct_beats_thick_slices(tmp_path):
    for name, spacing in (("thick", 5.0), ("isotropic", 1.0)):
        array = np.random.default_rng(0).integers(-1000, 400, (24, 24, 24)).astype(np.int16)
        volumes.write_nifti(tmp_path / "two" / f"{name}.nii.gz", array, np.diag([1, 1, spacing, 1.0]))
    one_study(tmp_path / "two")
    assert select([(None, tmp_path / "two")], CT).chosen["ct"].path.name == "isotropic.nii.gz"


def test_scans_of_two_studies_are_not_mixed(tmp_path):
    for name in "ab":
        write(tmp_path / "two" / f"{name}.nii.gz", -1000, 400, spacing=1.0 if name == "a" else 2.0)
        (tmp_path / "two" / f"{name}.json").write_text(json.dumps({"modality": "CT", "study_uid": f"1.2.{name}"}))
    with pytest.raises(UnsuitableScanError, match=r"scans of several studies.* --series-uid") as caught:
        select([(None, tmp_path / "two")], CT)
    assert caught.value.reason == Reason.AMBIGUOUS_SERIES


def test_a_series_without_a_description_is_called_by_its_uid(tmp_path):
    for number in (1, 2):
        write_ct_series(
            np.full((8, 8, 24), -800, np.int16),
            np.diag([-1.0, -1, 2, 1]),
            tmp_path / "two" / str(number),
            seed=number,
            description="",
        )
    uids = [candidate.series_uid for candidate in find_candidates(tmp_path / "two")]
    with pytest.raises(UnsuitableScanError, match="scans of several studies") as caught:
        select([(None, tmp_path / "two")], CT)
    assert all(f"two: {uid}" in str(caught.value) for uid in uids)


def test_a_selection_is_not_written_into_the_scans_own_folder(tmp_path):
    phantom_folder = tmp_path / "dicom"
    write_ct_series(np.full((8, 8, 24), -800, np.int16), np.diag([-1.0, -1, 2, 1]), phantom_folder, seed=1)
    selection = select([(None, phantom_folder)], CT)
    with pytest.raises(UsageError, match="name another one"):
        write_selection(selection, phantom_folder)


def test_a_role_states_the_modality_of_a_file_that_shows_none(tmp_path):
    path = write(tmp_path / "pet.nii.gz", 0, 400)
    pet = replace(CT, inputs=(PipelineInput("pt", "PT"),))
    with pytest.raises(UnsuitableScanError):
        select([(None, path)], pet)
    assert select([("pt", path)], pet).chosen["pt"].path == path


def test_files_that_say_nothing_of_their_study_are_not_ranked_against_each_other(tmp_path):
    write(tmp_path / "two" / "thick.nii.gz", -1000, 400, spacing=5.0)
    write(tmp_path / "two" / "thin.nii.gz", -1000, 400, spacing=1.2)
    with pytest.raises(UnsuitableScanError, match="or of unknown ones"):
        select([(None, tmp_path / "two")], CT)


def test_a_role_that_contradicts_the_files_name_is_warned_of(case):
    (candidate,) = find_candidates(case / "BraTS2021_00006_t1.nii.gz", "t1c")
    assert candidate.warnings == ("BraTS2021_00006_t1.nii.gz was given as t1c, but its name says t1n",)


@pytest.mark.parametrize("left", [0, 600], ids=["empty", "cut in its header"])
def test_damaged_files_beside_a_series_are_warned_of(tmp_path, left):
    write_ct_series(np.full((8, 8, 24), -800, np.int16), np.diag([-1.0, -1, 2, 1]), tmp_path / "ct", seed=1)
    path = next(path for path in sorted((tmp_path / "ct").rglob("*")) if path.is_file())
    (tmp_path / "ct" / "last.dcm").write_bytes(path.read_bytes()[:left])
    (candidate,) = find_candidates(tmp_path / "ct")
    assert "1 files of the folder were meant to be DICOM and cannot be read (last.dcm, ...)" in candidate.warnings[0]
