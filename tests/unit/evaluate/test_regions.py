"""Regions of label maps."""

from __future__ import annotations

import numpy as np
import pytest

from medimg.errors import UsageError
from medimg.evaluate.regions import parse_regions

LABELS = np.array([0, 1, 2, 3, 4], np.uint8)


def test_brats_takes_both_ways_to_number_enhancing_tumour():
    regions = parse_regions("brats")
    assert {name: LABELS[regions.mask(LABELS, name)].tolist() for name in regions.values} == {
        "WT": [1, 2, 3, 4],
        "TC": [1, 3, 4],
        "ET": [3, 4],
    }


@pytest.mark.parametrize("present", [[0, 1, 2, 3], [0, 1, 2, 4], [0], [2]])
def test_either_numbering_is_sound(present):
    assert parse_regions("brats").problem(present) is None


def test_both_numberings_in_one_map_are_not():
    assert "3 and 4" in parse_regions("brats").problem([1, 3, 4])


def test_labels_of_no_region_are_named():
    assert "labels 5, 9;" in parse_regions("brats").problem([0, 1, 5, 9])


def test_regions_of_ones_own():
    regions = parse_regions(" whole tumour = 1,2 ; core=1")
    assert regions.values == {"whole tumour": (1, 2), "core": (1,)}
    assert regions.problem([0, 1, 2]) is None
    assert "labels 3;" in regions.problem([3])


@pytest.mark.parametrize("text", ["", ";", "core", "core=", "core=0", "core=256", "core=1;core=2", "=1", "core=1.5"])
def test_what_names_no_regions_is_refused(text):
    with pytest.raises(UsageError, match="--regions"):
        parse_regions(text)
