"""Siemens mosaics: the tiles become slices where the private header places them, or the image is refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from medimg.errors import Reason

ROWS, COLUMNS, SIDE = 7, 6, 3
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, -0.8)


def csa_tag(name, vr, values):
    head = struct.pack("<64si4siii", name.encode(), len(values), vr.encode(), 0, len(values), 77)
    items = b""
    for value in values:
        text = str(value).encode() + b"\0"
        items += struct.pack("<4i", 0, len(text), 77, 0) + text + b"\0" * (-len(text) % 4)
    return head + items


def csa_header(count, normal):
    tags = [
        csa_tag("EchoLinePosition", "IS", []),
        csa_tag("NumberOfImagesInMosaic", "US", [count]),
        csa_tag("SliceNormalVector", "FD", list(normal)),
    ]
    return b"SV10\4\3\2\1" + struct.pack("<II", len(tags), 77) + b"".join(tags)


def mosaic(phantom, count, orientation, sign, change=None):
    """One image of `count` tiles of the analytic field; slices go along sign * normal."""
    row, column = np.array(orientation).reshape(2, 3)
    normal = np.cross(row, column) * sign
    first = np.array([-9.0, -4.0, -20.0])
    tiles = np.zeros((SIDE * ROWS, SIDE * COLUMNS), "<u2")
    for k in range(count):
        data = phantom.dataset(first + 3 * k * normal, orientation).PixelData
        top, left = k // SIDE * ROWS, k % SIDE * COLUMNS
        tiles[top : top + ROWS, left : left + COLUMNS] = np.frombuffer(data, "<u2").reshape(ROWS, COLUMNS)
    # the header gives the corner of an image as large as the mosaic, centred as the slice is (spacing 2 and 1 mm)
    corner = first - row * 1 * (SIDE - 1) * COLUMNS / 2 - column * 2 * (SIDE - 1) * ROWS / 2
    whole = phantom.dataset(corner, orientation, modality="MR")
    whole.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]
    whole.Rows, whole.Columns = tiles.shape
    whole.PixelData = tiles.tobytes()
    whole.SpacingBetweenSlices = 3
    block = whole.private_block(0x29, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x10, "OB", csa_header(count, normal))
    if change:
        change(whole)
    return phantom.write(whole, phantom.folder / whole.SOPInstanceUID)


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), OBLIQUE], ids=["axial", "oblique"])
@pytest.mark.parametrize("sign", [1, -1], ids=["along the normal", "against it"])
def test_tiles_become_slices_in_their_places(phantom, world_error, orientation, sign):
    mosaic(phantom, 7, orientation, sign)
    (volume,) = phantom.read_one().volumes
    assert volume.shape == (COLUMNS, ROWS, 7)
    assert world_error(volume) <= 0.51


def drop_csa(dataset):
    del dataset[0x00291010]


def damage_csa(dataset):
    dataset[0x00291010].value = dataset[0x00291010].value[:150]


def odd_size(dataset):
    dataset.Columns = 20
    dataset.PixelData += b"\0" * 84


def no_spacing(dataset):
    del dataset.SpacingBetweenSlices


@pytest.mark.parametrize("change", [drop_csa, damage_csa, odd_size, no_spacing])
def test_a_mosaic_whose_tiles_cannot_be_placed_is_never_tiled(phantom, change):
    mosaic(phantom, 7, (1, 0, 0, 0, 1, 0), 1, change)
    result = phantom.read_one()
    assert result.volumes == []
    assert result.rejection is not None
    assert result.rejection.reason is Reason.UNSUPPORTED_KIND
