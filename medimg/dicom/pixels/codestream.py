"""What a JPEG, JPEG-LS or JPEG 2000 codestream says of itself, read from its markers without decoding it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

START_OF_IMAGE = b"\xff\xd8"
"""The first marker of JPEG (ITU-T T.81 table B.1) and JPEG-LS (ITU-T T.87)."""

END_OF_IMAGE = b"\xff\xd9"
"""The last marker of JPEG and JPEG-LS, and of JPEG 2000 (ITU-T T.800 table A.1); bit stuffing keeps it out of data."""

START_OF_CODESTREAM = b"\xff\x4f\xff\x51"
"""JPEG 2000: start of codestream, then always the image and tile size marker (ITU-T T.800 section A.3)."""

JP2_SIGNATURE = b"\0\0\0\x0cjP  "
"""The first box of a JP2 file (ITU-T T.800 section I.5.1); the standard wants bare codestreams, some writers do not."""

FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
"""Second bytes of the start of frame markers of JPEG (T.81 table B.1) and JPEG-LS (0xF7)."""

WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
"""Second bytes of markers that stand alone."""


@dataclass(frozen=True)
class Codestream:
    """Image size, components, bits a sample, sign, and whether the end marker follows the header."""

    rows: int
    columns: int
    components: int
    bits: int
    signed: bool
    complete: bool


def describe(data: bytes) -> Codestream:
    """Read the header of a codestream. Raises ValueError where there is none."""
    try:
        if data.startswith(START_OF_IMAGE):
            return _jpeg(data)
        return _jpeg_2000(data, _start_of_codestream(data))
    except (struct.error, IndexError) as error:
        raise ValueError("its codestream ends within its header") from error


def _jpeg(data: bytes) -> Codestream:
    offset = len(START_OF_IMAGE)
    while True:
        if data[offset] != 0xFF:
            raise ValueError("its codestream has no frame header")
        code = data[offset + 1]
        if code in FRAME_HEADERS:
            bits, rows, columns, components = struct.unpack_from(">BHHB", data, offset + 4)
            complete = data.find(END_OF_IMAGE, offset) > 0
            return Codestream(rows, columns, components, bits, False, complete)
        if code == 0xFF:  # fill byte
            offset += 1
        elif code in WITHOUT_LENGTH:
            offset += 2
        else:
            (length,) = struct.unpack_from(">H", data, offset + 2)
            offset += 2 + length


def _start_of_codestream(data: bytes) -> int:
    if not data.startswith(JP2_SIGNATURE):
        return 0
    offset = 0
    while data[offset + 4 : offset + 8] != b"jp2c":
        (length,) = struct.unpack_from(">I", data, offset)
        if length < 8:
            raise ValueError("its JP2 boxes are damaged")
        offset += length
    return offset + 8


def _jpeg_2000(data: bytes, offset: int) -> Codestream:
    if data[offset : offset + 4] != START_OF_CODESTREAM:
        raise ValueError("it holds no codestream of its transfer syntax")
    right, bottom, left, top = struct.unpack_from(">4I", data, offset + 8)
    components, depth = struct.unpack_from(">HB", data, offset + 40)
    return Codestream(
        rows=bottom - top,
        columns=right - left,
        components=components,
        bits=(depth & 0x7F) + 1,
        signed=bool(depth & 0x80),
        complete=data.find(END_OF_IMAGE, offset + 42) > 0,
    )
