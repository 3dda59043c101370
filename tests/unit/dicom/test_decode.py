from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from compressed import UID, jpeg_2000, pixel_format, put
from pydicom.encaps import encapsulate

from medimg.dicom.decode import AHEAD_PER_WORKER, PixelReader, stored_values
from medimg.dicom.discover import discover
from medimg.dicom.header import Frame, Tile
from medimg.dicom.parse import looks_like_dicom, read_header
from medimg.dicom.pixels.format import PixelFormat
from medimg.dicom.pixels.workers import Decoders
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
    assert caught.value.reason is Reason.TRUNCATED


class Counted(Decoders):
    """Remembers which frames were decoded, in order."""

    def __init__(self, workers):
        super().__init__(workers)
        self.submitted = []

    def submit(self, fetch, form):
        self.submitted.append((fetch.func.__self__, fetch.args[0]))
        return super().submit(fetch, form)


@pytest.fixture
def counted():
    decoders = Counted(2)
    yield decoders
    decoders.close()


JPEG_2000 = UID + "4.90"


def multi_frame(path, count):
    """A file of `count` compressed frames, as Frames, and their values."""
    values = np.random.default_rng(0).integers(0, 4096, (count, 20, 30)).astype("u2")
    pixels = encapsulate([jpeg_2000(frame, 12) for frame in values])
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    put(dataset, JPEG_2000, pixels)
    dataset.save_as(path, enforce_file_format=False)
    form = replace(pixel_format(values[0], JPEG_2000, 12), frames=count)
    block = read_header(path, [0x00280010]).pixels
    return [Frame(path, number, "2.25.1", "", form, block) for number in range(count)], values


def test_frames_that_are_announced_are_decoded_ahead_by_a_few(tmp_path, counted):
    frames, values = multi_frame(tmp_path / "a", 30)
    reader = PixelReader(counted)
    reader.expect(frames)
    window = AHEAD_PER_WORKER * counted.workers
    for done, frame in enumerate(frames):
        assert len(counted.submitted) == min(done + window, 30)
        np.testing.assert_array_equal(reader.words(frame), values[done])
    assert [number for _file, number in counted.submitted] == list(range(30))
    assert len({id(file) for file, _number in counted.submitted}) == 1


def test_frames_may_be_asked_for_in_another_order_than_announced(tmp_path, counted):
    frames, values = multi_frame(tmp_path / "a", 12)
    reader = PixelReader(counted)
    reader.expect(frames)
    for number in (7, 0, 11, 3, 1, 2):
        np.testing.assert_array_equal(reader.words(frames[number]), values[number])
    reader.expect(frames[4:6])
    np.testing.assert_array_equal(reader.words(frames[4]), values[4])


def test_a_frame_that_fails_is_named_and_others_can_still_be_read(tmp_path, counted):
    frames, values = multi_frame(tmp_path / "a", 6)
    data = bytearray((tmp_path / "a").read_bytes())
    start = [match.start() for match in re.finditer(b"\xff\x4f\xff\x51", data)][2]
    data[start + 8 : start + 12] = b"\0\0\0\x09"
    (tmp_path / "a").write_bytes(data)
    reader = PixelReader(counted)
    reader.expect(frames)
    for number in (0, 1):
        np.testing.assert_array_equal(reader.words(frames[number]), values[number])
    with pytest.raises(InputError, match=r"the pixels of frame 3 .JPEG 2000 lossless. cannot be decoded") as caught:
        reader.words(frames[2])
    assert (caught.value.reason, caught.value.files) == (Reason.DECODE_FAILED, (tmp_path / "a",))
    np.testing.assert_array_equal(reader.words(frames[5]), values[5])


def test_the_tiles_of_a_mosaic_cost_one_decoding(tmp_path, counted):
    (whole,), values = multi_frame(tmp_path / "a", 1)
    tiles = [replace(whole, number=n, tile=Tile(n * 10, 15, 10, 15)) for n in (0, 1)]
    reader = PixelReader(counted)
    reader.expect(tiles)
    for number, tile in enumerate(tiles):
        np.testing.assert_array_equal(reader.words(tile), values[0, number * 10 :][:10, 15:])
    assert len(counted.submitted) == 1


def test_a_compressed_frame_far_larger_than_its_pixels_is_not_read(tmp_path, counted):
    (frame,), _values = multi_frame(tmp_path / "a", 1)
    assert frame.block is not None
    pixels = encapsulate([bytes(3 << 20)])
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[: frame.block.offset] + pixels)
    frame = replace(frame, block=replace(frame.block, available=len(pixels)))
    with pytest.raises(InputError, match="larger than 1 MiB") as caught:
        PixelReader(counted).words(frame)
    assert caught.value.reason is Reason.TOO_LARGE


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
