from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medimg.dicom.header import Frame
from medimg.dicom.pixels.format import PixelFormat
from medimg.dicom.place import axes, is_even, place, places
from medimg.errors import InputError, Reason

FORMAT = PixelFormat(4, 3, 16, 16, 15, False, "1.2.840.10008.1.2.1")
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def frame(position, orientation=AXIAL, spacing=(2.0, 1.0)):
    name = Path(f"{position}.dcm")
    return Frame(name, 0, str(position), "1", FORMAT, None, tuple(map(float, position)), orientation, spacing)


def at(*heights):
    return [frame((0, 0, height)) for height in heights]


def test_the_affine_of_an_axial_stack_is_the_one_dcm2niix_writes():
    stack = place([frame((-10, -20, height)) for height in (30, 36, 33)])
    expected = [[-1, 0, 0, 10], [0, 2, 0, 20 - 2 * 3], [0, 0, 3, 30], [0, 0, 0, 1]]
    np.testing.assert_allclose(stack.affine_ras, expected, atol=1e-9)
    assert [each.position[2] for each in stack.frames] == [30, 33, 36]


def test_a_shear_stays_in_the_affine():
    stack = place([frame((0, 0.5 * k, 3 * k)) for k in range(4)])
    np.testing.assert_allclose(stack.affine_ras[:3, 2], [0, -0.5, 3], atol=1e-9)


def test_the_normal_is_row_cross_column():
    np.testing.assert_allclose(axes(at(0, 1))[2], [0, 0, 1])


def test_places_number_positions_and_repeats_share_them():
    assert places(at(6, 0, 3, 0.005, 6)).tolist() == [2, 0, 1, 0, 2]


def test_positions_rounded_to_hundredths_are_even():
    assert is_even(np.round(np.arange(20) * 1.2345, 2))
    assert not is_even(np.array([0, 1, 2, 3.05]))


@pytest.mark.parametrize(
    ("frames", "reason", "words"),
    [
        (at(0), Reason.SINGLE_SLICE, "one slice"),
        (at(0, 3, 3, 6), Reason.DUPLICATE_POSITION, "one position"),
        (at(0, 3, 9, 12), Reason.MISSING_SLICES, "1 slices missing"),
        (at(0, 6, 12, 15, 21), Reason.MISSING_SLICES, "3 slices missing"),
        (at(0, 3, 7, 10), Reason.UNEVEN_SPACING, "3 to 4 mm"),
        (at(0, 2.5, 5, 10, 15, 20), Reason.UNEVEN_SPACING, "2.5 to 5 mm"),
        ([frame((0, 9 * k, 3 * k)) for k in range(3)], Reason.UNSUPPORTED_KIND, "sheared by 72 degrees"),
    ],
)
def test_what_is_no_even_stack_is_refused(frames, reason, words):
    with pytest.raises(InputError, match=words) as caught:
        place(frames)
    assert caught.value.reason is reason
    assert set(caught.value.files) == {each.path for each in frames}
