"""Writes compressed pixels: for every transfer syntax an encoder, and files whose pixels are compressed with it."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from functools import partial

import imagecodecs
import jpeg_ls
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.uid import RLELossless

from medimg.dicom.pixels.format import PixelFormat

Encode = Callable[[np.ndarray, int], bytes]
"""Values (rows, columns) and their bits to a codestream."""


def unsigned(values: np.ndarray, bits: int) -> np.ndarray:
    """Two's complement in `bits` bits, for codestreams that have no sign."""
    words = np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")
    return words & words.dtype.type((1 << bits) - 1)


def rle(values: np.ndarray, _bits: int) -> bytes:
    """Byte planes, most significant first (PS3.5 annex G); each is packed by pydicom, which takes up to 16 bits."""
    words = unsigned(values, values.dtype.itemsize * 8)
    planes = words.byteswap().view("u1").reshape(*words.shape, -1)
    encoder = get_encoder(RLELossless)
    described = {"rows": words.shape[0], "columns": words.shape[1], "bits_allocated": 8, "bits_stored": 8}
    fixed = {"samples_per_pixel": 1, "pixel_representation": 0, "number_of_frames": 1}
    fixed |= {"photometric_interpretation": "MONOCHROME2", "encoding_plugin": "pydicom"}
    segments = [
        encoder.encode(np.ascontiguousarray(planes[..., n]), **described, **fixed)[64:] for n in range(planes.shape[-1])
    ]
    starts = list(itertools.accumulate(map(len, segments), initial=64))[:-1]
    return struct.pack("<16I", len(segments), *starts, *[0] * (15 - len(starts))) + b"".join(segments)


def jpeg(values: np.ndarray, bits: int, predictor: int = 1) -> bytes:
    return imagecodecs.jpeg8_encode(unsigned(values, bits), lossless=True, predictor=predictor, bitspersample=bits)


def jpeg_lossy(values: np.ndarray, bits: int) -> bytes:
    return imagecodecs.jpeg8_encode(unsigned(values, bits), 100, bitspersample=bits)


def jpegls(values: np.ndarray, bits: int, near: int = 0) -> bytes:
    """By pyjpegls, because imagecodecs writes 8 or 16 bits only."""
    words = unsigned(values, bits)
    return bytes(jpeg_ls.encode_buffer(words.tobytes(), *words.shape, 1, bits, lossy_error=near))


def jpeg_2000(values: np.ndarray, bits: int, level: int = 0) -> bytes:
    return imagecodecs.jpeg2k_encode(values, level, codecformat="j2k", bitspersample=bits, reversible=not level)


def htj2k(values: np.ndarray, _bits: int) -> bytes:
    if not hasattr(imagecodecs, "htj2k_encode"):
        pytest.skip("imagecodecs encodes HTJ2K since 2026.1.1, which needs Python 3.11")
    return imagecodecs.htj2k_encode(values, reversible=True)


def jpeg_xl(values: np.ndarray, bits: int) -> bytes:
    return imagecodecs.jpegxl_encode(unsigned(values, bits), lossless=True, bitspersample=bits)


def jpeg_xl_of_jpeg(values: np.ndarray, bits: int) -> bytes:
    return imagecodecs.jpegxl_encode_jpeg(jpeg_lossy(values, bits))


UID = "1.2.840.10008.1.2."

LOSSLESS: dict[str, tuple[str, Encode]] = {
    "RLE": (UID + "5", rle),
    "JPEG lossless": (UID + "4.57", partial(jpeg, predictor=4)),
    "JPEG lossless, first order": (UID + "4.70", jpeg),
    "JPEG-LS lossless": (UID + "4.80", jpegls),
    "JPEG-LS near lossless": (UID + "4.81", jpegls),
    "JPEG 2000 lossless": (UID + "4.90", jpeg_2000),
    "JPEG 2000": (UID + "4.91", jpeg_2000),
    "HTJ2K lossless": (UID + "4.201", htj2k),
    "HTJ2K lossless, RPCL": (UID + "4.202", htj2k),
    "HTJ2K": (UID + "4.203", htj2k),
    "JPEG XL lossless": (UID + "4.110", jpeg_xl),
    "JPEG XL": (UID + "4.112", jpeg_xl),
}
"""Name -> transfer syntax, and an encoder that loses nothing (the lossy syntaxes allow that too)."""

LOSSY: dict[str, tuple[str, Encode, int, int]] = {
    "JPEG baseline": (UID + "4.50", jpeg_lossy, 8, 2),
    "JPEG extended": (UID + "4.51", jpeg_lossy, 12, 2),
    "JPEG XL of a JPEG": (UID + "4.111", jpeg_xl_of_jpeg, 8, 2),
    "JPEG-LS near lossless": (UID + "4.81", partial(jpegls, near=2), 12, 2),
    "JPEG 2000": (UID + "4.91", partial(jpeg_2000, level=80), 12, 2),
}
"""Name -> transfer syntax, encoder that loses a little, bits, and by how much a value may change."""


def word_type(bits: int, signed: bool = False) -> str:
    return f"{'i' if signed else 'u'}{1 if bits <= 8 else 2 if bits <= 16 else 4}"


def compress(
    dataset: Dataset, syntax: str, encode: Encode, *, bits: int = 16, signed: bool = False, offset: int = 1024
) -> None:
    """Replace the phantom's pixels, values + 1024 in 16 bits, by values + offset, compressed."""
    put(dataset, syntax, encapsulate([encode(store(dataset, bits=bits, signed=signed, offset=offset), bits)]))


def store(dataset: Dataset, *, bits: int = 16, signed: bool = False, offset: int = 1024) -> np.ndarray:
    """The same, not compressed; gives the stored values (rows, columns)."""
    values = np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns).astype(int) - 1024
    stored = (values + offset).astype(word_type(bits, signed))
    assert np.array_equal(stored, values + offset)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = stored.dtype.itemsize * 8, bits, bits - 1
    dataset.PixelRepresentation = int(signed)
    dataset.RescaleIntercept = -offset
    dataset.PixelData = stored.tobytes()
    return stored


def put(dataset: Dataset, syntax: str, encapsulated: bytes) -> None:
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulated
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True


def pixel_format(values: np.ndarray, syntax: str, bits: int) -> PixelFormat:
    signed = values.dtype.kind == "i"
    return PixelFormat(*values.shape, values.dtype.itemsize * 8, bits, bits - 1, signed, syntax)
