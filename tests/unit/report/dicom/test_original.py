"""What results take over from the source, and what they refuse to point at."""

from __future__ import annotations

import pydicom
import pytest
from conformance import results
from conformance.cases.phantom import only, put

from medimg.errors import InputError, Reason
from medimg.report.dicom.build import build_dicom
from medimg.report.dicom.original import read_original

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

PATIENT = {
    "PatientID": "4711  A",
    "PatientSex": "F",
    "PatientBirthDate": "19600229",
    "AccessionNumber": "ACC-1",
    "StudyID": "S9",
    "StudyDate": "20260102",
    "StudyTime": "101500.25",
    "StudyDescription": "CHEST",
    "ReferringPhysicianName": "Ordering^Doctor",
}


def test_results_belong_to_the_patient_and_study_of_the_scan(scanned):
    volume = scanned(put(**PATIENT))
    for dataset in results.build(volume, ("seg", "sr", "epdf", "sc", "rtstruct")).objects.values():
        assert {keyword: str(dataset[keyword].value) for keyword in PATIENT} == PATIENT
        assert str(dataset.StudyInstanceUID) == "2.25.5"
        assert str(dataset.SeriesInstanceUID) != volume.source.series_uid
        assert dataset.get("FrameOfReferenceUID", "2.25.6") == "2.25.6"


@pytest.mark.parametrize(
    ("charset", "name"),
    [("GB18030", "Wang^XiaoDong=王^小东"), ("ISO_IR 100", "Müller^Jörg"), ("ISO_IR 192", "Ωmega^Ñ"),
     (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎")],
)  # fmt: skip
def test_names_of_any_character_set_go_out_as_utf_8(scanned, tmp_path, charset, name):
    volume = scanned(put(SpecificCharacterSet=charset, PatientName=name))
    for file, dataset in results.build(volume).objects.items():
        dataset.save_as(tmp_path / file, enforce_file_format=True)
        assert name.encode("utf-8") in (tmp_path / file).read_bytes()
        assert str(pydicom.dcmread(tmp_path / file).PatientName) == name
        assert results.errors_of(tmp_path / file) == []


def test_an_anonymised_header_leaves_its_fields_there_and_empty(scanned, tmp_path):
    volume = scanned(put(PatientName="", PatientID=""))
    for file, dataset in results.build(volume).objects.items():
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "AccessionNumber"):
            assert keyword in dataset
            assert not dataset[keyword].value
        dataset.save_as(tmp_path / file, enforce_file_format=True)
        assert results.errors_of(tmp_path / file) == []


def test_values_that_no_dicom_attribute_can_hold_are_left_empty(scanned):
    odd = {"PatientSex": "female", "PatientBirthDate": "1960-02-29", "StudyTime": "quarter past"}
    volume = scanned(put(**odd))
    dataset = results.build(volume).objects["report.dcm"]
    assert {keyword: dataset[keyword].value or "" for keyword in odd} == dict.fromkeys(odd, "")


def test_without_a_frame_of_reference_one_is_made_and_said(scanned):
    volume = scanned(put(FrameOfReferenceUID=None))
    built = results.build(volume)
    assert built.objects["segmentation.dcm"].FrameOfReferenceUID.startswith("2.25.")
    assert any("no frame of reference" in warning for warning in built.warnings)
    again = results.build(volume).objects["segmentation.dcm"]
    assert again.FrameOfReferenceUID == built.objects["segmentation.dcm"].FrameOfReferenceUID


def test_a_frame_of_reference_that_one_slice_lacks_is_that_of_the_others(scanned):
    original = read_original(scanned(only(0, put(FrameOfReferenceUID=None))).source)
    assert (original.frame_of_reference_uid, original.warnings) == ("2.25.6", ())


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SOPInstanceUID"])
def test_images_without_the_uids_of_a_reference_are_refused_in_one_line(scanned, keyword):
    volume = scanned()
    for path in volume.source.files:
        dataset = pydicom.dcmread(path)
        dataset[keyword].value = ""
        dataset.save_as(path)
    with pytest.raises(InputError, match=keyword) as caught:
        read_original(volume.source)
    assert caught.value.reason is Reason.NO_IDENTITY
    built = build_dicom(results.labelled(volume), {"ct": volume}, ("seg", "sr"))
    assert (built.objects, built.document) == ({}, None)
    (line,) = built.failed
    assert "\n" not in line


def test_images_that_share_a_uid_are_refused(scanned):
    volume = scanned()
    for path in volume.source.files[:2]:
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID = "2.25.42"
        dataset.save_as(path)
    with pytest.raises(InputError, match="2 images have one SOP Instance UID"):
        read_original(volume.source)


def test_a_file_that_is_gone_is_named_in_one_line(scanned):
    volume = scanned()
    volume.source.files[3].unlink()
    built = build_dicom(results.labelled(volume), {"ct": volume}, ("seg", "sr"))
    assert built.objects == {}
    assert volume.source.files[3].name in built.failed[0]
