"""Where the frames of a compressed file lie: fragments, and the offset tables that tell which frame each belongs to."""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from medimg.dicom.fields import tag_of
from medimg.dicom.parse import PixelBlock, mapped, open_content, read_header, wanted
from medimg.dicom.pixels.codestream import END_OF_IMAGE
from medimg.dicom.pixels.format import PixelFormat
from medimg.errors import InputError, Reason

ITEM = b"\xfe\xff\x00\xe0"
"""The item tag before each fragment; encapsulated data are little endian (PS3.5 section A.4)."""

SEQUENCE_END = b"\xfe\xff\xdd\xe0"
"""The sequence delimiter after the last fragment."""

MAX_FRAGMENTS = 1 << 20
"""More than any scan has; reading on would take minutes."""

END_BYTES = 10
"""An end marker stands within so many bytes of a frame's end; padding follows it (as pydicom looks for it)."""

MAX_GROWTH = 4
"""A compressed frame may be this many times its native size, and ..."""

MAX_HEADER_BYTES = 1 << 20
"""... this much longer: what a codestream's own header, tables and comments may take."""

EXTENDED_OFFSETS = "ExtendedOffsetTable"

Span = tuple[int, int]
"""Offset and length in bytes of one fragment in the file."""


class EncapsulatedFile:
    """The compressed frames of one file. What it knows of their places is kept, so that each is found once."""

    def __init__(self, path: Path, block: PixelBlock, form: PixelFormat) -> None:
        self._path, self._block, self._form = path, block, form
        self._lock = threading.Lock()
        self._frames: list[list[Span]] | None = None

    def frame(self, number: int) -> bytes:
        """The codestream of one frame, its fragments joined.

        Raises InputError: truncated, decode_failed (damaged encapsulation), too_large, unreadable.
        """
        with mapped(self._path), open_content(self._path, self._block.deflated) as stream:
            with self._lock:
                if self._frames is None:
                    self._frames = self._find(stream)
            spans = self._frames[number]
            limit = MAX_GROWTH * self._form.frame_bits // 8 + MAX_HEADER_BYTES
            if sum(length for _offset, length in spans) > limit:
                message = f"{self._path}: a compressed frame is larger than {limit >> 20} MiB; copy it again"
                raise InputError(Reason.TOO_LARGE, message, [self._path])
            return b"".join(self._read(stream, offset, length) for offset, length in spans)

    def _find(self, stream: BinaryIO) -> list[list[Span]]:
        """Fragments of every frame."""
        first, *fragments = self._items(stream)
        count = self._form.frames
        if count == 1 and fragments:
            return [fragments]
        origin = first[0] + first[1]
        starts = self._extended_offsets() or _unpacked(self._read(stream, *first), "I")
        frames = _by_table([start + origin + 8 for start in starts], fragments)
        if frames is None and len(fragments) == count:
            frames = [[fragment] for fragment in fragments]
        if frames is None and len(fragments) > count:
            frames = self._by_end_marker(stream, fragments)
        if frames is None or len(frames) != count:
            raise self._damaged(f"its {len(fragments)} fragments make no {count} frames")
        return frames

    def _items(self, stream: BinaryIO) -> list[Span]:
        """Every item: the basic offset table, then the fragments. At least the table."""
        items: list[Span] = []
        offset = self._block.offset
        end = offset + self._block.available
        while True:
            stream.seek(offset)
            head = stream.read(9)
            if len(head) < 8 or head[:4] == SEQUENCE_END:
                break
            if head[:4] != ITEM and head[1:5] in (ITEM, SEQUENCE_END) and items and items[-1][1] % 2:
                offset += 1  # padding that the length of an odd fragment leaves out
                continue
            (length,) = struct.unpack("<I", head[4:8])
            if head[:4] != ITEM or len(items) > MAX_FRAGMENTS:
                raise self._damaged("its fragments are damaged")
            if offset + 8 + length > end:
                raise self._truncated()
            items.append((offset + 8, length))
            offset += 8 + length
        if not items:
            raise self._truncated()
        return items

    def _by_end_marker(self, stream: BinaryIO, fragments: Sequence[Span]) -> list[list[Span]]:
        """Frames that end where a fragment ends with the marker of JPEG, JPEG-LS and JPEG 2000."""
        frames: list[list[Span]] = [[]]
        for offset, length in fragments:
            frames[-1].append((offset, length))
            tail = min(length, END_BYTES)
            if END_OF_IMAGE in self._read(stream, offset + length - tail, tail):
                frames.append([])
        return frames if frames[-1] else frames[:-1]

    def _extended_offsets(self) -> tuple[int, ...]:
        """Offsets of the frames in 64 bits (PS3.3 section C.7.6.3.1.8); () where the file has none."""
        dataset = read_header(self._path, wanted([tag_of(EXTENDED_OFFSETS)])).dataset
        return _unpacked(bytes(dataset.get(EXTENDED_OFFSETS) or b""), "Q")

    def _read(self, stream: BinaryIO, offset: int, length: int) -> bytes:
        stream.seek(offset)
        data = stream.read(length)
        if len(data) < length:
            raise self._truncated()
        return data

    def _truncated(self) -> InputError:
        return InputError(Reason.TRUNCATED, f"{self._path} ends before its pixels do; copy it again", [self._path])

    def _damaged(self, what: str) -> InputError:
        return InputError(Reason.DECODE_FAILED, f"{self._path}: {what}; copy it again", [self._path])


def _unpacked(table: bytes, code: str) -> tuple[int, ...]:
    count = len(table) // struct.calcsize(code)
    return struct.unpack_from(f"<{count}{code}", table)


def _by_table(starts: Sequence[int], fragments: Sequence[Span]) -> list[list[Span]] | None:
    """Fragments of each frame by where it starts; None where the table is empty or names places between fragments."""
    index = {offset: number for number, (offset, _length) in enumerate(fragments)}
    if not starts or len(set(starts)) != len(starts) or not index.keys() >= set(starts):
        return None
    bounds = [*sorted(index[start] for start in starts), len(fragments)]
    if bounds[0] != 0:
        return None
    spans = {begin: list(fragments[begin:end]) for begin, end in pairwise(bounds)}
    return [spans[index[start]] for start in starts]
