"""A header walked over its bytes: the wanted elements are picked out, everything else is stepped over.

pydicom builds an object for each element it meets; a listing needs a third of them. Here every step is checked
instead: little-endian, known value representations, ascending tags, lengths that end inside the file. What is not
exactly so is left to pydicom, whose answer for a sound file is the same (tests/unit/dicom/test_scan.py).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from typing import BinaryIO

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement, empty_value_for_VR
from pydicom.tag import BaseTag
from pydicom.uid import AllTransferSyntaxes, ExplicitVRBigEndian, ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

FIRST_BYTES = 1 << 14
"""Read at once: longer than most headers of CT and MR images."""

MAX_BYTES = 1 << 22
"""Longer headers are left to pydicom, which does not hold what it skips."""

MAX_VALUE = 1 << 21
"""Wanted elements longer than this, those of undefined length among them, are left to pydicom and to `bounds`."""

META_START = 132
"""Where the file meta group begins: after the preamble and "DICM" (PS3.10 section 7.1)."""

MAX_DEPTH = 16
"""Sequences nested deeper are left to pydicom."""

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
"""Item, Item Delimitation, Sequence Delimitation (PS3.5 section 7.5)."""

LAST_META_TAG = 0x0002FFFF
TRANSFER_SYNTAX, CHARACTER_SET = 0x00020010, 0x00080005
PLAIN_CHARACTER_SET = re.compile(rb"[A-Z0-9_ \\]*")
FIRST_PIXEL_TAG, PIXEL_TAGS = 0x7FE00008, (0x7FE00008, 0x7FE00009, 0x7FE00010)
"""Float, double and integer Pixel Data (PS3.3 section C.7.6.24)."""

SHORT_VRS = {vr.encode(): str(vr) for vr in EXPLICIT_VR_LENGTH_16}
LONG_VRS = {vr.encode(): str(vr) for vr in EXPLICIT_VR_LENGTH_32}
"""Value representations with a two-byte length, and with two reserved bytes and a four-byte length (PS3.5 7.1.2)."""

unpack_explicit, unpack_implicit, unpack_length = (Struct(f).unpack_from for f in ("<HH2sH", "<HHI", "<I"))

LITTLE_ENDIAN = frozenset(uid for uid in AllTransferSyntaxes if uid != ExplicitVRBigEndian and not uid.is_deflated)


class Unusual(Exception):  # noqa: N818 - no error: it sends the file to pydicom
    """The header is not plain; pydicom decides."""


@dataclass(frozen=True)
class Scan:
    """What was picked out. pixel_offset: first byte of the pixel element's own header, None where the file ends first.

    head: the bytes from there on that were read already, twelve of them at least where the file has them.
    """

    elements: dict[BaseTag, DataElement | RawDataElement]
    transfer_syntax: str
    implicit: bool
    pixel_offset: int | None
    head: bytes


def scan(head: bytes, stream: BinaryIO, wanted: Mapping[int, BaseTag]) -> Scan | None:
    """Elements of `wanted` (tag -> the same tag as pydicom's) of a file with preamble; `stream` goes on after `head`.

    None when the header is not plain; the stream is anywhere then.
    """
    try:
        return _Walk(head, stream).run(wanted)
    except Unusual:
        return None


class _Walk:
    """One pass over the bytes, of which more are read as they are needed."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._stream = stream
        self.data = head
        self.implicit = False

    def run(self, wanted: Mapping[int, BaseTag]) -> Scan:
        at, syntax = self._meta()
        if syntax not in LITTLE_ENDIAN:
            raise Unusual
        self.implicit = syntax == ImplicitVRLittleEndian
        if self.implicit and self.data[at + 4 : at + 6].isalpha():
            raise Unusual
        elements, pixels = self._elements(at, wanted)
        return Scan(elements, syntax, self.implicit, pixels, b"" if pixels is None else self.data[pixels : pixels + 12])

    def _meta(self) -> tuple[int, str]:
        """Where the data set begins, and its transfer syntax."""
        at, last, syntax = META_START, 0, ""
        while self._item(at)[0] >> 16 == 2:
            tag, _vr, start, length = self._element(at)
            if tag <= last or length == UNDEFINED or not self.reach(start + length):
                raise Unusual
            if tag == TRANSFER_SYNTAX:
                syntax = self.data[start : start + length].rstrip(b"\0 ").decode("latin-1")
            at, last = start + length, tag
        return at, syntax

    def _elements(
        self, at: int, wanted: Mapping[int, BaseTag]
    ) -> tuple[dict[BaseTag, DataElement | RawDataElement], int | None]:
        """The top level: wanted elements, and where the pixel element begins."""
        elements: dict[BaseTag, DataElement | RawDataElement] = {}
        last = LAST_META_TAG
        while self.reach(at + 1):
            tag, vr, start, length = self._element(at)
            if tag <= last:
                raise Unusual
            if tag >= FIRST_PIXEL_TAG:
                if tag not in PIXEL_TAGS:
                    raise Unusual
                self.reach(at + 12)
                return elements, at
            if tag in wanted:
                elements[wanted[tag]] = self._raw(wanted[tag], vr, start, length)
                at = start + length
            else:
                at = start + length if length != UNDEFINED else self._after_sequence(tag, vr, start, 0)
            at, last = self._short_elements(at, tag, elements, wanted)
        if at != len(self.data):
            raise Unusual
        return elements, None

    def _short_elements(
        self, at: int, last: int, elements: dict[BaseTag, DataElement | RawDataElement], wanted: Mapping[int, BaseTag]
    ) -> tuple[int, int]:
        """Go on over elements with a two-byte length, which most are; whatever else comes is looked at one by one.

        It repeats `_element` and `_raw` in one loop without calls: two thirds of the time of a listing were theirs.
        """
        if self.implicit:
            return at, last
        data = self.data
        size = len(data)
        while at + 12 <= size:
            group, element, code, length = unpack_explicit(data, at)
            tag = group << 16 | element
            end = at + 8 + length
            if code not in SHORT_VRS or not last < tag < FIRST_PIXEL_TAG or end > size:
                break
            if tag in wanted:
                elements[wanted[tag]] = self._raw(wanted[tag], SHORT_VRS[code], at + 8, length)
            at, last = end, tag
        return at, last

    def _raw(self, tag: BaseTag, vr: str | None, start: int, length: int) -> RawDataElement:
        """The element as pydicom holds it unread."""
        if length > MAX_VALUE or not self.reach(start + length):
            raise Unusual
        if int(tag) == CHARACTER_SET:
            self._check_character_set(vr, start, length)
        value = self.data[start : start + length] if length else _empty(vr)
        return RawDataElement(tag, vr, length, value, start, self.implicit, True)

    def _element(self, at: int) -> tuple[int, str | None, int, int]:
        """Tag, value representation (None when implicit), start and length of the value of the element at `at`."""
        data = self.data
        if at + 12 > len(data):
            if not self.reach(at + 8):
                raise Unusual
            data = self.data
        if self.implicit:
            group, element, length = unpack_implicit(data, at)
            return group << 16 | element, None, at + 8, length
        group, element, code, length = unpack_explicit(data, at)
        if code in SHORT_VRS:
            return group << 16 | element, SHORT_VRS[code], at + 8, length
        if code not in LONG_VRS or not self.reach(at + 12):
            raise Unusual
        return group << 16 | element, LONG_VRS[code], at + 12, unpack_length(self.data, at + 8)[0]

    def reach(self, end: int) -> bool:
        """Read on until the bytes up to `end` are there; false where the file ends before."""
        while end > len(self.data):
            if end > MAX_BYTES:
                raise Unusual
            more = self._stream.read(max(len(self.data), end - len(self.data)))
            if not more:
                return False
            self.data += more
        return True

    def _after_sequence(self, tag: int, vr: str | None, at: int, depth: int) -> int:
        """Where a sequence of undefined length ends, `at` its first item; every element in it is stepped over."""
        if depth == MAX_DEPTH or not self._is_sequence(tag, vr, at):
            raise Unusual
        while True:
            item, length = self._item(at)
            at += 8
            if item == SEQUENCE_END and length == 0:
                return at
            if item != ITEM:
                raise Unusual
            at = self._after_item(at, None if length == UNDEFINED else at + length, depth)

    def _after_item(self, at: int, end: int | None, depth: int) -> int:
        """Where an item ends: at `end` exactly, or after its delimiter when that is None."""
        while end is None or at < end:
            if end is None and self._item(at) == (ITEM_END, 0):
                return at + 8
            tag, vr, start, length = self._element(at)
            if tag >> 16 == 0xFFFE:
                raise Unusual
            if tag == CHARACTER_SET:
                self._check_character_set(vr, start, length)
            at = self._after_sequence(tag, vr, start, depth + 1) if length == UNDEFINED else start + length
            if not self.reach(at):
                raise Unusual
        if at != end:
            raise Unusual
        return at

    def _check_character_set(self, vr: str | None, start: int, length: int) -> None:
        """pydicom looks its character sets up as it reads them, and fails where a name cannot be one."""
        if vr not in {None, "CS"} or not self.reach(start + length):
            raise Unusual
        if not PLAIN_CHARACTER_SET.fullmatch(self.data, start, start + length):
            raise Unusual

    def _item(self, at: int) -> tuple[int, int]:
        """Tag and length, as items and delimiters have them in every encoding."""
        if not self.reach(at + 8):
            raise Unusual
        group, element, length = unpack_implicit(self.data, at)
        return group << 16 | element, length

    def _is_sequence(self, tag: int, vr: str | None, at: int) -> bool:
        if vr is not None:
            return vr == "SQ"
        known = _dictionary_vr(tag)
        return known == "SQ" if known is not None else self._item(at)[0] == ITEM


@functools.cache
def _empty(vr: str | None) -> bytes | None:
    """pydicom's value of an element of length 0."""
    value = empty_value_for_VR(vr, raw=True)
    return value if isinstance(value, bytes) else None


def _dictionary_vr(tag: int) -> str | None:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return None
