"""From a file to a pydicom dataset, safely: junk is refused before parsing, deflated files inflate under a cap."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from medimg.dicom import bounds, fields
from medimg.dicom.archive import open_file
from medimg.dicom.scan import FIRST_BYTES, PIXEL_TAGS, scan
from medimg.errors import InputError, Reason

PREAMBLE_BYTES = 128
"""Ignored bytes before the prefix "DICM" (PS3.10 section 7.1)."""

HEAD_BYTES = 1024
"""Enough of a file to hold its meta group's transfer syntax (PS3.10 table 7.1-1)."""

MAX_INFLATED_BYTES = 1 << 29
"""What one deflated file may become: 512 MiB, a 1000-frame 512 x 512 CT; deflate can expand a thousandfold."""

MAX_FIRST_LENGTH = 128
"""A stream without preamble begins with a short element of group 0002 or 0008; longer ones are chance."""

UNDEFINED_LENGTH = 0xFFFFFFFF
"""The length of encapsulated pixel data (PS3.5 section A.4)."""

FIRST_PIXEL_TAG = 0x7FE00008
"""Float Pixel Data, the first of the pixel elements (float, double, integer: PS3.3 section C.7.6.24)."""

LONG_VRS = (b"OB", b"OW", b"UN", b"OF", b"OD")
"""Value representations of pixel data with two reserved bytes and a four-byte length (PS3.5 section 7.1.2)."""

PARSE_ERRORS = (
    InvalidDicomError,
    BytesLengthException,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    MemoryError,
    struct.error,
    zlib.error,
)
"""What pydicom raises on damaged or hostile bytes."""


@dataclass(frozen=True, slots=True)
class PixelBlock:
    """The pixel data element in the file's content (in the inflated content when `deflated`).

    offset: first byte of the value; length: in bytes as the header says, None when encapsulated;
    tag: which pixel element; big_endian: byte order; available: bytes the content holds from `offset` on.
    """

    offset: int
    length: int | None
    available: int
    tag: int
    big_endian: bool
    deflated: bool


@dataclass(frozen=True)
class Header:
    """A dataset without its pixels; `pixels` is None when no pixel element follows.

    has_meta: the file meta group is there; a DICOMDIR names its kind nowhere else (PS3.10 section 7.1).
    """

    dataset: Dataset
    transfer_syntax: str
    pixels: PixelBlock | None
    has_meta: bool


Tags = Mapping[int, BaseTag]
"""What to read of a header: each tag, and the same tag as pydicom's. Made by `wanted`."""


def wanted(tags: Iterable[int]) -> Tags:
    """The tags as `read_header` takes them, with the character set that their text is decoded by."""
    chosen = sorted({fields.tag_of("SpecificCharacterSet"), *tags})
    # those of `fields.tag_of` stay the same objects, under which a dataset finds an element without comparing
    return {int(tag): tag if isinstance(tag, BaseTag) else BaseTag(tag) for tag in chosen}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom's warnings about values that break the standard; medimg judges them itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def mapped(path: Path) -> Iterator[None]:
    """Turn what the file system and pydicom raise on one file into InputError (unreadable)."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(Reason.UNREADABLE, f"{path}: {why}; check the file and its permissions", [path]) from error
    except PARSE_ERRORS as error:
        raise InputError(
            Reason.UNREADABLE, f"{path}: the DICOM data are damaged; copy the file again", [path]
        ) from error


def read_header(path: Path, tags: Tags) -> Header:
    """Read one file's header up to its pixels, keeping `tags` only.

    Raises InputError: not_dicom, unreadable, too_large (inflating).
    """
    with mapped(path), open_file(path) as stream:
        head = stream.read(FIRST_BYTES)
        if not looks_like_dicom(head):
            raise InputError(Reason.NOT_DICOM, f"{path} is not a DICOM file", [path])
        if is_deflated(head[:HEAD_BYTES]):
            return _deflated_header(path, stream, tags)
        return _scanned_header(head, stream, tags) or _parsed_header(stream, tags)


def open_content(path: Path, deflated: bool) -> BinaryIO:
    """The bytes that PixelBlock offsets refer to, as a stream."""
    stream = open_file(path)
    if not deflated:
        return stream
    with stream:
        return _inflated(path, stream)


def looks_like_dicom(head: bytes) -> bool:
    """True for the prefix "DICM", or for a stream that begins with a short element of group 0002 or 0008."""
    if has_prefix(head):
        return True
    if len(head) < 8:
        return False
    return any(_begins_with_identification(head, order) for order in "<>")


def has_prefix(head: bytes) -> bool:
    """True for the prefix "DICM" after a preamble."""
    return head[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == b"DICM"


def is_deflated(head: bytes) -> bool:
    """True when the file meta group names the deflated transfer syntax."""
    return has_prefix(head) and DeflatedExplicitVRLittleEndian.encode() in head


def _begins_with_identification(head: bytes, order: str) -> bool:
    group, _element, length = struct.unpack(f"{order}HHI", head[:8])
    if group not in (0x0002, 0x0008):
        return False
    return (head[4:6].isalpha() and head[4:6].isupper()) or length <= MAX_FIRST_LENGTH


def _scanned_header(head: bytes, stream: BinaryIO, tags: Tags) -> Header | None:
    """The header by `scan`; None for pydicom to read what is not plain."""
    found = scan(head, stream, tags) if has_prefix(head) else None
    if found is None:
        return None
    dataset = Dataset({**found.elements})
    dataset.set_original_encoding(found.implicit, True)
    block = None
    if found.pixel_offset is not None:
        block = _pixel_block(found.head, found.pixel_offset, stream, found.transfer_syntax, deflated=False)
    return Header(dataset, found.transfer_syntax, block, has_meta=True)


def _parsed_header(stream: BinaryIO, tags: Tags) -> Header:
    within = bounds.limited(stream)
    bounds.step_over_first_groups(within)
    within.seek(0)
    dataset = read_partial(within, bounds.until(lambda tag: tag in PIXEL_TAGS), force=True, specific_tags=list(tags))
    bounds.check_items(dataset)
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", "")) or _encoding_as_syntax(dataset)
    start = stream.tell()
    block = _pixel_block(stream.read(12), start, stream, syntax, deflated=False)
    return Header(dataset, syntax, block, has_meta=bool(dataset.file_meta))


def _encoding_as_syntax(dataset: Dataset) -> str:
    implicit, little = dataset.original_encoding
    if implicit:
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian if little else ExplicitVRBigEndian)


def _inflated(path: Path, stream: BinaryIO) -> io.BytesIO:
    """The data set that follows the file meta group, inflated. Raises InputError too_large."""
    if path.stat().st_size > MAX_INFLATED_BYTES:
        raise InputError(Reason.TOO_LARGE, f"{path}: a deflated file larger than any scan; not read", [path])
    stream.seek(PREAMBLE_BYTES + 4)
    read_dataset(stream, False, True, stop_when=bounds.until(lambda tag: tag.group != 2))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = inflater.decompress(stream.read(), MAX_INFLATED_BYTES)
    if inflater.unconsumed_tail:
        limit = f"{MAX_INFLATED_BYTES >> 20} MiB"
        raise InputError(Reason.TOO_LARGE, f"{path}: inflates to more than {limit}; not read", [path])
    return io.BytesIO(data)


def _deflated_header(path: Path, stream: BinaryIO, tags: Tags) -> Header:
    content = _inflated(path, stream)
    within = bounds.limited(content)
    at_pixels = bounds.until(lambda tag: tag >= FIRST_PIXEL_TAG)
    dataset = read_dataset(within, False, True, stop_when=at_pixels, specific_tags=list(tags))
    bounds.check_items(dataset)
    syntax, start = str(DeflatedExplicitVRLittleEndian), content.tell()
    block = _pixel_block(content.read(12), start, content, syntax, deflated=True)
    return Header(dataset, syntax, block, has_meta=True)


def _pixel_block(head: bytes, at: int, stream: BinaryIO, syntax: str, deflated: bool) -> PixelBlock | None:
    """The element whose header of up to twelve bytes, `head`, begins at byte `at`; None when it holds no pixels."""
    big_endian = syntax == ExplicitVRBigEndian
    order = ">" if big_endian else "<"
    if len(head) < 8:
        return None
    group, element = struct.unpack(f"{order}HH", head[:4])
    tag = (group << 16) | element
    if not FIRST_PIXEL_TAG <= tag <= 0x7FE00010:
        return None
    if head[4:6] in LONG_VRS:
        start, raw_length = 12, head[8:12]
    else:
        start, raw_length = 8, head[4:8]
    if len(raw_length) < 4:
        return None
    offset = at + start
    length: Any = struct.unpack(f"{order}I", raw_length)[0]
    end = stream.seek(0, io.SEEK_END)
    return PixelBlock(
        offset=offset,
        length=None if length == UNDEFINED_LENGTH else length,
        available=end - offset,
        tag=tag,
        big_endian=big_endian,
        deflated=deflated,
    )
