"""Siemens mosaics: all slices of a volume tiled in one image, their geometry in the private CSA header.

The layout of the CSA header and the position of the tiles follow the public description in nibabel's
documentation ("Siemens format DICOM with CSA header", "DICOM mosaic"). What lacks a part of it stays refused.
"""

from __future__ import annotations

import math
import struct
from dataclasses import replace

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from medimg.dicom import fields
from medimg.dicom.header import Frame, Tile
from medimg.errors import Reason

CSA_CREATOR_TAG = BaseTag(0x00290010)
CSA_CREATOR = "SIEMENS CSA HEADER"
CSA_IMAGE_TAG = BaseTag(0x00291010)

MOSAIC_TAGS = (CSA_CREATOR_TAG, CSA_IMAGE_TAG)
"""Private elements a mosaic's geometry is read from."""

CSA2_MAGIC = b"SV10\4\3\2\1"

MAX_CSA_TAGS = 1000
"""Above any CSA header seen (about a hundred); a larger count is damage."""

PARALLEL = 1e-3
"""How far from 1 the cosine between slice normal and row x column may be: the tiles must be a straight stack."""


def tiles_of(whole: Frame, dataset: Dataset) -> list[Frame]:
    """The slices of one mosaic as frames; [] when the header does not say where they lie."""
    csa = _csa_header(dataset)
    claimed = next(iter(csa.get("NumberOfImagesInMosaic", [])), 0.0)
    normal = np.array(csa.get("SliceNormalVector", []))
    spacing = fields.number(dataset, "SpacingBetweenSlices")
    known = whole.position is not None and whole.orientation is not None and whole.pixel_spacing is not None
    if normal.shape != (3,) or not spacing or not known or not np.isfinite([claimed, spacing, *normal]).all():
        return []
    count = int(claimed)
    if count < 1:
        return []
    side = math.ceil(math.sqrt(count))
    rows, columns = whole.format.rows // side, whole.format.columns // side
    if rows * side != whole.format.rows or columns * side != whole.format.columns or rows * columns == 0:
        return []
    first = _first_position(whole, rows, columns)
    row, column = np.array(whole.orientation).reshape(2, 3)
    if abs(abs(float(np.cross(row, column) @ normal)) - 1) > PARALLEL:
        return []
    return [
        replace(
            whole,
            number=k,
            tile=Tile(k // side * rows, k % side * columns, rows, columns),
            position=tuple((first + k * spacing * normal).tolist()),
        )
        for k in range(count)
    ]


def is_mosaic(frame: Frame, dataset: Dataset) -> bool:
    """True for an image that is refused for nothing but being a mosaic."""
    other = fields.items(dataset, "ModalityLUTSequence")
    return frame.problem is Reason.UNSUPPORTED_KIND and "MOSAIC" in frame.image_type and not other


def _first_position(whole: Frame, rows: int, columns: int) -> np.ndarray:
    """Position of the first tile: the header gives the corner that an image as large as the mosaic would have."""
    row, column = np.array(whole.orientation).reshape(2, 3)
    assert whole.pixel_spacing is not None
    between_rows, between_columns = whole.pixel_spacing
    across = row * between_columns * (whole.format.columns - columns) / 2
    down = column * between_rows * (whole.format.rows - rows) / 2
    return np.asarray(np.array(whole.position) + across + down)


def _csa_header(dataset: Dataset) -> dict[str, list[float]]:
    """Numeric values of the CSA image header by name; {} when there is none or it is damaged."""
    creator, element = dataset.get_item(CSA_CREATOR_TAG), dataset.get_item(CSA_IMAGE_TAG)
    if creator is None or element is None or not isinstance(element.value, bytes):
        return {}
    if bytes(creator.value).decode("latin-1").strip(" \0") != CSA_CREATOR or not element.value.startswith(CSA2_MAGIC):
        return {}
    try:
        return _csa_values(element.value)
    except (struct.error, ValueError, IndexError):
        return {}


def _csa_values(data: bytes) -> dict[str, list[float]]:
    """CSA2: magic, tag count; per tag a 64-byte name and item count; per item its length and padded text."""
    (count,) = struct.unpack_from("<I", data, 8)
    offset, values = 16, {}
    for _ in range(min(count, MAX_CSA_TAGS)):
        name, _vm, vr, _type, items, _marker = struct.unpack_from("<64si4siii", data, offset)
        offset += struct.calcsize("<64si4siii")
        texts = []
        for _item in range(items):
            length = struct.unpack_from("<4i", data, offset)[1]
            offset += 16
            texts.append(data[offset : offset + length].split(b"\0")[0].decode("latin-1").strip())
            offset += (length + 3) // 4 * 4
        if vr[:2] in (b"US", b"FD", b"DS", b"IS"):
            values[name.split(b"\0")[0].decode("latin-1")] = [float(text) for text in texts if text]
    return values
