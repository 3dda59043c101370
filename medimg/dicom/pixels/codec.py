"""One compressed frame to allocated words, through imagecodecs. Runs in the decoding processes; heavy imports stay out.

A codestream and the header beside it describe the same pixels twice. Where the two differ in size, or leave open which
values are meant, the frame is refused; PS3.5 section 8.2 has the codestream's own description decide how it is decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.dicom.pixels.codestream import Codestream, describe
from medimg.dicom.pixels.format import PixelFormat

MAX_JPEG_2000_BITS = 24
"""OpenJPEG computes in 32 bits: beyond 24 bits a sample, noise comes back changed without an error (measured)."""

Decode = Callable[[bytes, PixelFormat], NDArray[Any]]


def _jpeg(data: bytes, _form: PixelFormat) -> NDArray[Any]:
    from imagecodecs import jpeg8_decode

    return np.asarray(jpeg8_decode(data))


def _jpeg_ls(data: bytes, _form: PixelFormat) -> NDArray[Any]:
    from imagecodecs import jpegls_decode

    return np.asarray(jpegls_decode(data))


def _jpeg_2000(data: bytes, _form: PixelFormat) -> NDArray[Any]:
    from imagecodecs import jpeg2k_decode

    return np.asarray(jpeg2k_decode(data))


def _htj2k(data: bytes, form: PixelFormat) -> NDArray[Any]:
    import imagecodecs

    return np.asarray(imagecodecs.htj2k_decode(data)) if _has("HTJ2K") else _jpeg_2000(data, form)


def _jpeg_xl(data: bytes, _form: PixelFormat) -> NDArray[Any]:
    from imagecodecs import jpegxl_decode

    return np.asarray(jpegxl_decode(data))


def _rle(data: bytes, form: PixelFormat) -> NDArray[Any]:
    from imagecodecs import dicomrle_decode

    dtype = np.dtype(f"u{form.allocated // 8}")
    decoded = dicomrle_decode(data, dtype)
    if len(decoded) != form.frame_bits // 8:
        raise ValueError(f"it decodes to {len(decoded)} bytes, its header says {form.frame_bits // 8}")
    return np.frombuffer(decoded, dtype).reshape(form.rows, form.columns)


@dataclass(frozen=True)
class Syntax:
    """A transfer syntax: name, decoder, the codec of imagecodecs that decodes it, and what its codestream can say.

    described: it names size and bits itself (`describe`); lossy: decoded values may leave the range of the stored bits;
    scaled: fewer bits in the codestream than in the header mean values on a scale that nothing tells.
    """

    name: str
    decode: Decode
    codec: str
    described: bool = True
    lossy: bool = False
    scaled: bool = False


SYNTAXES = {
    "1.2.840.10008.1.2.5": Syntax("RLE", _rle, "DICOMRLE", described=False),
    "1.2.840.10008.1.2.4.50": Syntax("JPEG baseline", _jpeg, "JPEG8", lossy=True, scaled=True),
    "1.2.840.10008.1.2.4.51": Syntax("JPEG extended", _jpeg, "JPEG8", lossy=True, scaled=True),
    "1.2.840.10008.1.2.4.57": Syntax("JPEG lossless", _jpeg, "JPEG8"),
    "1.2.840.10008.1.2.4.70": Syntax("JPEG lossless, first order", _jpeg, "JPEG8"),
    "1.2.840.10008.1.2.4.80": Syntax("JPEG-LS lossless", _jpeg_ls, "JPEGLS"),
    "1.2.840.10008.1.2.4.81": Syntax("JPEG-LS near lossless", _jpeg_ls, "JPEGLS", lossy=True),
    "1.2.840.10008.1.2.4.90": Syntax("JPEG 2000 lossless", _jpeg_2000, "JPEG2K"),
    "1.2.840.10008.1.2.4.91": Syntax("JPEG 2000", _jpeg_2000, "JPEG2K", lossy=True),
    "1.2.840.10008.1.2.4.201": Syntax("HTJ2K lossless", _htj2k, "HTJ2K"),
    "1.2.840.10008.1.2.4.202": Syntax("HTJ2K lossless, RPCL", _htj2k, "HTJ2K"),
    "1.2.840.10008.1.2.4.203": Syntax("HTJ2K", _htj2k, "HTJ2K", lossy=True),
    "1.2.840.10008.1.2.4.110": Syntax("JPEG XL lossless", _jpeg_xl, "JPEGXL", described=False),
    "1.2.840.10008.1.2.4.111": Syntax(
        "JPEG XL of a JPEG", _jpeg_xl, "JPEGXL", described=False, lossy=True, scaled=True
    ),
    "1.2.840.10008.1.2.4.112": Syntax("JPEG XL", _jpeg_xl, "JPEGXL", described=False, lossy=True),
}
"""Compressed transfer syntaxes of grey-value images (PS3.6 annex A)."""


def library_of(syntax: Syntax) -> str | None:
    """Name and version of the library that decodes it here; None where imagecodecs was built without."""
    import imagecodecs

    # imagecodecs has OpenJPH since 2026.1.1, for Python 3.11; without, OpenJPEG decodes HTJ2K at half the speed
    codec = syntax.codec if _has(syntax.codec) else "JPEG2K" if syntax.codec == "HTJ2K" else None
    return str(getattr(imagecodecs, f"{codec.lower()}_version")()) if codec else None


def _has(codec: str) -> bool:
    import imagecodecs

    return bool(getattr(getattr(imagecodecs, codec, None), "available", False))


def decode(data: bytes, form: PixelFormat) -> NDArray[Any]:
    """The frame's allocated words, (rows, columns), unsigned, before unused bits are masked.

    Raises ValueError, and whatever the codec raises, where the frame does not decode to what its header says.
    """
    syntax = SYNTAXES[form.transfer_syntax]
    if form.allocated not in (8, 16, 32):
        raise ValueError(f"{form.allocated} bits allocated a pixel cannot be compressed")
    stream = describe(data) if syntax.described else None
    if stream is not None:
        _check_header(stream, form, syntax)
    pixels = syntax.decode(data, form)
    _check_size(pixels.shape, form)
    if pixels.dtype.kind not in "iu":
        raise ValueError(f"it decodes to {pixels.dtype}, not to whole numbers")
    bits = pixels.dtype.itemsize * 8 if stream is None else stream.bits
    _check_bits(bits, form, syntax)
    _check_values(pixels, bits, form, syntax)
    width = form.allocated // 8
    return pixels.astype(f"{pixels.dtype.kind}{width}", copy=False).view(f"u{width}")


def _check_header(stream: Codestream, form: PixelFormat, syntax: Syntax) -> None:
    _check_size((stream.rows, stream.columns), form)
    if stream.components != 1:
        raise ValueError(f"it holds {stream.components} samples a pixel, its header says 1")
    if not stream.complete:
        # most codecs fill up what is missing without a word
        raise ValueError("its codestream is cut short")
    if (syntax.codec == "JPEG2K" or not _has(syntax.codec)) and stream.bits > MAX_JPEG_2000_BITS:
        raise ValueError(f"JPEG 2000 of {stream.bits} bits cannot be decoded without loss here")


def _check_bits(bits: int, form: PixelFormat, syntax: Syntax) -> None:
    """bits: of a sample in the codestream, or of the words it decodes to where the codestream was not read."""
    if bits > form.allocated:
        raise ValueError(f"it holds {bits} bits a pixel, its header allocates {form.allocated}")
    if syntax.scaled and bits < form.stored:
        raise ValueError(f"it holds {bits} bits a pixel, its header says {form.stored}")
    if form.high_bit + 1 != form.stored and bits <= form.high_bit:
        raise ValueError(f"it holds {bits} bits a pixel, its header's high bit is {form.high_bit}")


def _check_size(shape: tuple[int, ...], form: PixelFormat) -> None:
    if shape != (form.rows, form.columns):
        found = " x ".join(map(str, shape))
        raise ValueError(f"it decodes to {found} pixels, its header says {form.rows} x {form.columns}")


def _check_values(pixels: NDArray[Any], bits: int, form: PixelFormat, syntax: Syntax) -> None:
    """Refuse values that mean one thing by the codestream and another by the header.

    As many bits in both: the bits are the header's, whatever sign the codestream gives them, as pydicom corrects it.
    Fewer in the codestream: a sign the two disagree on must not matter. More: only lossless words may have unused bits.
    """
    low, high = int(pixels.min()), int(pixels.max())
    signed = pixels.dtype.kind == "i"
    if bits < form.stored and signed != form.signed and (low < 0 or high >= 1 << (bits - 1)):
        raise ValueError(f"its codestream and its header disagree on the sign of its {bits} bits")
    limits = (-(1 << (form.stored - 1)), (1 << (form.stored - 1)) - 1) if signed else (0, (1 << form.stored) - 1)
    if syntax.lossy and not limits[0] <= low <= high <= limits[1]:
        raise ValueError(f"it decodes to values from {low} to {high}, beyond its {form.stored} bits")
