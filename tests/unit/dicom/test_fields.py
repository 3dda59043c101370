from __future__ import annotations

import math

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from medimg.dicom import fields


def dataset_with(keyword, value, vr="DS", little=True):
    dataset = Dataset()
    tag = Tag(keyword)
    dataset[tag] = RawDataElement(tag, vr, len(value), value, 0, False, little)
    return dataset


@pytest.mark.parametrize(
    ("raw", "numbers"),
    [
        (b"1\\2.5\\-3e2 ", (1.0, 2.5, -300.0)),
        (b"0.12345678901234567890\0", (0.12345678901234568,)),
        (b"1,5\\2,5", (1.5, 2.5)),
        (b"", ()),
        (b"one\\2", ()),
    ],
)
def test_decimal_strings_are_read_leniently(raw, numbers):
    assert fields.numbers(dataset_with("PixelSpacing", raw), "PixelSpacing") == numbers


@pytest.mark.parametrize(
    ("vr", "raw", "little", "value"), [("US", b"\x01\x02", True, 513), ("US", b"\x01\x02", False, 258)]
)
def test_binary_numbers_follow_their_byte_order(vr, raw, little, value):
    assert fields.integer(dataset_with("Rows", raw, vr, little), "Rows") == value


def test_what_is_missing_is_empty():
    assert fields.texts(Dataset(), "ImageType") == ()
    assert fields.number(Dataset(), "RescaleSlope") is None
    assert fields.integer(dataset_with("InstanceNumber", b"1.5", "IS"), "InstanceNumber") is None
    assert fields.human(Dataset(), "SeriesDescription") == ""
    assert len(fields.first_item(Dataset(), "MREchoSequence")) == 0


def test_text_becomes_one_line_in_its_own_character_set():
    dataset = dataset_with("SeriesDescription", "胸部 CT".encode("gb18030"), "LO")
    dataset.SpecificCharacterSet = "GB18030"
    assert fields.human(dataset, "SeriesDescription") == "胸部 CT"


@pytest.mark.parametrize(
    ("raw", "vr", "value"),
    [
        (b"-1024 ", "DS", -1024),
        (b"", "DS", None),
        (b"  \0 ", "DS", None),
        (b"0.5x", "DS", math.nan),
        (b"0.5\\2.0 ", "DS", math.nan),
        (bytes(8), "FD", 0),
        (b"\1\2\3", "FD", math.nan),
    ],
)
def test_a_sole_number_tells_what_is_unreadable_from_what_is_missing(raw, vr, value):
    found = fields.sole_number(dataset_with("RescaleSlope", raw, vr), "RescaleSlope")
    assert found is None if value is None else found == pytest.approx(value, nan_ok=True)
    assert fields.sole_number(Dataset(), "RescaleSlope") is None
