from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medimg.dicom.header import Frame, PixelFormat
from medimg.dicom.place import place
from medimg.dicom.voxels import assemble, digest

FORMAT = PixelFormat(2, 3, 16, 16, 15, False, "1.2.840.10008.1.2.1")


class Words:
    """Stands for the files: the words of slice k are all `values[k]`, but one."""

    def __init__(self, values):
        self.values = values

    def expect(self, frames):
        """Nothing is decoded ahead."""

    def words(self, frame):
        words = np.full((2, 3), self.values[frame.number], np.uint16)
        words[0, 0] += 1
        return words


def stack_of(count, slope):
    frames = [
        Frame(Path(f"{k}"), k, f"2.25.{k}", "1", FORMAT, None, (0.0, 0.0, 3.0 * k), (1.0, 0, 0, 0, 1, 0), (1.0, 1.0),
              slope, 0.0)
        for k in range(count)
    ]  # fmt: skip
    return place(frames)


@pytest.mark.parametrize(
    ("values", "slope", "dtype"),
    [((5, 6, 7, 8), 1.0, np.int16), ((5, 6, 60000, 8), 1.0, np.float32), ((5, 6, 7, 8), 0.5, np.float32)],
)
def test_the_digest_taken_while_reading_is_that_of_the_voxels(values, slope, dtype):
    stack = stack_of(len(values), slope)
    array, taken = assemble(stack, "MR", Words(values))
    assert array.dtype == dtype
    assert array[2, 0].tolist() == [value * slope for value in values]
    assert taken == digest(stack, array)
