"""From stored values to values: a rescaling that is missing or unreadable."""

from __future__ import annotations

import pytest
from conformance.cases.enhanced import Slice, enhanced
from conformance.cases.phantom import only, put, raw, stored

from medimg.dicom.discover import discover
from medimg.dicom.options import ReadOptions
from medimg.dicom.series import outline_series, read_series
from medimg.errors import Reason

NO_PET_SLOPE = {
    "absent": put(RescaleSlope=None),
    "absent_in_one_slice": only(2, put(RescaleSlope=None)),
    "empty": raw("RescaleSlope", ""),
    "junk": raw("RescaleSlope", "0.5x"),
    "junk_in_one_slice": only(2, raw("RescaleSlope", "0.5x")),
    "two_values": raw("RescaleSlope", "0.5\\2"),
}


def refusal(phantom, options=None):
    """The reason for which the phantom's one series is refused, by its headers and by its pixels alike."""
    (series,) = discover(phantom.folder).series
    given = () if options is None else (options,)
    rejections = [way(series, *given).rejection for way in (read_series, outline_series)]
    reasons = {rejection.reason if rejection else None for rejection in rejections}
    assert len(reasons) == 1
    return reasons.pop()


def signed(dataset, _number):
    dataset.PixelRepresentation, dataset.RescaleIntercept = 1, 0
    dataset.PixelData = (stored(dataset).astype("<i2") - 1024).tobytes()


def both(*edits):
    def edit(dataset, number):
        for each in edits:
            each(dataset, number)

    return edit


@pytest.mark.parametrize("edit", NO_PET_SLOPE.values(), ids=NO_PET_SLOPE)
def test_a_pet_without_a_readable_slope_is_refused(phantom, positions, edit):
    phantom.slices(positions(5), modality="PT", edit=edit)
    assert refusal(phantom) is Reason.NO_RESCALE


NO_CT_INTERCEPT = {
    "absent": put(RescaleIntercept=None),
    "absent_in_one_slice": only(2, put(RescaleIntercept=None)),
    "empty": raw("RescaleIntercept", ""),
    "junk": raw("RescaleIntercept", "-1024HU"),
}


@pytest.mark.parametrize("sign", [put(), signed], ids=["unsigned", "signed"])
@pytest.mark.parametrize("edit", NO_CT_INTERCEPT.values(), ids=NO_CT_INTERCEPT)
def test_a_ct_without_a_readable_intercept_is_refused_whatever_its_sign(phantom, positions, sign, edit):
    phantom.slices(positions(5), edit=both(sign, edit))
    assert refusal(phantom) is Reason.NO_RESCALE


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("which", [only(2, raw("RescaleSlope", "1")), None], ids=["in_one_slice", "everywhere"])
def test_an_mr_whose_rescaling_is_no_number_is_refused(phantom, positions, keyword, which):
    junk = raw(keyword, "--500")
    phantom.slices(positions(5), modality="MR", edit=only(2, junk) if which else junk)
    assert refusal(phantom) is Reason.NO_RESCALE


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("modality", ["MR", "PT", "CT"])
def test_a_rescaling_that_some_slices_have_and_others_lack_is_refused(phantom, positions, modality, keyword):
    phantom.slices(positions(5), modality=modality, edit=only(2, put(**{keyword: None})))
    assert refusal(phantom) is Reason.NO_RESCALE


def test_an_enhanced_pet_with_one_frame_without_its_transformation_is_refused(phantom, positions):
    def bare(whole):
        groups = whole.PerFrameFunctionalGroupsSequence
        assert "PixelValueTransformationSequence" in groups[2]
        del groups[2].PixelValueTransformationSequence

    path = enhanced(phantom, [Slice(place, slope=0.5) for place in positions(5)], modality="PT")
    rewritten(path, bare)
    assert refusal(phantom) is Reason.NO_RESCALE


def rewritten(path, edit):
    import pydicom

    whole = pydicom.dcmread(path)
    edit(whole)
    whole.save_as(path)


def test_an_mr_without_any_rescaling_holds_its_stored_values(phantom, positions, world_error):
    phantom.slices(positions(5), modality="MR", edit=both(signed, put(RescaleSlope=None, RescaleIntercept=None)))
    (volume,) = phantom.read_one().volumes
    assert world_error(volume) == 0


def test_philips_values_are_not_made_of_a_rescaling_that_one_slice_lacks(phantom, positions):
    def philips(dataset, _number):
        dataset.Manufacturer = "Philips Medical Systems"
        dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x0E, "FL", 0.5)

    phantom.slices(positions(5), modality="MR", edit=both(philips, only(2, put(RescaleSlope=None))))
    assert refusal(phantom, ReadOptions(philips_precise=True)) is Reason.NO_RESCALE
