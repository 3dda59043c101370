"""Pixels of single frames: from bytes to stored integers (rows, columns), whatever the transfer syntax."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID, ExplicitVRBigEndian

from medimg.dicom.header import Frame
from medimg.dicom.parse import mapped, open_content
from medimg.dicom.pixels.codec import SYNTAXES
from medimg.dicom.pixels.encapsulated import EncapsulatedFile
from medimg.dicom.pixels.format import PixelFormat
from medimg.dicom.pixels.workers import Decoders, shared
from medimg.errors import InputError, Reason

GE_BIG_ENDIAN_PIXELS = UID("1.2.840.113619.5.2")
"""GE's private syntax: a little-endian header before big-endian pixels; read as the header says, they are noise."""

AHEAD_PER_WORKER = 2
"""Frames in work for each decoding process: one that it decodes, one that waits for it or for the reader."""

AHEAD_BYTES = 1 << 28
"""What frames decoded ahead may take together: 256 MiB, of which a whole window of CT slices needs a few."""

Key = tuple[Path, int]
"""A file and the number of a frame in it."""


class PixelReader:
    """Reads frames one by one. Compressed ones are decoded by other processes, and ahead of time when `expect`ed."""

    def __init__(self, decoders: Decoders | None = None) -> None:
        self._given = decoders
        self._files: dict[Path, EncapsulatedFile] = {}
        self._coming: dict[Key, Frame] = {}
        self._ahead: dict[Key, Future[NDArray[Any]]] = {}
        self._last: tuple[Key, NDArray[Any]] | None = None

    def expect(self, frames: Sequence[Frame]) -> None:
        """Say which frames will be asked for, in this order; earlier announcements are dropped."""
        for future in self._ahead.values():
            future.cancel()
        self._ahead.clear()
        known = (frame for frame in frames if _is_compressed(frame) and frame.format.transfer_syntax in SYNTAXES)
        self._coming = {_key(frame): frame for frame in known}
        self._decode_ahead()

    def words(self, frame: Frame) -> NDArray[Any]:
        """The slice's allocated words, (rows, columns), unsigned, before unused bits are masked.

        Raises InputError: truncated, decode_failed, unsupported_syntax, unreadable, too_large.
        """
        image = self._image(frame)
        tile = frame.tile
        return image if tile is None else image[tile.top :, tile.left :][: tile.rows, : tile.columns]

    def _image(self, frame: Frame) -> NDArray[Any]:
        check_syntax(frame)
        if not _is_compressed(frame):
            return _native(frame)
        key = _key(frame)
        if self._last is None or self._last[0] != key:
            self._last = (key, self._decoded(key, frame))
        return self._last[1]

    def _decoded(self, key: Key, frame: Frame) -> NDArray[Any]:
        self._coming.pop(key, None)
        future = self._ahead.pop(key, None) or self._submit(frame)
        try:
            self._decode_ahead()
            return future.result()
        except BaseException as error:
            future.cancel()
            self.expect(())  # whoever asked will hardly go on
            if isinstance(error, InputError) and not error.files:
                raise _undecodable(frame, error) from error
            raise

    def _decode_ahead(self) -> None:
        """Have as many frames in work as the processes and the memory allow."""
        while self._coming:
            key, frame = next(iter(self._coming.items()))
            room = AHEAD_BYTES // (frame.format.frame_bits // 8 or 1)
            if len(self._ahead) >= min(AHEAD_PER_WORKER * self._decoders.workers, room):
                return
            del self._coming[key]
            self._ahead[key] = self._submit(frame)

    @property
    def _decoders(self) -> Decoders:
        return self._given or shared()

    def _submit(self, frame: Frame) -> Future[NDArray[Any]]:
        assert frame.block is not None
        file = self._files.setdefault(frame.path, EncapsulatedFile(frame.path, frame.block, frame.format))
        fetch = functools.partial(file.frame, _key(frame)[1])
        return self._decoders.submit(fetch, frame.format)


def stored_values(words: NDArray[Any], form: PixelFormat) -> NDArray[Any]:
    """Allocated words to stored values: unused bits off, sign extended (PS3.5 section 8.1.1). Shape kept."""
    bits = words.dtype.itemsize * 8
    typed = words.view(words.dtype.str.replace("u", "i")) if form.signed else words
    if form.stored == bits:
        return typed
    # up to the top, then down again: arithmetic on signed words, so that the sign bit is carried along
    return np.asarray((typed << (bits - 1 - form.high_bit)) >> (bits - form.stored))


def _is_compressed(frame: Frame) -> bool:
    return frame.block is not None and frame.block.length is None


def _key(frame: Frame) -> Key:
    """All tiles of a mosaic lie in the one frame of its file."""
    return (frame.path, 0 if frame.tile else frame.number)


def _native(frame: Frame) -> NDArray[Any]:
    block, form = frame.block, frame.format
    assert block is not None
    first_bit = _key(frame)[1] * form.frame_bits
    size = (first_bit % 8 + form.frame_bits + 7) // 8
    with mapped(frame.path), open_content(frame.path, block.deflated) as content:
        content.seek(block.offset + first_bit // 8)
        data = content.read(size)
    if len(data) < size:
        raise InputError(Reason.TRUNCATED, f"{frame.path} ends before its pixels do; copy it again", [frame.path])
    if form.allocated == 12:
        return _unpack_12(data, odd=first_bit % 8 != 0)[: form.rows * form.columns].reshape(form.rows, form.columns)
    order = ">" if block.big_endian and form.transfer_syntax == ExplicitVRBigEndian else "<"
    words = np.frombuffer(data, dtype=f"{order}u{form.allocated // 8}")
    return words.reshape(form.rows, form.columns).astype(words.dtype.newbyteorder("="), copy=False)


def _unpack_12(data: bytes, odd: bool) -> NDArray[np.uint16]:
    """Two 12-bit values in three bytes, low bits first (PS3.5 annex D.1). odd: skip the first half byte."""
    raw = np.frombuffer(data, dtype=np.uint8).astype(np.uint16)
    nibbles = np.empty(2 * len(raw), dtype=np.uint16)
    nibbles[0::2], nibbles[1::2] = raw & 0x0F, raw >> 4
    nibbles = nibbles[1:] if odd else nibbles
    triples = nibbles[: len(nibbles) // 3 * 3].reshape(-1, 3)
    return np.asarray(triples[:, 0] | (triples[:, 1] << 4) | (triples[:, 2] << 8), dtype=np.uint16)


def check_syntax(frame: Frame) -> None:
    """Raise InputError unsupported_syntax where nothing here can read the frame's pixels."""
    syntax = UID(frame.format.transfer_syntax)
    known = syntax in SYNTAXES if _is_compressed(frame) else syntax != GE_BIG_ENDIAN_PIXELS
    if not known:
        name = syntax if syntax.name == syntax else f"{syntax.name}, {syntax}"
        message = f"{frame.path.name}: no decoder for its pixels ({name}); decompress the series with another tool"
        raise InputError(Reason.UNSUPPORTED_SYNTAX, message, [frame.path])


def _undecodable(frame: Frame, error: InputError) -> InputError:
    """The decoder's failure, with the file it was about."""
    which = f" of frame {frame.number + 1}" if frame.format.frames > 1 else ""
    name = SYNTAXES[frame.format.transfer_syntax].name
    message = f"{frame.path}: the pixels{which} ({name}) cannot be decoded: {error}; copy it again, or decompress it"
    return InputError(error.reason, message, [frame.path])
