"""Pixels of single frames: from bytes to stored integers (rows, columns), whatever the transfer syntax."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from medimg.dicom.archive import open_file
from medimg.dicom.header import PIXEL_DESCRIPTION, Frame, PixelFormat
from medimg.dicom.parse import mapped, open_content, quiet
from medimg.errors import InputError, Reason

PIXEL_KEYWORDS = (*PIXEL_DESCRIPTION, "PixelData")
"""What a codec needs to know; rescaling is left out so that no codec applies it."""

ITK_SYNTAXES = (
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
)
"""What the codecs that SimpleITK brings decode (GDCM)."""

GE_BIG_ENDIAN_PIXELS = UID("1.2.840.113619.5.2")
"""GE's private syntax: a little-endian header before big-endian pixels; read as the header says, they are noise."""


class PixelReader:
    """Reads frames one by one; keeps the last compressed file decoded, so that its frames cost one decoding."""

    def __init__(self) -> None:
        self._decoded: tuple[Path, NDArray[Any]] | None = None

    def words(self, frame: Frame) -> NDArray[Any]:
        """The slice's allocated words, (rows, columns), unsigned, before unused bits are masked.

        Raises InputError: truncated, decode_failed, unsupported_syntax, unreadable, too_large.
        """
        image = self._image(frame)
        tile = frame.tile
        return image if tile is None else image[tile.top :, tile.left :][: tile.rows, : tile.columns]

    def _image(self, frame: Frame) -> NDArray[Any]:
        assert frame.block is not None
        check_syntax(frame)
        if frame.block.length is not None:
            return self._native(frame)
        if self._decoded is None or self._decoded[0] != frame.path:
            self._decoded = (frame.path, _decompress(frame.path, frame.format))
        return np.asarray(self._decoded[1][0 if frame.tile else frame.number])

    def _native(self, frame: Frame) -> NDArray[Any]:
        block, form = frame.block, frame.format
        assert block is not None
        first_bit = 0 if frame.tile else frame.number * form.frame_bits
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


def stored_values(words: NDArray[Any], form: PixelFormat) -> NDArray[Any]:
    """Allocated words to stored values: unused bits off, sign extended (PS3.5 section 8.1.1). Shape kept."""
    bits = words.dtype.itemsize * 8
    typed = words.view(words.dtype.str.replace("u", "i")) if form.signed else words
    if form.stored == bits:
        return typed
    # up to the top, then down again: arithmetic on signed words, so that the sign bit is carried along
    return np.asarray((typed << (bits - 1 - form.high_bit)) >> (bits - form.stored))


def _unpack_12(data: bytes, odd: bool) -> NDArray[np.uint16]:
    """Two 12-bit values in three bytes, low bits first (PS3.5 annex D.1). odd: skip the first half byte."""
    raw = np.frombuffer(data, dtype=np.uint8).astype(np.uint16)
    nibbles = np.empty(2 * len(raw), dtype=np.uint16)
    nibbles[0::2], nibbles[1::2] = raw & 0x0F, raw >> 4
    nibbles = nibbles[1:] if odd else nibbles
    triples = nibbles[: len(nibbles) // 3 * 3].reshape(-1, 3)
    return np.asarray(triples[:, 0] | (triples[:, 1] << 4) | (triples[:, 2] << 8), dtype=np.uint16)


def _decompress(path: Path, form: PixelFormat) -> NDArray[Any]:
    """All frames of an encapsulated file as unsigned words, (frames, rows, columns)."""
    with quiet(), mapped(path), open_file(path) as stream:
        dataset = pydicom.dcmread(stream, force=True)
        try:
            pixels = (
                _with_pydicom(dataset, form) if _pydicom_decodes(form.transfer_syntax) else _with_itk(dataset, form)
            )
        except (RuntimeError, ValueError, AttributeError, OSError, NotImplementedError) as error:
            name = UID(form.transfer_syntax).name
            message = f"{path}: its pixels ({name}) cannot be decoded; decompress the series with another tool"
            raise InputError(Reason.DECODE_FAILED, message, [path]) from error
    words = pixels.reshape(-1, form.rows, form.columns)
    return words.view(f"u{words.dtype.itemsize}")


def check_syntax(frame: Frame) -> None:
    """Raise InputError unsupported_syntax where nothing here can read the frame's pixels."""
    syntax = UID(frame.format.transfer_syntax)
    assert frame.block is not None
    compressed = frame.block.length is None
    known = _pydicom_decodes(syntax) or syntax in ITK_SYNTAXES if compressed else syntax != GE_BIG_ENDIAN_PIXELS
    if not known:
        name = syntax if syntax.name == syntax else f"{syntax.name}, {syntax}"
        message = f"{frame.path.name}: no decoder for its pixels ({name}); decompress the series with another tool"
        raise InputError(Reason.UNSUPPORTED_SYNTAX, message, [frame.path])


@functools.cache
def _pydicom_decodes(syntax: str) -> bool:
    from pydicom.pixels.decoders.base import get_decoder

    try:
        return bool(get_decoder(UID(syntax)).is_available)
    except NotImplementedError:
        return False


def _with_pydicom(dataset: Any, form: PixelFormat) -> NDArray[Any]:
    from pydicom.pixels.utils import pixel_array

    return np.asarray(pixel_array(dataset, raw=True)).astype(f"{_kind(form)}{form.allocated // 8}", copy=False)


def _with_itk(dataset: Any, form: PixelFormat) -> NDArray[Any]:
    """Decode through the codecs SimpleITK brings (JPEG, JPEG-LS, JPEG 2000) from a copy without rescaling."""
    import SimpleITK as sitk

    bare = pydicom.Dataset()
    bare.file_meta = dataset.file_meta
    for keyword in ("SOPClassUID", "SOPInstanceUID", *PIXEL_KEYWORDS):
        if keyword in dataset:
            bare[keyword] = dataset[keyword]
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    with tempfile.TemporaryDirectory(prefix="medimg-") as folder:
        copy = Path(folder) / "frame.dcm"
        bare.save_as(copy, enforce_file_format=True)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(copy))
        array = sitk.GetArrayFromImage(reader.Execute())
    return array.astype(f"{_kind(form)}{form.allocated // 8}", copy=False)


def _kind(form: PixelFormat) -> str:
    return "i" if form.signed else "u"
