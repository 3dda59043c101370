"""From stored values to values: a rescaling that is missing or unreadable, padding by range, words of 32 bits."""

from __future__ import annotations

import numpy as np
import pytest
from conformance.cases.enhanced import Slice, enhanced
from conformance.cases.phantom import only, put, raw, stored
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

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


PAD, LIMIT = -2000, -1500


def padded_rows(syntax, vr, represent):
    """An edit: the first two rows are padding, described by both ends of a range that holds no HU of tissue."""

    def edit(dataset, number):
        offset = 0 if represent else 4096
        dataset.PixelRepresentation, dataset.RescaleIntercept = represent, -offset
        values = stored(dataset).astype(np.int64).reshape(dataset.Rows, dataset.Columns) - 1024 + offset
        values[:1], values[1:2] = PAD + offset, LIMIT + offset
        dataset.PixelData = values.astype("<u2").tobytes()
        dataset.file_meta.TransferSyntaxUID = syntax
        for keyword, end in (("PixelPaddingValue", PAD), ("PixelPaddingRangeLimit", LIMIT)):
            dataset.add_new(keyword, vr, end + offset if vr == "SS" else (end + offset) % 65536)

    return edit


PADDED = {
    "explicit": padded_rows(ExplicitVRLittleEndian, "SS", 1),
    "implicit": padded_rows(ImplicitVRLittleEndian, "SS", 1),
    "as_unsigned": padded_rows(ExplicitVRLittleEndian, "US", 1),
    "of_unsigned_words": padded_rows(ExplicitVRLittleEndian, "US", 0),
}


@pytest.mark.parametrize("edit", PADDED.values(), ids=PADDED)
def test_a_padding_range_is_air_however_its_ends_are_written(phantom, positions, edit):
    phantom.slices(positions(5), edit=edit)
    (volume,) = phantom.read_one().volumes
    assert np.unique(volume.array[:, -2:]).tolist() == [-1000]
    assert volume.array[:, :-2].min() > -1000


def test_values_of_a_padding_range_that_tissue_has_too_are_left(phantom, positions, world_error):
    """The range is -2000 to -50 HU: what is air by its value becomes air, fat and lung stay."""

    def edit(dataset, _number):
        signed(dataset, 0)
        dataset.PixelData = np.concatenate([[PAD], np.frombuffer(dataset.PixelData, "<i2")[1:]]).astype("<i2").tobytes()
        dataset.add_new("PixelPaddingValue", "SS", PAD)
        dataset.add_new("PixelPaddingRangeLimit", "SS", -50)

    phantom.slices(positions(5), edit=edit)
    (volume,) = phantom.read_one().volumes
    assert set(volume.array[0, -1]) == {-1000}
    volume.array[0, -1] = volume.array[0, -2] - np.round(2 * 3.0)
    assert world_error(volume) == 0


def words_32(base, represent=0):
    """An edit: the field's values + `base` as stored words of 32 bits, without rescaling."""

    def edit(dataset, _number):
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 32, 32, 31
        dataset.PixelRepresentation = represent
        values = stored(dataset).astype(np.int64) - 1024 + base
        dataset.PixelData = values.astype("<i4" if represent else "<u4").tobytes()
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0

    return edit


@pytest.mark.parametrize(
    ("base", "dtype"), [(60_000, np.float32), ((1 << 26) + 1, np.int32), ((1 << 31) + 5001, np.float64)]
)
def test_whole_numbers_are_exact_however_large(phantom, positions, world_error, base, dtype):
    phantom.slices(positions(5), modality="MR", edit=words_32(base))
    (volume,) = phantom.read_one().volumes
    assert volume.array.dtype == dtype
    assert world_error(volume, add=base) == 0


def test_slices_before_the_first_large_value_stay_exact(phantom, positions):
    levels = [0, 60_000, (1 << 26) + 1, 1 << 31, 1]
    phantom.slices(positions(5), modality="MR", edit=lambda dataset, n: words_32(levels[n] + 1000)(dataset, n))
    (volume,) = phantom.read_one().volumes
    corner = np.asarray(volume.array[0, -1], dtype=np.float64) - np.array(levels)
    assert corner.tolist() == [phantom.truth(np.array(place)) + 1000 for place in positions(5)]


@pytest.mark.parametrize("slope", [1.0, 0.5])
def test_an_intercept_that_cancels_large_words_loses_nothing(phantom, positions, world_error, slope):
    base = (1 << 26) + 2

    def edit(dataset, _number):
        words_32(base)(dataset, 0)
        words = np.frombuffer(dataset.PixelData, "<u4").astype(np.int64)
        dataset.PixelData = (base + (words - base) / slope).astype("<u4").tobytes()
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, -base * slope

    phantom.slices(positions(5), modality="PT", edit=edit)
    (volume,) = phantom.read_one().volumes
    assert volume.array.dtype == (np.int16 if slope == 1 else np.float32)
    assert world_error(volume) == 0
