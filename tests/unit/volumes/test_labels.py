"""Label maps: names, not measurements; an empty one is sound."""

from __future__ import annotations

import numpy as np
import pytest

from medimg import volumes
from medimg.errors import InputError, Reason

SHAPE = (5, 6, 7)


def written(tmp_path, array):
    volumes.write_nifti(tmp_path / "map.nii.gz", array, np.eye(4))
    return tmp_path / "map.nii.gz"


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32])
def test_whole_numbers_are_labels_whatever_they_are_stored_as(tmp_path, kind):
    array = np.random.default_rng(0).integers(0, 256, SHAPE).astype(kind)
    found = volumes.read_label_map(written(tmp_path, array)).array
    assert found.dtype == np.uint8
    assert np.array_equal(found, array)


def test_an_empty_map_is_read(tmp_path):
    assert not volumes.read_label_map(written(tmp_path, np.zeros(SHAPE, np.uint8))).array.any()


@pytest.mark.parametrize("value", [-1.0, 256.0, 0.5, np.nan, np.inf])
def test_other_values_are_no_labels(tmp_path, value):
    array = np.zeros(SHAPE, np.float32)
    array[2, 2, 2] = value
    with pytest.raises(InputError, match="a label map holds whole numbers from 0 to 255") as caught:
        volumes.read_label_map(written(tmp_path, array))
    assert caught.value.reason is Reason.NOT_A_LABEL_MAP
