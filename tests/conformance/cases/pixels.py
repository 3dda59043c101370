"""How values are stored: bits, signs, scales, padding, and the tables that stand in for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from conformance.cases.case import Expected, Theme, Truth, rejected, volumes
from conformance.cases.phantom import Phantom, line, only, put, raw, stored
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medimg.errors import Reason

cases = Theme("pixels")


def signed(bits: int):
    """Store the values themselves as signed words of so many bits, the bits above them left at 0."""

    def edit(dataset: Dataset, _number: int) -> None:
        values = stored(dataset).astype(np.int32) - 1024
        dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit = 1, bits, bits - 1
        dataset.RescaleIntercept = 0
        dataset.PixelData = (values & ((1 << bits) - 1)).astype("<u2").tobytes()

    return edit


def high_bit_15(dataset: Dataset, _number: int) -> None:
    dataset.BitsStored, dataset.HighBit = 12, 15
    dataset.PixelData = (stored(dataset) << 4).astype("<u2").tobytes()


def soiled(dataset: Dataset, _number: int) -> None:
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.PixelData = (stored(dataset) | 0xA000).astype("<u2").tobytes()


def packed_12(dataset: Dataset, _number: int) -> None:
    low, high = stored(dataset)[0::2], stored(dataset)[1::2]
    triples = np.stack([low & 0xFF, (low >> 8) | ((high & 0x0F) << 4), high >> 4], axis=1).astype(np.uint8)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 12, 12, 11
    dataset.PixelData = triples.tobytes() + b"\0" * (triples.size % 2)


def unsigned_32(dataset: Dataset, _number: int) -> None:
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 32, 32, 31
    dataset.PixelData = stored(dataset).astype("<u4").tobytes()


def signed_32(dataset: Dataset, _number: int) -> None:
    unsigned_32(dataset, 0)
    dataset.PixelRepresentation, dataset.RescaleIntercept = 1, 0
    dataset.PixelData = (np.frombuffer(dataset.PixelData, "<u4").astype("<i4") - 1024).tobytes()


STORED = {
    "12_of_16_bits": put(BitsStored=12, HighBit=11),
    "12_bits_at_the_top": high_bit_15,
    "bits_above_the_stored_ones": soiled,
    "12_bits_packed": packed_12,
    "signed_16_bits": signed(16),
    "signed_12_bits": signed(12),
    "unsigned_32_bits": unsigned_32,
    "signed_32_bits": signed_32,
    "monochrome1": put(PhotometricInterpretation="MONOCHROME1"),
    "trailing_bytes": lambda dataset, _number: setattr(dataset, "PixelData", dataset.PixelData + bytes(64)),
    "trailing_padding_element": put(DataSetTrailingPadding=bytes(500)),
    "signed_in_one_slice": only(3, signed(16)),
    "bits_stored_missing": put(BitsStored=None, HighBit=None),
    "samples_per_pixel_missing": put(SamplesPerPixel=None),
}


@cases.each(**STORED)
def stored_as(scan: Phantom, edit) -> Expected:
    """How the words of the pixels are laid out."""
    scan.slices(line(6), edit=edit)
    return volumes(6)


@cases.case
def eight_bits(scan: Phantom) -> Expected:
    """MR stored in 8 bits, an odd number of bytes a slice."""
    scan.rows, scan.columns = 11, 13

    def edit(dataset: Dataset, _number: int) -> None:
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.RescaleSlope, dataset.RescaleIntercept = 2, -256
        pixels = np.round((stored(dataset) - 1024.0 + 256) / 2)
        assert 0 <= pixels.min() <= pixels.max() < 256
        dataset.PixelData = pixels.astype(np.uint8).tobytes() + b"\0"

    scan.slices(line(6), modality="MR", edit=edit)
    return volumes(Truth(6, tolerance=1.5))


def unscaled_signed(dataset: Dataset, _number: int) -> None:
    signed(16)(dataset, 0)
    del dataset.RescaleSlope, dataset.RescaleIntercept


@cases.each(signed_ct=("CT", unscaled_signed), mr=("MR", unscaled_signed))
def no_rescale(scan: Phantom, how: tuple[str, Any]) -> Expected:
    """No rescaling: stored values are the values."""
    modality, edit = how
    scan.slices(line(6), modality=modality, edit=edit)
    # a CT must say where 0 HU is, whatever the sign of its words; an MR has no unit to say
    return rejected(Reason.NO_RESCALE, guess=True) if modality == "CT" else volumes(6)


NO_UNITS = {
    "everywhere": put(RescaleSlope=None, RescaleIntercept=None),
    "in_one_slice": only(3, put(RescaleSlope=None, RescaleIntercept=None)),
}


@cases.each(**NO_UNITS)
def unsigned_ct_without_rescale(scan: Phantom, edit) -> Expected:
    """A CT of unsigned words without rescaling: nothing says where 0 HU is."""
    scan.slices(line(6), edit=edit)
    return rejected(Reason.NO_RESCALE, guess=True)


def slope_by_slice(dataset: Dataset, number: int) -> None:
    slope = 1.0 if number == 0 else 0.25 * number
    dataset.RescaleSlope = slope
    dataset.PixelData = np.round(stored(dataset) / slope).astype("<u2").tobytes()


@cases.each(pet="PT", mr="MR", ct="CT")
def slope_changes_by_slice(scan: Phantom, modality: str) -> Expected:
    """Every slice has a rescale slope of its own, the first one a whole number."""
    units = {"PT": put(Units="BQML"), "MR": put(), "CT": put(RescaleType="HU")}[modality]

    def edit(dataset: Dataset, number: int) -> None:
        slope_by_slice(dataset, number)
        units(dataset, number)

    scan.slices(line(6), modality=modality, edit=edit)
    return volumes(Truth(6, tolerance=1.2))


@cases.case
def pet_beyond_16_bits(scan: Phantom) -> Expected:
    """PET in Bq/ml: a large slope, values far beyond 16 bits."""

    def edit(dataset: Dataset, number: int) -> None:
        dataset.RescaleIntercept, dataset.Units = 0, "BQML"
        dataset.RescaleSlope = 0.02 + 0.001 * number
        values = 40_000 * 0.02 + (stored(dataset) - 1024.0)
        dataset.PixelData = np.round(values / float(dataset.RescaleSlope)).astype("<u2").tobytes()

    scan.slices(line(6), modality="PT", edit=edit)
    return volumes(Truth(6, add=800, tolerance=0.55))


@cases.case
def philips_private_scale(scan: Phantom) -> Expected:
    """Philips MR: private scale slope and intercept beside the public rescaling, which is the one in use."""

    def edit(dataset: Dataset, _number: int) -> None:
        dataset.Manufacturer = "Philips Medical Systems"
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 0.5, -1024, "normalized"
        dataset.PixelData = (stored(dataset) * 2).astype("<u2").tobytes()
        block = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        block.add_new(0x0D, "FL", 0.0)
        block.add_new(0x0E, "FL", 0.0375)

    scan.slices(line(6), modality="MR", edit=edit)
    return volumes(6)


@cases.case
def negative_slope(scan: Phantom) -> Expected:
    """A slope of -1: the larger the word, the lower the value."""

    def edit(dataset: Dataset, _number: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = -1, 3000
        dataset.PixelData = (3000 - (stored(dataset).astype(int) - 1024)).astype("<u2").tobytes()

    scan.slices(line(6), edit=edit)
    return volumes(6)


SENSELESS = {
    "slope_zero": raw("RescaleSlope", "0"),
    "slope_not_a_number": raw("RescaleSlope", "NaN"),
    "intercept_infinite": raw("RescaleIntercept", "inf"),
}


@cases.each(**SENSELESS)
def senseless_rescale(scan: Phantom, edit) -> Expected:
    """A rescaling that gives no values."""
    scan.slices(line(6), edit=edit)
    return rejected(Reason.NO_RESCALE)


@cases.case
def slope_beyond_floats(scan: Phantom) -> Expected:
    """A slope of 1e60."""
    scan.slices(line(6), edit=raw("RescaleSlope", "1e60"))
    return rejected(Reason.NON_FINITE_VOXELS)


@cases.case
def values_beyond_int16(scan: Phantom) -> Expected:
    """MR of unsigned 16-bit words up to 60000."""

    def edit(dataset: Dataset, _number: int) -> None:
        del dataset.RescaleSlope, dataset.RescaleIntercept
        dataset.PixelData = (stored(dataset) + 58_976).astype("<u2").tobytes()

    scan.slices(line(6), modality="MR", edit=edit)
    return volumes(Truth(6, add=60_000))


def padded(value: int, vr: str, word: int, represent: int = 0):
    def edit(dataset: Dataset, _number: int) -> None:
        words = stored(dataset).copy()
        words[:5] = word
        dataset.PixelRepresentation = represent
        dataset.PixelData = words.tobytes()
        dataset.add_new("PixelPaddingValue", vr, value)

    return edit


PADDING = {
    "minus_2000": padded(-2000, "SS", 63536, represent=1),
    "63536_unsigned": padded(63536, "US", 63536),
    "63536_for_minus_2000": padded(63536, "US", 63536, represent=1),
}


@cases.each(**PADDING)
def padding(scan: Phantom, edit) -> Expected:
    """A CT with padding outside the scanned circle, which is no tissue: air."""
    scan.slices(line(6), edit=edit)
    return volumes(Truth(6, air=True))


@cases.case
def padding_that_is_tissue(scan: Phantom) -> Expected:
    """The padding value is one that tissue has too: nothing may be made air."""
    scan.slices(line(6), edit=lambda dataset, _n: put(PixelPaddingValue=int(stored(dataset)[40]))(dataset, 0))
    return volumes(6)


@cases.case
def modality_lut(scan: Phantom) -> Expected:
    """A lookup table stands in for slope and intercept."""

    def edit(dataset: Dataset, _number: int) -> None:
        table = Dataset()
        table.add_new("LUTDescriptor", "US", [4096, 0, 16])
        table.ModalityLUTType = "HU"
        table.add_new("LUTData", "OW", np.arange(4096, dtype="<u2").tobytes())
        dataset.ModalityLUTSequence = Sequence([table])
        del dataset.RescaleSlope, dataset.RescaleIntercept

    scan.slices(line(6), edit=edit)
    return rejected(Reason.UNSUPPORTED_KIND, excluded=[Reason.UNSUPPORTED_KIND] * 6)


def floats(keyword: str, dtype: str, bits: int):
    def edit(dataset: Dataset, _number: int) -> None:
        setattr(dataset, keyword, (stored(dataset) - 1024.0).astype(dtype).tobytes())
        dataset.BitsAllocated = bits
        del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation

    return edit


@cases.each(single=floats("FloatPixelData", "<f4", 32), double=floats("DoubleFloatPixelData", "<f8", 64))
def float_pixels(scan: Phantom, edit) -> Expected:
    """Pixels are floating-point numbers, which CT and MR images may not be."""
    scan.slices(line(6), edit=edit)
    return rejected(Reason.UNSUPPORTED_KIND, excluded=[Reason.UNSUPPORTED_KIND] * 6)


@cases.case
def one_bit(scan: Phantom) -> Expected:
    """Pixels of one bit."""

    def edit(dataset: Dataset, _number: int) -> None:
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 1, 0
        dataset.PixelData = bytes(40)

    scan.slices(line(6), edit=edit)
    return rejected(Reason.UNSUPPORTED_KIND, excluded=[Reason.UNSUPPORTED_KIND] * 6, harmless=True)


@cases.case
def more_bits_stored_than_allocated(scan: Phantom) -> Expected:
    """20 bits stored in words of 16."""
    scan.slices(line(6), edit=put(BitsStored=20, HighBit=19))
    return rejected(Reason.UNSUPPORTED_KIND, excluded=[Reason.UNSUPPORTED_KIND] * 6)


@cases.case
def empty(scan: Phantom) -> Expected:
    """Every pixel is 0."""
    scan.slices(line(6), edit=put(PixelData=bytes(2 * scan.rows * scan.columns)))
    return rejected(Reason.EMPTY_VOLUME, harmless=True)


@cases.each(everywhere=put(PixelData=None), in_one_slice=only(3, put(PixelData=None)))
def no_pixel_data(scan: Phantom, edit) -> Expected:
    """The pixel data element is missing."""
    scan.slices(line(6), edit=edit)
    return rejected(Reason.TRUNCATED)
