"""Images of different contrast, stack or phase under one series are never one volume, wherever they lie."""

from __future__ import annotations

import pytest
from conformance.cases.enhanced import ENHANCED_MR, Slice, content, enhanced
from conformance.cases.phantom import put

from medimg.errors import Reason

STEP = 400

CONTRASTS = {
    "echo": ({"EchoTime": 10, "EchoNumbers": 1}, {"EchoTime": 90, "EchoNumbers": 2}),
    "component": ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"]}, {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}),
    "philips component": (
        {"ImageType": ["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE"]},
    ),
    "b-value": ({"DiffusionBValue": 0.0}, {"DiffusionBValue": 1000.0}),
    "b-value left out": ({}, {"DiffusionBValue": 1000.0}),
    "direction": (
        {"DiffusionBValue": 1000.0, "DiffusionGradientOrientation": [1.0, 0.0, 0.0]},
        {"DiffusionBValue": 1000.0, "DiffusionGradientOrientation": [0.0, 1.0, 0.0]},
    ),
    "inversion time": ({"InversionTime": 100}, {"InversionTime": 2000}),
    "flip angle": ({"FlipAngle": 3}, {"FlipAngle": 18}),
    "tube voltage": ({"KVP": 80}, {"KVP": 140}),
    "kernel": ({"ConvolutionKernel": "B30f"}, {"ConvolutionKernel": "B70f"}),
}

SETS = {"upper half": range(6, 12), "every other": range(1, 12, 2)}


def mixed(phantom, positions, values, second):
    """12 slices, those of the second contrast with its headers and STEP added; file names by place."""
    for number, place in enumerate(positions(12)):
        which = int(number in second)
        edit = put(**values[which], InstanceNumber=number + 1)
        phantom.slices([place], modality="MR", add=STEP * which, edit=lambda ds, _n, edit=edit: edit(ds, 0))
    return phantom.read_one()


@pytest.mark.parametrize("second", SETS.values(), ids=SETS)
@pytest.mark.parametrize("values", CONTRASTS.values(), ids=CONTRASTS)
def test_two_contrasts_at_places_that_do_not_repeat_are_two_volumes(phantom, positions, world_error, values, second):
    result = mixed(phantom, positions, values, second)
    assert result.rejection is None
    assert [volume.shape[2] for volume in result.volumes] == [6, 6]
    assert [world_error(volume, add=add) for volume, add in zip(result.volumes, (0, STEP), strict=True)] == [0, 0]
    assert all(volume.source.headers["split"] for volume in result.volumes)


@pytest.mark.parametrize("values", CONTRASTS.values(), ids=CONTRASTS)
def test_two_contrasts_that_take_turns_at_random_are_two_stacks_with_gaps(phantom, positions, values):
    result = mixed(phantom, positions, values, (2, 4, 5, 7, 10))
    assert result.volumes == []
    assert result.rejection.reason is Reason.MISSING_SLICES


def test_two_slices_of_an_echo_with_others_between_them_are_no_volume(phantom, positions):
    for number, place in enumerate(positions(8)):
        phantom.slices([place], modality="MR", edit=put(EchoTime=10.0 * (1 + number % 4)))
    result = phantom.read_one()
    assert result.volumes == []
    assert result.rejection.reason is Reason.MISSING_SLICES


HARMLESS = {
    "echo time jitters": [{"EchoTime": 4.6}, {"EchoTime": 4.603}],
    "flip angle jitters": [{"FlipAngle": 12}, {"FlipAngle": 12.05}],
    "tube voltage left out of some": [{"KVP": 120}, {}],
    "kernel left out of some": [{"ConvolutionKernel": "B30f"}, {}],
    "extra words": [{"ImageType": ["ORIGINAL", "PRIMARY", "M"]}, {"ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM"]}],
    "times and currents": [{"AcquisitionNumber": 1, "XRayTubeCurrent": 90}, {"AcquisitionNumber": 2}],
}


@pytest.mark.parametrize("values", HARMLESS.values(), ids=HARMLESS)
def test_what_varies_within_one_scan_splits_nothing(phantom, positions, world_error, values):
    for number, place in enumerate(positions(9)):
        phantom.slices([place], modality="MR", edit=put(**values[number in (2, 3, 7)]))
    result = phantom.read_one()
    assert result.rejection is None
    (volume,) = result.volumes
    assert (volume.shape[2], world_error(volume)) == (9, 0)


def test_stacks_that_lie_end_to_end_are_told_apart_by_their_stack_id(phantom, positions, world_error):
    frames = [
        Slice(place, add=300 * (k > 5), macros=content(StackID=str(1 + (k > 5)), InStackPositionNumber=k % 6 + 1))
        for k, place in enumerate(positions(12))
    ]
    enhanced(phantom, frames, sop_class=ENHANCED_MR, modality="MR")
    volumes = phantom.read_one().volumes
    assert [world_error(volume, add=add) for volume, add in zip(volumes, (0, 300), strict=True)] == [0, 0]


ORDERED = {
    "TemporalPositionIdentifier": [1, 2, 10],
    "DiffusionBValue": [0.0, 500.0, 1000.0],
    "EchoTime": [4.6, 9.2, 13.8],
    "ConvolutionKernel": ["B30f", "B45f", "B70f"],
}


@pytest.mark.parametrize(("keyword", "values"), ORDERED.items())
def test_volumes_come_in_the_order_of_the_value_whatever_the_files_are_called(
    phantom, positions, world_error, keyword, values
):
    for number in (2, 0, 1):
        edit = put(**{keyword: values[number]})
        phantom.slices(positions(5), modality="MR", add=50 * number, edit=edit)
    volumes = phantom.read_one().volumes
    assert [world_error(volume, add=50 * number) for number, volume in enumerate(volumes)] == [0, 0, 0]


def test_times_without_a_date_give_no_order_across_midnight(phantom, positions, world_error):
    for number, time in enumerate(["235959", "000001", "000003"]):

        def edit(dataset, place, number=number, time=time):
            dataset.ContentTime, dataset.InstanceNumber = time, number * 5 + place + 1

        phantom.slices(positions(5), modality="MR", add=50 * number, edit=edit)
    volumes = phantom.read_one().volumes
    assert [world_error(volume, add=50 * number) for number, volume in enumerate(volumes)] == [0, 0, 0]


@pytest.mark.parametrize("gone", [[5], [4, 5], [0]], ids=["the last", "the last two", "the first"])
def test_a_phase_that_ends_before_the_others_has_lost_slices(phantom, positions, gone):
    for time in (1, 2, 3):
        places = positions(6, without=gone if time == 2 else [])
        phantom.slices(places, modality="MR", add=50 * time, edit=put(TemporalPositionIdentifier=time))
    result = phantom.read_one()
    assert [v.source.headers["split"]["TemporalPositionIdentifier"] for v in result.volumes] == [1, 3]
    assert result.rejection.reason is Reason.MISSING_SLICES
    assert "TemporalPositionIdentifier 2" in str(result.rejection)
    assert len(result.rejection.files) == 6 - len(gone)


def test_phases_that_lost_slices_at_opposite_ends_are_both_refused(phantom, positions):
    for trigger, gone in ((0, [0]), (100, [6])):
        phantom.slices(positions(7, without=gone), modality="MR", add=trigger, edit=put(TriggerTime=trigger))
    result = phantom.read_one()
    assert result.volumes == []
    assert result.rejection.reason is Reason.MISSING_SLICES
    assert "TriggerTime 0" in str(result.rejection)
    assert "TriggerTime 100" in str(result.rejection)


def test_acquisitions_that_overlap_a_little_have_lost_nothing(phantom, positions):
    phantom.slices(positions(8), edit=put(AcquisitionNumber=1))
    phantom.slices(positions(8, start=(-9, -4, 1)), add=5, edit=put(AcquisitionNumber=2))
    result = phantom.read_one()
    assert result.rejection is None
    assert [volume.shape[2] for volume in result.volumes] == [8, 8]
