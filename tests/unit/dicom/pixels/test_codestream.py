from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from compressed import jpeg, jpeg_2000, jpegls

from medimg.dicom.pixels.codestream import Codestream, describe

values = np.arange(192, dtype="u2").reshape(12, 16)


@pytest.mark.parametrize("encode", [jpeg, jpegls, jpeg_2000])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_codestream_says_its_size_and_its_bits(encode, bits):
    pixels = values.astype("u1") if bits == 8 else values
    assert describe(encode(pixels, bits)) == Codestream(12, 16, 1, bits, False, True)


def test_a_jpeg_2000_codestream_says_its_sign():
    assert describe(jpeg_2000(values.astype("i2") - 5, 12)).signed


def test_colour_is_told_by_its_components():
    assert describe(imagecodecs.jpeg8_encode(np.zeros((3, 4, 3), "u1"))).components == 3


def test_boxes_and_fill_bytes_before_the_header_are_passed_over():
    boxed = imagecodecs.jpeg2k_encode(values, codecformat="jp2", bitspersample=12)
    assert boxed.startswith(b"\0\0\0\x0cjP  ")
    assert describe(boxed) == Codestream(12, 16, 1, 12, False, True)
    stream = jpeg(values, 12)
    assert describe(stream[:2] + b"\xff\xff" + stream[2:]) == describe(stream)


def test_a_stream_without_its_end_is_not_complete():
    assert not describe(jpeg(values, 12)[:-2]).complete
    assert not describe(jpeg_2000(values, 12)[:-2]).complete


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no codestream of its transfer syntax"),
        (b"hello", "no codestream of its transfer syntax"),
        (b"\xff\xd8", "ends within its header"),
        (b"\xff\xd8\xff\xd9", "ends within its header"),
        (b"\xff\xd8\x00\x00\x00", "no frame header"),
        (b"\xff\x4f\xff\x51\x00\x29", "ends within its header"),
        (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\0box ", "boxes are damaged"),
    ],
)
def test_what_has_no_header_is_refused(data, why):
    with pytest.raises(ValueError, match=why):
        describe(data)
