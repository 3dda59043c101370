"""Siemens mosaics: all slices of a volume tiled in one image, placed by a private header or not at all."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from conformance.cases.case import Expected, Theme, Truth, rejected, volumes
from conformance.cases.phantom import AXIAL, OBLIQUE, START, Phantom, stored
from pydicom.dataset import Dataset

from medimg.errors import Reason

cases = Theme("mosaic")

SIDE = 3
"""Tiles across and down."""


def csa_tag(name: str, vr: str, values: Sequence[Any]) -> bytes:
    head = struct.pack("<64si4siii", name.encode(), len(values), vr.encode(), 0, len(values), 77)
    items = b""
    for value in values:
        text = str(value).encode() + b"\0"
        items += struct.pack("<4i", 0, len(text), 77, 0) + text + b"\0" * (-len(text) % 4)
    return head + items


def csa_header(count: int, normal: Sequence[float]) -> bytes:
    tags = [
        csa_tag("EchoLinePosition", "IS", []),
        csa_tag("NumberOfImagesInMosaic", "US", [count]),
        csa_tag("SliceNormalVector", "FD", list(normal)),
    ]
    return b"SV10\4\3\2\1" + struct.pack("<II", len(tags), 77) + b"".join(tags)


def mosaic(
    scan: Phantom,
    count: int,
    orientation: Sequence[float] = AXIAL,
    sign: int = 1,
    change: Callable[[Dataset], None] | None = None,
    add: float = 0.0,
) -> Path:
    """One image of `count` tiles of the field; slices go along sign * normal."""
    rows, columns = scan.rows, scan.columns
    row, column = np.array(orientation).reshape(2, 3)
    normal = np.cross(row, column) * sign
    first = np.array(START)
    tiles = np.zeros((SIDE * rows, SIDE * columns), "<u2")
    for k in range(count):
        words = stored(scan.dataset(first + 3 * k * normal, orientation, add=add))
        top, left = k // SIDE * rows, k % SIDE * columns
        tiles[top : top + rows, left : left + columns] = words.reshape(rows, columns)
    # the header gives the corner of an image as large as the mosaic, centred as the slice is
    down, across = scan.spacing
    corner = first - row * across * (SIDE - 1) * columns / 2 - column * down * (SIDE - 1) * rows / 2
    whole = scan.dataset(corner, orientation, modality="MR")
    whole.Manufacturer = "SIEMENS"
    whole.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]
    whole.Rows, whole.Columns = tiles.shape
    whole.PixelData = tiles.tobytes()
    whole.SpacingBetweenSlices = whole.SliceThickness = 3
    block = whole.private_block(0x29, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x10, "OB", csa_header(count, normal))
    if change:
        change(whole)
    return scan.write(whole, scan.folder / scan.name(whole))


STACKS = {
    "axial": (AXIAL, 1),
    "axial_downwards": (AXIAL, -1),
    "oblique": (OBLIQUE, 1),
    "oblique_downwards": (OBLIQUE, -1),
}


@cases.each(**STACKS)
def mosaic_placed(scan: Phantom, how: tuple[tuple[float, ...], int]) -> Expected:
    """Seven slices in a mosaic of nine tiles, placed by its private header."""
    mosaic(scan, 7, *how)
    return volumes(7)


@cases.case
def mosaics_in_time(scan: Phantom) -> Expected:
    """Functional MR: three mosaics, a time point each."""
    for time in range(3):

        def at(dataset: Dataset, time: int = time) -> None:
            dataset.InstanceNumber = dataset.AcquisitionNumber = time + 1

        mosaic(scan, 7, change=at, add=50 * time)
    return volumes(*(Truth(7, add=50 * time) for time in range(3)))


def drop_csa(dataset: Dataset) -> None:
    del dataset[0x00291010]


def damage_csa(dataset: Dataset) -> None:
    dataset[0x00291010].value = dataset[0x00291010].value[:150]


def odd_size(dataset: Dataset) -> None:
    # a column more than the tiles fill
    words = np.pad(stored(dataset).reshape(dataset.Rows, dataset.Columns), ((0, 0), (0, 1)))
    dataset.Columns += 1
    dataset.PixelData = words.tobytes()


def no_spacing(dataset: Dataset) -> None:
    del dataset.SpacingBetweenSlices


UNPLACED = {
    "no_private_header": drop_csa,
    "private_header_damaged": damage_csa,
    "tiles_do_not_fill_it": odd_size,
    "no_slice_spacing": no_spacing,
}


@cases.each(**UNPLACED)
def mosaic_unplaced(scan: Phantom, change: Callable[[Dataset], None]) -> Expected:
    """A mosaic whose header does not say where its tiles lie."""
    mosaic(scan, 7, change=change)
    return rejected(Reason.UNSUPPORTED_KIND, excluded=[Reason.UNSUPPORTED_KIND])
