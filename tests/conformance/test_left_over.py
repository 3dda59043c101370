"""What a series holds beside its stacks is never lost in silence; what one file says decides nothing for the others."""

from __future__ import annotations

import pytest
from conformance.cases.phantom import CORONAL, only, put

from medimg.errors import Reason

LOST = {
    "another pixel spacing": (put(PixelSpacing=[2.2, 1.1]), "another pixel spacing", Reason.SINGLE_SLICE),
    "another frame of reference": (
        put(FrameOfReferenceUID="2.25.99"),
        "another frame of reference",
        Reason.SINGLE_SLICE,
    ),
    "another size": (put(Rows=6), "another size", Reason.SINGLE_SLICE),
    "another tube voltage": (put(KVP=80), "another KVP", Reason.SINGLE_SLICE),
    "no place and another type": (
        put(ImagePositionPatient=None, ImageType=["DERIVED", "PRIMARY", "AXIAL"]),
        "does not say where it lies",
        Reason.NO_GEOMETRY,
    ),
}


@pytest.mark.parametrize(("edit", "said", "reason"), LOST.values(), ids=LOST)
def test_the_last_slice_is_not_lost_in_silence(phantom, positions, edit, said, reason):
    paths = phantom.slices(positions(8), edit=lambda ds, n: (put(KVP=120)(ds, n), only(7, edit)(ds, n)))
    result = phantom.read_one()
    assert result.rejection.reason is reason
    assert said in str(result.rejection)
    assert result.rejection.files == (paths[7],)
    if reason is Reason.SINGLE_SLICE:
        assert [volume.shape[2] for volume in result.volumes] == [7]


BESIDE = {
    "a scout": {"orientation": CORONAL},
    "a derived picture": {"edit": put(ImageType=["DERIVED", "SECONDARY", "MIP"], FrameOfReferenceUID="2.25.99")},
}


@pytest.mark.parametrize("how", BESIDE.values(), ids=BESIDE)
def test_a_picture_beside_the_scan_is_no_lost_slice(phantom, positions, how):
    phantom.slices(positions(8))
    phantom.slices([(0, 0, 0)], **how)
    result = phantom.read_one()
    assert result.rejection is None
    assert [volume.shape[2] for volume in result.volumes] == [8]
    assert [reason for _path, reason in result.excluded] == [Reason.SINGLE_SLICE]


@pytest.mark.parametrize("second", [1, 4])
def test_two_patients_in_one_series_are_never_sound(phantom, positions, second):
    places = positions(8)
    phantom.slices(places[second:])
    paths = phantom.slices(places[:second], edit=put(PatientID="somebody else"))
    result = phantom.read_one()
    assert result.rejection.reason is Reason.MIXED_PATIENTS
    assert "2 Patient IDs" in str(result.rejection)
    assert "somebody" not in str(result.rejection)
    if second == 1:
        assert result.rejection.files == tuple(paths)


def test_images_that_leave_the_patient_out_are_the_others_patient(phantom, positions):
    phantom.slices(positions(8), edit=only(3, put(PatientID="")))
    assert phantom.read_one().rejection is None


def test_every_rejected_part_is_in_the_message(phantom, positions):
    gone = {1: [2], 2: [], 3: [4, 5], 4: [3], 5: [1], 6: [6]}
    for time, without in gone.items():
        places = positions(9, without=without)
        phantom.slices(places, modality="MR", add=50 * time, edit=put(TemporalPositionIdentifier=time))
    result = phantom.read_one()
    message = str(result.rejection)
    assert len(result.volumes) == 1
    assert message.count("1 slices missing") == 3
    assert "2 slices missing" in message
    assert "and 1 more" in message
    assert "\n" not in message


@pytest.mark.parametrize("first", ["", "OT"])
def test_the_modality_is_that_of_most_files(phantom, positions, first):
    phantom.slices(positions(6), edit=only(0, put(Modality=first)))
    assert phantom.read_one().modality == "CT"


def test_a_blank_modality_is_told_by_the_kind_of_object(phantom, positions):
    phantom.slices(positions(6), edit=put(Modality=""))
    result = phantom.read_one()
    assert result.modality == "CT"
    assert result.volumes[0].modality == "CT"


def test_a_first_file_of_another_modality_does_not_turn_the_checks_off(phantom, positions):
    def edit(dataset, number):
        dataset.Modality = "CT" if number else ""
        if number == 3:
            del dataset.RescaleIntercept

    phantom.slices(positions(6), edit=edit)
    assert phantom.read_one().rejection.reason is Reason.NO_RESCALE


UNITS = {"RescaleType": ("CT", "HU", "US"), "Units": ("PT", "BQML", "CNTS")}


@pytest.mark.parametrize(("keyword", "how"), UNITS.items())
def test_slices_of_two_units_are_no_volume(phantom, positions, keyword, how):
    modality, unit, other = how
    edit = lambda ds, n: setattr(ds, keyword, other if n == 4 else unit)  # noqa: E731
    phantom.slices(positions(8), modality=modality, edit=edit)
    result = phantom.read_one()
    assert result.volumes == []
    assert result.rejection.reason is Reason.NO_RESCALE
    assert f"differ in {keyword}" in str(result.rejection)


@pytest.mark.parametrize(("keyword", "how"), UNITS.items())
def test_a_unit_that_some_slices_leave_out_is_that_of_the_others(phantom, positions, keyword, how):
    modality, unit, _other = how
    phantom.slices(positions(8), modality=modality, edit=lambda ds, n: setattr(ds, keyword, unit if n else ""))
    (volume,) = phantom.read_one().volumes
    assert volume.source.headers[keyword] == unit
