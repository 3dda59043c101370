"""Headers that never end: refused after a bounded number of steps, however small each step is."""

from __future__ import annotations

import io
import struct

import pytest

from medimg.dicom import bounds, parse
from medimg.dicom.fields import tag_of
from medimg.errors import InputError, Reason

TAGS = parse.wanted([tag_of("Rows"), tag_of("PerFrameFunctionalGroupsSequence")])
PREFIX = bytes(128) + b"DICM"
META = struct.pack("<HH2sH", 2, 0x10, b"UI", 20) + b"1.2.840.10008.1.2.1\0"
IMPLICIT_META = struct.pack("<HH2sH", 2, 0x10, b"UI", 18) + b"1.2.840.10008.1.2\0"
BIG_ENDIAN_META = struct.pack("<HH2sH", 2, 0x10, b"UI", 20) + b"1.2.840.10008.1.2.2\0"
SEQUENCE = struct.pack("<HH2sHI", 0x5200, 0x9230, b"SQ", 0, 0xFFFFFFFF)
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
SIZE = 1 << 20
"""Of the filling, in bytes: 131,072 elements."""

ENDLESS = {
    "zeros": (PREFIX, bytes(8)),
    "zeros_after_the_meta_group": (PREFIX + META, bytes(8)),
    "meta_elements": (PREFIX, struct.pack("<HH2sH", 2, 0, b"SH", 0)),
    "one_element_again_and_again": (PREFIX + META, struct.pack("<HH2sH", 9, 0, b"SH", 0)),
    "implicit_elements": (PREFIX + IMPLICIT_META, struct.pack("<HHI", 9, 0, 0)),
    "big_endian_elements": (PREFIX + BIG_ENDIAN_META, struct.pack(">HH2sH", 9, 0, b"SH", 0)),
    "without_preamble": (struct.pack("<HHI", 8, 0, 0), struct.pack("<HHI", 8, 0, 0)),
    "empty_items": (PREFIX + META + SEQUENCE, struct.pack("<HHI", 0xFFFE, 0xE000, 0)),
    "elements_of_one_item": (PREFIX + META + SEQUENCE + ITEM, struct.pack("<HH2sH", 9, 0, b"SH", 0)),
}


class Counted(io.BytesIO):
    """Counts how often it is read."""

    reads = 0

    def read(self, size=-1, /):
        self.reads += 1
        return super().read(size)


@pytest.mark.parametrize(("start", "filling"), ENDLESS.values(), ids=ENDLESS)
def test_a_header_without_end_is_refused_after_a_bounded_number_of_elements(monkeypatch, tmp_path, start, filling):
    stream = Counted(start + filling * (SIZE // len(filling)))
    monkeypatch.setattr(parse, "open_file", lambda _path: stream)
    monkeypatch.setattr(bounds, "MAX_HEADER_READS", 3 * bounds.MAX_ELEMENTS)
    with pytest.raises(InputError) as caught:
        parse.read_header(tmp_path / "endless", TAGS)
    assert caught.value.reason is Reason.UNREADABLE
    assert stream.reads < 3 * bounds.MAX_ELEMENTS + 10


@pytest.mark.parametrize("mebibytes", [3, 5])
def test_a_sequence_of_more_items_than_any_scan_has_is_refused_before_it_is_taken_apart(tmp_path, mebibytes):
    """Short enough for the walk over the bytes, and so long that pydicom reads it."""
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * (mebibytes << 17)
    sequence = struct.pack("<HH2sHI", 0x5200, 0x9230, b"SQ", 0, len(items)) + items
    path = tmp_path / "items"
    path.write_bytes(PREFIX + META + sequence)
    with pytest.raises(InputError) as caught:
        parse.read_header(path, TAGS)
    assert caught.value.reason is Reason.UNREADABLE
