from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from medimg.dicom.decode import PixelReader, stored_values
from medimg.dicom.discover import discover
from medimg.dicom.parse import looks_like_dicom
from medimg.dicom.pixels.format import PixelFormat
from medimg.errors import InputError, Reason


def form(stored, high_bit, signed):
    return PixelFormat(1, 1, 16, stored, high_bit, signed, "1.2.840.10008.1.2.1")


@pytest.mark.parametrize(
    ("word", "layout", "value"),
    [
        (0xFFFE, form(16, 15, True), -2),
        (0xFFFE, form(16, 15, False), 65534),
        (0xA801, form(12, 11, False), 0x801),
        (0xA801, form(12, 11, True), 0x801 - 4096),
        (0x8017, form(12, 15, False), 0x801),
        (0x8017, form(12, 15, True), 0x801 - 4096),
    ],
)
def test_stored_values_follow_high_bit_and_sign(word, layout, value):
    assert stored_values(np.array([[word]], np.uint16), layout).tolist() == [[value]]


@pytest.mark.parametrize("codec", ["JPEG2000", "JPEG"])
def test_compressed_pixels_are_decoded_without_loss(tmp_path: Path, codec):
    values = (np.arange(64 * 48).reshape(48, 64) * 7 % 4000).astype(np.int16) - 1024
    image = sitk.GetImageFromArray(values[None])
    for tag, value in {"0008|0060": "CT", "0020|0032": "0\\0\\0", "0020|000d": "2.25.1", "0020|000e": "2.25.2"}.items():
        image.SetMetaData(tag, value)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(tmp_path / "a.dcm"))
    writer.UseCompressionOn()
    writer.SetCompressor(codec)
    writer.Execute(image)
    (series,) = discover(tmp_path).series
    (frame,) = series.frames
    assert frame.block is not None
    assert frame.block.length is None
    decoded = stored_values(PixelReader().words(frame), frame.format)
    np.testing.assert_array_equal(decoded * (frame.slope or 1) + (frame.intercept or 0), values)


def test_damaged_compressed_pixels_are_refused_by_name(tmp_path: Path):
    test_compressed_pixels_are_decoded_without_loss(tmp_path, "JPEG2000")
    path = tmp_path / "a.dcm"
    (series,) = discover(tmp_path).series
    block = series.frames[0].block
    assert block is not None
    path.write_bytes(path.read_bytes()[: block.offset + 40])
    with pytest.raises(InputError, match=r"a\.dcm") as caught:
        PixelReader().words(series.frames[0])
    assert caught.value.reason in {Reason.DECODE_FAILED, Reason.UNREADABLE}


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (b"\0" * 128 + b"DICM", True),
        (b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100", True),
        (b"\x08\x00\x00\x00\x04\x00\x00\x00\x10\x00\x00\x00", True),
        (b"\x08\x00\x05\x00\xff\xff\xff\x00", False),
        (b"hello, world", False),
        (b"", False),
    ],
)
def test_dicom_is_told_from_junk_by_its_first_bytes(head, answer):
    assert looks_like_dicom(head) is answer
