"""How far a header is read: pydicom believes whatever a file says of its lengths, counts and order.

What goes beyond any scan's header raises ValueError, which `parse` reports as an unreadable file.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_preamble
from pydicom.tag import BaseTag

MAX_HEADER_BYTES = 1 << 27
"""What may be read of one header: 128 MiB, far above any scan's; a hostile one never ends."""

MAX_ELEMENTS = 1 << 14
"""Elements of one header, those in sequences aside: images have a few hundred, a hostile file one in every 8 bytes."""

MAX_HEADER_READS = 1 << 21
"""Reads for one header, sequences included: two or three for each element, of which a frame may have fifty."""

MAX_ITEMS = 1 << 18
"""Items in one sequence, nested ones included: 20,000 frames of a dozen. pydicom takes 1 kB and 30 us for each."""

ITEM_BYTES = {True: b"\xfe\xff\x00\xe0", False: b"\xff\xfe\xe0\x00"}
"""The tag that begins an item, by whether the byte order is little endian (PS3.5 section 7.5)."""


def limited(stream: BinaryIO) -> BinaryIO:
    """The stream, of which no more than MAX_HEADER_BYTES in MAX_HEADER_READS can be read."""
    return cast(BinaryIO, _HeaderFile(stream))


class _HeaderFile:
    """A stream read no further than MAX_HEADER_BYTES and MAX_HEADER_READS, whatever the file claims."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left = MAX_HEADER_BYTES
        self._reads = MAX_HEADER_READS

    def read(self, size: int = -1, /) -> bytes:
        self._reads -= 1
        if size > self._left or self._reads < 0:
            raise ValueError("a header without end")
        data = self._stream.read(size)
        self._left -= len(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def until(at: Callable[[BaseTag], bool]) -> Callable[[BaseTag, str | None, int], bool]:
    """pydicom's stop_when for the first element of which `at` is true. Raises ValueError after MAX_ELEMENTS others."""
    count = itertools.count(1)

    def stop(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        if next(count) > MAX_ELEMENTS:
            raise ValueError("a header without end")
        return at(tag)

    return stop


def step_over_first_groups(stream: BinaryIO) -> None:
    """Go to the data set behind file meta and command elements, which pydicom would read however many there are."""
    stream.seek(0)
    read_preamble(stream, force=True)
    read_dataset(stream, False, True, stop_when=until(lambda tag: tag.group != 2))
    read_dataset(stream, True, True, stop_when=until(lambda tag: tag.group != 0))


def check_items(dataset: Dataset) -> None:
    """Raise ValueError where a sequence, which pydicom takes apart on first use, holds more than MAX_ITEMS."""
    for element in dataset.values():
        if not isinstance(element, RawDataElement) or not isinstance(element.value, bytes):
            continue
        long = len(element.value) > 8 * MAX_ITEMS
        if long and element.value.count(ITEM_BYTES[element.is_little_endian]) > MAX_ITEMS:
            raise ValueError("a sequence without end")
