"""The even grid for uneven slices: its spacing, and which slices it keeps."""

from __future__ import annotations

import numpy as np
import pytest

from medimg.dicom.even import NoEvenGridError, even_grid
from medimg.errors import Reason


def grid(*depth):
    return even_grid(np.array(depth, dtype=float), 0.01, 0.01)


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        ((0, 3, 9, 12), (0, 1, 3, 4)),  # one missing
        ((0, 6, 12, 15, 21), (0, 2, 4, 5, 7)),  # the only narrow gap keeps every slice at little cost
        ((0, 5, 10, 15, 16, 21, 26, 31), (0, 1, 2, 3, 3.2, 4.2, 5.2, 6.2)),  # a stray slice does not set the spacing
        ((0, 2.5, 5, 7.5, 12.5, 17.5), (0, 1, 2, 3, 5, 7)),  # the finer of two blocks
        ((0, 1.2, 4.2, 7.2, 10.2), (-0.4, 0, 1, 2, 3)),  # laid through most slices; the first is half a slice outside
        ((0, 1.8, 4.8, 7.8, 10.8), (0.4, 1, 2, 3, 4)),  # or half a slice inside
    ],
)
def test_places_on_the_even_grid(depth, expected):
    np.testing.assert_allclose(grid(*depth), expected, atol=1e-6)


def test_positions_rounded_by_an_exporter_do_not_drift():
    depth = np.round(np.arange(200) * 1.2345, 2)
    places = even_grid(np.delete(depth, [50, 51, 120]), 0.01, 0.01)
    assert np.array_equal(places, np.delete(np.arange(200.0), [50, 51, 120]))


def test_a_grid_that_can_keep_few_slices_runs_from_end_to_end():
    rng = np.random.default_rng(1)
    depth = np.arange(30) * 3 + rng.uniform(-0.1, 0.1, 30)
    places = even_grid(depth, 0.01, 0.01)
    assert places[0] == 0
    assert places[-1] == 29
    assert np.abs(places - np.arange(30)).max() < 0.1


@pytest.mark.parametrize("seed", range(20))
def test_a_grid_never_leaves_the_ends_by_more_than_half_a_slice_and_keeps_the_order(seed):
    rng = np.random.default_rng(seed)
    depth = np.cumsum(rng.choice([1.0, 1.25, 2.5, 5.0, rng.uniform(0.8, 5)], 40))
    places = even_grid(depth, 0.01, 0.01)
    assert -0.5 <= places[0] <= 0.5
    assert (np.diff(places) > 0).all()
    spacing = np.diff(depth) / np.diff(places)
    assert np.abs(spacing / np.median(spacing) - 1).max() < 0.03


def test_two_slices_of_one_place_are_told():
    with pytest.raises(NoEvenGridError, match="one place") as caught:
        grid(0, 3, 3.02, 9, 12, 15)
    assert caught.value.reason is Reason.DUPLICATE_POSITION


def test_invention_has_a_limit():
    with pytest.raises(NoEvenGridError, match="81 slices for 5") as caught:
        grid(0, 1, 2, 40, 80)
    assert caught.value.reason is Reason.UNEVEN_SPACING
